//! Fewer bits where the user asks for them, and what that costs in accuracy: measured, not promised.

use crate::compile::{self, Compiled, Settings};
use crate::verify::{self, Sizes};
use crate::{execute, leaves, tensors};
use clap::{Args, ValueEnum};
use pt2c_ir::{Diagnostic, Program};
use pt2c_kernel::WeightType;
use pt2c_native::library::Value;
use pt2c_ops::Tensor;

/// The flags of commands that compile.
#[derive(Args, Debug, Default)]
#[group(id = "precision_flags")]
pub struct Flags {
    /// Keep the weights of matrix products in fewer bits, which is less memory to read, with sums in f32. The difference
    /// to f32 is measured and shown
    #[arg(long, value_enum, value_name = "TYPE")]
    quantize_weights: Option<Weights>,
    /// Round both operands of matrix products with constant weights: twice as fast where the processor multiplies such
    /// pairs, with sums in f32. The difference to f32 is measured and shown
    #[arg(long, value_enum, value_name = "TYPE", conflicts_with = "quantize_weights")]
    precision: Option<Precision>,
    /// Inputs to measure the difference on, as for `pt2c run`; without any they are made up
    #[arg(long, value_name = "FILE")]
    measure_on: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Weights {
    /// Whole numbers of 4 bits, with a scale for each 32
    Int4,
    /// Whole numbers of 8 bits, with a scale for each column
    Int8,
    /// Floats with 8 significant bits
    Bf16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Precision {
    /// Floats with 8 significant bits
    Bf16,
}

impl Flags {
    /// What was chosen, and how it is called.
    fn choice(&self) -> Option<(WeightType, &'static str)> {
        match (self.precision, self.quantize_weights) {
            (Some(Precision::Bf16), _) => Some((WeightType::Bf16Products, "bf16 products")),
            (None, Some(Weights::Int4)) => Some((WeightType::Int4, "int4 weights")),
            (None, Some(Weights::Int8)) => Some((WeightType::Int8, "int8 weights")),
            (None, Some(Weights::Bf16)) => Some((WeightType::Bf16, "bf16 weights")),
            (None, None) => None,
        }
    }

    /// Writes the choice into the settings.
    pub fn apply(&self, settings: &mut Settings) {
        settings.lower.weights = self.choice().map(|(weights, _)| weights);
    }

    /// What the choice changes in the results, in a sentence; `None` if nothing was chosen.
    ///
    /// # Errors
    /// If the program cannot be compiled in f32, or the given inputs do not fit it.
    pub fn measure(
        &self,
        program: &Program,
        compiled: &Compiled,
        settings: &Settings,
    ) -> Result<Option<String>, Diagnostic> {
        let Some((_, name)) = self.choice() else { return Ok(None) };
        if !settings.target.runs_here() {
            return Ok(Some(format!("{name}: not measured, because the code is for another processor")));
        }
        let (inputs, of) = if self.measure_on.is_empty() {
            (verify::made_inputs(program, 0, Sizes::Different), "made-up inputs")
        } else {
            (Some(leaves::inputs(program, &tensors::read_all(&self.measure_on)?)?), "the given inputs")
        };
        let Some(inputs) = inputs else {
            return Ok(Some(format!("{name}: not measured, because no inputs could be made up; --measure-on")));
        };
        let mut plain = settings.clone();
        plain.lower.weights = None;
        let exact = compile::compile(program, &plain, &mut |_, _| Ok(()), &|_, _| {})?;
        let values = execute::values(&inputs)?;
        let run = |compiled: &Compiled, settings: &Settings| -> Result<Vec<Value>, Diagnostic> {
            let mut instance = execute::instance(compiled, settings, 1)?;
            Ok(instance.run(&values).map_err(|e| Diagnostic::error(e.to_string()))?.outputs)
        };
        let (exact, fewer) = (run(&exact, &plain)?, run(compiled, settings)?);
        let mut worst = Difference::default();
        for (exact, fewer) in exact.iter().zip(&fewer) {
            if let (Value::Tensor(exact), Value::Tensor(fewer)) = (exact, fewer) {
                let read = |data| Tensor::from_data(data).map_err(|e| Diagnostic::error(e.to_string()));
                worst = worst.max(Difference::between(&read(exact)?, &read(fewer)?));
            }
        }
        Ok(Some(format!(
            "{name}: on {of} outputs differ from f32 by at most {:.2} % of an output's largest magnitude, {:.3} % \
             in root mean square",
            100.0 * worst.largest,
            100.0 * worst.mean
        )))
    }
}

/// Differences relative to an output's largest magnitude.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Difference {
    largest: f64,
    mean: f64,
}

impl Difference {
    fn between(exact: &Tensor, fewer: &Tensor) -> Difference {
        if !exact.dtype().is_float() {
            return Difference::default();
        }
        let (exact, fewer) = (exact.to_f64s(), fewer.to_f64s());
        let finite = || exact.iter().zip(&fewer).filter(|(e, _)| e.is_finite());
        let most = finite().map(|(e, _)| e.abs()).fold(0.0, f64::max);
        if most == 0.0 {
            return Difference::default();
        }
        // A result that is no number where f32 has one differs by all there is.
        let apart = |(e, f): (&f64, &f64)| if f.is_finite() { (e - f).abs() / most } else { 1.0 };
        let squares: f64 = finite().map(|pair| apart(pair).powi(2)).sum();
        let count = finite().count().max(1) as f64;
        Difference { largest: finite().map(apart).fold(0.0, f64::max), mean: (squares / count).sqrt() }
    }

    fn max(self, other: Difference) -> Difference {
        Difference { largest: self.largest.max(other.largest), mean: self.mean.max(other.mean) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_to_the_largest_magnitude() {
        let tensor = |values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            Tensor::from_bytes(pt2c_ir::DType::F32, &[values.len()], &bytes).expect("a tensor")
        };
        let found = Difference::between(&tensor(&[0.0, -4.0, 2.0, f32::INFINITY]), &tensor(&[0.0, -4.0, 1.0, 5.0]));
        assert_eq!(found.largest, 0.25);
        assert!((found.mean - (0.0625f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(Difference::between(&tensor(&[1.0]), &tensor(&[f32::NAN])).largest, 1.0);
        assert_eq!(Difference::between(&tensor(&[0.0]), &tensor(&[0.0])), Difference::default());
    }
}
