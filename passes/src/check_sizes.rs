//! `check_sizes`: what operators need of the sizes of a call and nobody has promised becomes a rule of the program.
//!
//! PyTorch records a guard wherever its own code asks about a size, but some operators only find out when they run (the
//! index of `select_scatter`, the sizes of a slice and what is put there). Compiled code does not ask: what is out of
//! range would be read or written. So every slice, update, reshape, broadcast, concatenation and product whose sizes are not
//! proven to fit gets a constraint, checked at the entry like those that PyTorch recorded, or where the symbol is bound.
//! Nodes in bodies of control flow run conditionally and add none.
//!
//! Precondition: primitives. Postcondition: the same graph.

use pt2c_ir::dim::{Dim, Pred, Scope};
use pt2c_ir::{Arg, Constraint, Diagnostic, Fact, NodeKind, Program, ValueId};
use pt2c_ops::{Tags, lookup};

/// Adds the rules.
pub fn check_sizes(program: &Program) -> Result<Program, Diagnostic> {
    let mut rules: Vec<Constraint> = Vec::new();
    for (_, node) in program.graph.nodes() {
        let NodeKind::Call { op, args } = &node.kind else { continue };
        let operands: Vec<&Fact> = node.operands().filter_map(|v| program.graph.fact(v)).collect();
        let is_static = |f: &Fact| f.shape.iter().all(Dim::is_int);
        let mut dims = args.iter().flat_map(|a| a.as_dims().unwrap_or(a.as_dim().map_or(&[], std::slice::from_ref)));
        if operands.iter().all(|f| is_static(f)) && node.outputs.iter().all(is_static) && dims.all(Dim::is_int) {
            continue;
        }
        let mut needs = Needs { scope: &program.scope, all: Vec::new() };
        needs.of_call(op, args, &operands, &node.outputs);
        for pred in needs.all {
            let known = |c: &Constraint| c.pred == pred;
            if !program.constraints.iter().any(known) && !rules.iter().any(known) {
                rules.push(Constraint { pred, rule: format!("what `{}` needs", node.name) });
            }
        }
    }
    let mut result = program.clone();
    result.constraints.extend(rules);
    Ok(result)
}

/// What calls need and the scope does not prove.
struct Needs<'a> {
    scope: &'a Scope,
    all: Vec<Pred>,
}

impl Needs<'_> {
    fn of_call(&mut self, op: &str, args: &[Arg<ValueId>], operands: &[&Fact], outputs: &[Fact]) {
        let Some(out) = outputs.first() else { return };
        let dims = |at: usize| args.get(at).and_then(Arg::as_dims).unwrap_or(&[]);
        let mut wanted = Vec::new();
        // What must hold only if there is anything to read or write.
        let touched = match (op, operands) {
            ("prim.slice", [x]) => {
                self.inside(&mut wanted, x, dims(1), dims(2), dims(3));
                out
            }
            ("prim.update_slice", [x, src]) => {
                self.inside(&mut wanted, x, dims(2), &src.shape, dims(3));
                src
            }
            ("prim.reshape", [x]) => {
                self.equal(&mut wanted, &x.numel(), &out.numel());
                out
            }
            ("prim.cat", [first, ..]) => {
                let along = args.get(1).and_then(Arg::as_int).and_then(|d| usize::try_from(d).ok());
                for x in operands {
                    for (at, (a, b)) in x.shape.iter().zip(&first.shape).enumerate() {
                        if Some(at) != along {
                            self.equal(&mut wanted, a, b);
                        }
                    }
                }
                out
            }
            ("prim.matmul", [a, b]) => {
                if let ([batch_a @ .., _, k], [batch_b @ .., l, _]) = (a.shape.as_slice(), b.shape.as_slice()) {
                    self.equal(&mut wanted, k, l);
                    let batch = &out.shape[..out.rank().saturating_sub(2)];
                    self.broadcasts(&mut wanted, batch_a, batch);
                    self.broadcasts(&mut wanted, batch_b, batch);
                }
                out
            }
            ("prim.topk", [x]) => {
                let int = |at: usize| args.get(at).and_then(Arg::as_dim);
                let along = int(2).and_then(Dim::as_int).and_then(|d| usize::try_from(d).ok());
                if let (Some(k), Some(n)) = (int(1), along.and_then(|d| x.shape.get(d)))
                    && !self.scope.prove_le(k, n).is_yes()
                {
                    wanted.push(Pred::le(k, n));
                }
                out
            }
            ("prim.expand", [x]) => {
                self.broadcasts(&mut wanted, &x.shape, &out.shape);
                out
            }
            _ => {
                if lookup(op).is_some_and(|o| o.def.tags.has(Tags::POINTWISE)) {
                    operands.iter().for_each(|x| self.broadcasts(&mut wanted, &x.shape, &out.shape));
                }
                out
            }
        };
        let empty: Vec<Pred> = touched
            .shape
            .iter()
            .filter(|n| !self.scope.prove_lt(&Dim::ZERO, n).is_yes())
            .map(|n| Pred::eq(n, &Dim::ZERO))
            .collect();
        self.all.extend(wanted.into_iter().map(|pred| Pred::or(empty.iter().cloned().chain([pred]))));
        for size in outputs.iter().flat_map(|f| &f.shape) {
            if !self.scope.prove_le(&Dim::ZERO, size).is_yes() {
                self.all.push(Pred::ge(size, &Dim::ZERO));
            }
        }
    }

    fn equal(&self, wanted: &mut Vec<Pred>, a: &Dim, b: &Dim) {
        if !self.scope.prove_eq(a, b).is_yes() {
            wanted.push(Pred::eq(a, b));
        }
    }

    /// A size of 1 meets any other.
    fn broadcasts(&self, wanted: &mut Vec<Pred>, own: &[Dim], whole: &[Dim]) {
        for (a, b) in own.iter().rev().zip(whole.iter().rev()).filter(|(a, _)| !a.is_one()) {
            self.equal(wanted, a, b);
        }
    }

    /// From `start`, `size` elements by `step` are elements of `x`.
    fn inside(&self, wanted: &mut Vec<Pred>, x: &Fact, start: &[Dim], size: &[Dim], step: &[Dim]) {
        for (((n, first), count), step) in x.shape.iter().zip(start).zip(size).zip(step) {
            let last = first + &(&(count - &Dim::ONE) * step);
            let (low, high) = if step.as_int().is_some_and(|s| s < 0) { (&last, first) } else { (first, &last) };
            if !self.scope.prove_le(&Dim::ZERO, low).is_yes() {
                wanted.push(Pred::le(&Dim::ZERO, low));
            }
            if !self.scope.prove_lt(high, n).is_yes() {
                wanted.push(Pred::lt(high, n));
            }
        }
    }
}
