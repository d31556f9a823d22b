//! Operators that are formulas over other operators. A formula is written once, with a [`Builder`]; inference runs it
//! on facts, evaluation on host tensors, decomposition into a graph or the e-graph.

mod algebra;
pub mod common;

pub use algebra::{Sheet, Term};

use crate::builder::Build;
use crate::{Builder, Call, OpError, Tensor, Val, lookup};
use pt2c_ir::dim::Scope;
use pt2c_ir::{Arg, Fact};

/// Hands the calls of a formula to `step`, which makes values of type `T` from values.
struct Steps<'a, T> {
    values: Vec<T>,
    scope: &'a Scope,
    fact: fn(&T) -> Fact,
    step: fn(&str, &[Arg<T>], &Scope) -> Result<Vec<T>, OpError>,
}

impl<T: Clone> Steps<'_, T> {
    fn add(&mut self, value: T) -> Val {
        self.values.push(value);
        Val(self.values.len() as u32 - 1)
    }

    fn value(&self, v: Val) -> Result<T, OpError> {
        self.values.get(v.0 as usize).cloned().ok_or_else(|| OpError::invalid("no such value"))
    }
}

impl<T: Clone> Build for Steps<'_, T> {
    fn call(&mut self, op: &str, args: Vec<Arg<Val>>) -> Result<Vec<Val>, OpError> {
        let args = args.iter().map(|a| a.try_map(|&v| self.value(v))).collect::<Result<Vec<_>, _>>()?;
        let results = (self.step)(op, &args, self.scope)?;
        Ok(results.into_iter().map(|r| self.add(r)).collect())
    }

    fn fact(&self, v: Val) -> Fact {
        let value = self.values.get(v.0 as usize);
        value.map_or_else(|| Fact::of(pt2c_ir::DType::Bool, &[0]), self.fact)
    }

    fn scope(&self) -> &Scope {
        self.scope
    }
}

fn carry_out<T: Clone>(c: &Call<'_, T>, mut steps: Steps<'_, T>) -> Result<Vec<T>, OpError> {
    let formula = c.op.def.formula.ok_or_else(|| OpError::Invalid(format!("`{}` has no formula", c.op.name)))?;
    let args: Vec<Arg<Val>> = c.args.iter().map(|a| a.map(|t| steps.add(t.clone()))).collect();
    let results = formula(&mut Builder::new(&mut steps), &Call { op: c.op, args: &args, scope: c.scope })?;
    results.into_iter().map(|v| steps.value(v)).collect()
}

/// Inference by the operator's formula.
pub(crate) fn infer(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let step = |op: &str, args: &[Arg<Fact>], scope: &Scope| crate::infer(op, args, scope);
    // Values are row-major: what a formula makes has no order of its own.
    carry_out(c, Steps { values: Vec::new(), scope: c.scope, fact: Fact::clone, step })
}

/// Evaluation by the operator's formula.
pub(crate) fn eval(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let step = |op: &str, args: &[Arg<Tensor>], scope: &Scope| {
        let op = lookup(op).ok_or_else(|| OpError::UnknownOperator(op.to_string()))?;
        (op.def.eval)(&Call { op, args, scope })
    };
    carry_out(c, Steps { values: Vec::new(), scope: c.scope, fact: Tensor::fact, step })
}

/// Declares an operator by terms: `formula!("schema", |s, c| vec![s.arg(c, "x") + 1.0])`.
macro_rules! formula {
    ($schema:literal, |$s:ident, $c:ident| $body:expr) => {
        crate::OpDef::formula($schema, |b, $c| {
            let sheet = crate::formula::Sheet::new(b);
            let $s = &sheet;
            let results: Vec<crate::formula::Term<'_>> = $body;
            sheet.finish(&results)
        })
    };
    ($schema:literal, $function:path) => {
        crate::formula::formula!($schema, |s, c| $function(s, c)?)
    };
}
pub(crate) use formula;
