//! `torch.einsum`: the equation, inference and a plain evaluation over the whole index space.

use crate::{Call, OpDef, OpError, Scalar, Tensor, host, shape, unravel};
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// The family.
pub const OPS: &[OpDef] =
    &[OpDef::new("einsum(str equation, Tensor[] tensors, *, int[]? path=None) -> Tensor", infer, eval)];

/// An equation with its ellipsis resolved: every dimension has a label. Letters are their code points; dimensions of
/// the ellipsis are numbers from [`Equation::ELLIPSIS`], counted from the last.
#[derive(Clone, PartialEq, Debug)]
pub struct Equation {
    /// The labels of each operand.
    pub operands: Vec<Vec<u32>>,
    /// The labels of the result.
    pub result: Vec<u32>,
}

impl Equation {
    /// Label of the last dimension of the ellipsis; the one before it is one more.
    pub const ELLIPSIS: u32 = 0x11_0000;

    /// Parses an equation for operands of these ranks.
    pub fn parse(text: &str, ranks: &[usize]) -> Result<Equation, OpError> {
        let fail = |why: &str| OpError::Invalid(format!("einsum equation `{text}`: {why}"));
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (inputs, output) = match text.split_once("->") {
            Some((inputs, output)) => (inputs, Some(output)),
            None => (text.as_str(), None),
        };
        let terms: Vec<&str> = inputs.split(',').collect();
        if terms.len() != ranks.len() {
            return Err(fail("it names another number of operands"));
        }
        let mut dots = 0;
        let mut operands = Vec::new();
        for (term, &rank) in terms.iter().zip(ranks) {
            let letters = term.replacen("...", "", 1).chars().count();
            let hidden = if term.contains("...") { rank.checked_sub(letters) } else { (rank == letters).then_some(0) };
            let hidden = hidden.ok_or_else(|| fail("an operand has another number of dimensions"))?;
            dots = dots.max(hidden);
            operands.push(labels(term, hidden).map_err(|why| fail(why))?);
        }
        let result = match output {
            Some(output) => labels(output, dots).map_err(|why| fail(why))?,
            None => {
                // Alphabetical order of the labels that occur once, behind the ellipsis.
                let mut once: Vec<u32> = operands.iter().flatten().copied().filter(|l| *l < Self::ELLIPSIS).collect();
                once.sort_unstable();
                let all = once.clone();
                once.retain(|l| all.iter().filter(|m| *m == l).count() == 1);
                (0..dots as u32).rev().map(|i| Self::ELLIPSIS + i).chain(once).collect()
            }
        };
        if result.iter().any(|l| !operands.iter().any(|o| o.contains(l))) {
            return Err(fail("the result has a label that no operand has"));
        }
        Ok(Equation { operands, result })
    }

    /// All labels, those of the result first.
    pub fn labels(&self) -> Vec<u32> {
        let mut all = self.result.clone();
        for &label in self.operands.iter().flatten() {
            if !all.contains(&label) {
                all.push(label);
            }
        }
        all
    }
}

fn labels(term: &str, hidden: usize) -> Result<Vec<u32>, &'static str> {
    let mut out = Vec::new();
    let mut rest = term;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            out.extend((0..hidden as u32).rev().map(|i| Equation::ELLIPSIS + i));
            rest = after;
        } else if c.is_ascii_alphabetic() {
            out.push(c as u32);
            rest = &rest[1..];
        } else {
            return Err("only letters, commas, `...` and `->` are allowed");
        }
    }
    Ok(out)
}

/// The size of a label: that of any operand's dimension that is not 1.
pub fn label_size(equation: &Equation, facts: &[&Fact], label: u32) -> Dim {
    let sizes =
        equation.operands.iter().zip(facts).flat_map(|(labels, fact)| {
            labels.iter().zip(&fact.shape).filter(move |(l, _)| **l == label).map(|(_, d)| d)
        });
    let mut found = Dim::int(1);
    for size in sizes {
        if found.is_one() || (size.is_int() && !size.is_one()) {
            found = size.clone();
        }
    }
    found
}

fn infer(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let xs = c.tensors("tensors")?;
    let equation = Equation::parse(c.str("equation")?, &xs.iter().map(|x| x.rank()).collect::<Vec<_>>())?;
    let first = xs.first().ok_or_else(|| OpError::invalid("einsum needs an operand"))?;
    for (labels, x) in equation.operands.iter().zip(&xs) {
        for (&label, size) in labels.iter().zip(&x.shape) {
            let whole = label_size(&equation, &xs, label);
            if size.as_int().zip(whole.as_int()).is_some_and(|(a, b)| a != b && a != 1) {
                return Err(OpError::Invalid(format!("einsum: a label has the sizes {size} and {whole}")));
            }
        }
    }
    let shape: Vec<Dim> = equation.result.iter().map(|&l| label_size(&equation, &xs, l)).collect();
    Ok(vec![Fact::new(first.dtype, shape)])
}

fn eval(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let xs = c.tensors("tensors")?;
    let facts: Vec<Fact> = xs.iter().map(|x| x.fact()).collect();
    let refs: Vec<&Fact> = facts.iter().collect();
    let equation = Equation::parse(c.str("equation")?, &xs.iter().map(|x| x.rank()).collect::<Vec<_>>())?;
    let labels = equation.labels();
    let (dtype, shape) = host::result_of(c)?;
    let space = shape::known(&labels.iter().map(|&l| label_size(&equation, &refs, l)).collect::<Vec<_>>())?;
    // By how much each label moves in each operand.
    let moves: Vec<Vec<usize>> = xs
        .iter()
        .zip(&equation.operands)
        .map(|(x, own)| {
            let strides = host::broadcast_strides(x.shape(), x.rank());
            let step = |l: &u32| own.iter().zip(&strides).filter(|(o, _)| *o == l).map(|(_, s)| s).sum();
            labels.iter().map(step).collect()
        })
        .collect();
    let kept = equation.result.len();
    let inner = &space[kept..];
    let count: usize = inner.iter().product();
    let (mut index, mut sum_index) = (vec![0; kept], vec![0; inner.len()]);
    let out = Tensor::from_fn(if dtype.is_float() { DType::F64 } else { dtype }, &shape, |i| {
        unravel(i, &shape, &mut index);
        let bases: Vec<usize> = moves.iter().map(|m| host::dot(&index, &m[..kept])).collect();
        let mut total = num_complex::Complex64::ZERO;
        for s in 0..count {
            unravel(s, inner, &mut sum_index);
            let mut product = num_complex::Complex64::ONE;
            for ((x, base), m) in xs.iter().zip(&bases).zip(&moves) {
                product *= x.get(base + host::dot(&sum_index, &m[kept..])).to_complex();
            }
            total += product;
        }
        if dtype.is_complex() { Scalar::Complex(total) } else { Scalar::Float(total.re) }
    });
    Ok(vec![out.cast(dtype)])
}
