//! What a call leaves behind when it fails: state and inputs as they were.
//!
//! Some values are written into the memory of a state or an input ([`super::in_place`]), and the call can end with an
//! error at a [`Stmt::Check`]. So every check comes before the first such write: checks of a writing kernel go into a
//! kernel of their own, and steps that may fail move in front, with what they need. Where a check needs what was written,
//! the write goes to a copy, which replaces the original at the end.

use super::Lowering;
use crate::{Access, Body, Buffer, BufferId, BufferKind, For, Kernel, KernelId, Step, Stmt};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Diagnostic, Fact};
use std::collections::BTreeSet;

/// Puts the steps of a program in such an order. Precondition: the memory is not planned yet.
pub fn order(lowering: &mut Lowering<'_>) -> Result<(), Diagnostic> {
    if !must_move(lowering) {
        return Ok(());
    }
    split(lowering);
    while let Some(buffer) = checked_after_write(lowering) {
        redirect(lowering, buffer)?;
    }
    let Some(first) = (0..lowering.steps.len()).find(|&i| writes_kept(lowering, i)) else { return Ok(()) };
    let ahead = needed_by_checks(lowering, first);
    let steps = std::mem::take(&mut lowering.steps);
    let (mut front, mut rest) = (Vec::new(), Vec::new());
    for (i, step) in steps.into_iter().enumerate() {
        if i < first || ahead.contains(&i) { front.push(step) } else { rest.push(step) }
    }
    front.append(&mut rest);
    lowering.steps = front;
    Ok(())
}

/// Whether a step may fail at or behind the first write into something that outlives the call.
fn must_move(lowering: &Lowering<'_>) -> bool {
    let first = (0..lowering.steps.len()).find(|&i| writes_kept(lowering, i));
    first.is_some_and(|first| lowering.steps[first..].iter().any(|s| may_fail(lowering, s)))
}

fn kernel<'l>(lowering: &'l Lowering<'_>, id: KernelId) -> Option<&'l Kernel> {
    lowering.result.kernels.get(id.0 as usize)
}

fn is_kept(lowering: &Lowering<'_>, buffer: BufferId) -> bool {
    let kind = lowering.result.buffers.get(buffer.0 as usize).map(|b| &b.kind);
    matches!(kind, Some(BufferKind::State(_) | BufferKind::Input(_)))
}

fn writes_kept(lowering: &Lowering<'_>, step: usize) -> bool {
    let touched = lowering.steps.get(step).map(|s| touched(lowering, s)).unwrap_or_default();
    touched.written.into_iter().any(|b| is_kept(lowering, b))
}

/// The buffers that a step reads and writes.
#[derive(Default)]
struct Touched {
    read: BTreeSet<BufferId>,
    written: BTreeSet<BufferId>,
}

fn touched(lowering: &Lowering<'_>, step: &Step) -> Touched {
    let mut found = Touched::default();
    collect(lowering, step, &mut found);
    found
}

fn collect(lowering: &Lowering<'_>, step: &Step, found: &mut Touched) {
    match step {
        Step::Call { kernel: id, buffers, .. } => {
            let params = kernel(lowering, *id).map(|k| k.params.as_slice()).unwrap_or_default();
            for (param, buffer) in params.iter().zip(buffers) {
                if param.access != Access::Write {
                    found.read.insert(*buffer);
                }
                if param.access != Access::Read {
                    found.written.insert(*buffer);
                }
            }
        }
        Step::Bind { value: crate::Bound::Element(buffer), .. } => {
            found.read.insert(*buffer);
        }
        Step::Bind { .. } => {}
        Step::If { condition, then, otherwise } => {
            found.read.insert(*condition);
            then.iter().chain(otherwise).for_each(|s| collect(lowering, s, found));
        }
        Step::While { before, condition, body } => {
            found.read.insert(*condition);
            before.iter().chain(body).for_each(|s| collect(lowering, s, found));
        }
    }
}

fn may_fail(lowering: &Lowering<'_>, step: &Step) -> bool {
    match step {
        // A routine reports what it cannot do (a matrix without an inverse), a function of the user's as well.
        Step::Call { kernel: id, .. } => {
            kernel(lowering, *id).is_some_and(|k| has_checks(k) || matches!(k.body, Body::Routine(_) | Body::Custom(_)))
        }
        Step::Bind { .. } => true,
        Step::If { then, otherwise, .. } => then.iter().chain(otherwise).any(|s| may_fail(lowering, s)),
        Step::While { before, body, .. } => before.iter().chain(body).any(|s| may_fail(lowering, s)),
    }
}

fn has_checks(kernel: &Kernel) -> bool {
    matches!(&kernel.body, Body::Loops(stmts) if checks(stmts))
}

fn checks(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| match s {
        Stmt::Check { .. } => true,
        Stmt::For(l) => checks(&l.body),
        Stmt::If { then, .. } => checks(then),
        _ => false,
    })
}

/// Whether `later` must stay behind `earlier`.
fn depends(later: &Touched, earlier: &Touched) -> bool {
    let meets = |a: &BTreeSet<BufferId>, b: &BTreeSet<BufferId>| !a.is_disjoint(b);
    meets(&later.read, &earlier.written)
        || meets(&later.written, &earlier.written)
        || meets(&later.written, &earlier.read)
}

/// The steps from `first` on that may fail, and those from there on that they must stay behind.
fn needed_by_checks(lowering: &Lowering<'_>, first: usize) -> BTreeSet<usize> {
    let all: Vec<Touched> = lowering.steps.iter().map(|s| touched(lowering, s)).collect();
    let mut needed = BTreeSet::new();
    for i in (first..lowering.steps.len()).rev() {
        let wanted = needed.iter().any(|&later: &usize| depends(&all[later], &all[i]));
        if wanted || may_fail(lowering, &lowering.steps[i]) {
            needed.insert(i);
        }
    }
    needed
}

/// A state or an input that is written before a check that needs it.
fn checked_after_write(lowering: &Lowering<'_>) -> Option<BufferId> {
    let first = (0..lowering.steps.len()).find(|&i| writes_kept(lowering, i))?;
    let ahead = needed_by_checks(lowering, first);
    ahead.into_iter().find_map(|i| {
        let touched = touched(lowering, lowering.steps.get(i)?);
        touched.written.into_iter().find(|b| is_kept(lowering, *b))
    })
}

/// Lets the steps work on a copy of a buffer, which is written back at the end.
fn redirect(lowering: &mut Lowering<'_>, buffer: BufferId) -> Result<(), Diagnostic> {
    let missing = || Diagnostic::error("a step that uses a buffer that is not there");
    let Buffer { name, dtype, len, .. } =
        lowering.result.buffers.get(buffer.0 as usize).cloned().ok_or_else(missing)?;
    let fact = Fact::new(dtype, vec![len]);
    let copy = lowering.add_buffer(&format!("{name}.next"), &fact, BufferKind::Arena(Dim::ZERO));
    let mut steps = std::mem::take(&mut lowering.steps);
    Step::visit_mut(&mut steps, &mut |step| {
        step.buffers_mut().iter_mut().filter(|b| **b == buffer).for_each(|b| *b = copy);
    });
    lowering.copy(&fact, buffer, copy)?;
    lowering.steps.append(&mut steps);
    lowering.copy(&fact, copy, buffer)
}

/// Gives the checks of kernels that write into a state or an input a step of their own before.
fn split(lowering: &mut Lowering<'_>) {
    let steps = std::mem::take(&mut lowering.steps);
    for step in steps {
        let parts = match &step {
            Step::Call { kernel: id, buffers, location } => parts(lowering, *id, buffers).map(|p| (p, *location)),
            _ => None,
        };
        match parts {
            Some((parts, location)) => {
                for (kernel, buffers) in parts {
                    lowering.call(kernel, buffers, location);
                }
            }
            None => lowering.steps.push(step),
        }
    }
}

type Call = (Kernel, Vec<BufferId>);

/// The checks of a kernel, and the kernel without them.
fn parts(lowering: &Lowering<'_>, id: KernelId, buffers: &[BufferId]) -> Option<[Call; 2]> {
    let whole = kernel(lowering, id)?;
    let writes =
        |(param, buffer): (&crate::Param, &BufferId)| param.access != Access::Read && is_kept(lowering, *buffer);
    if !has_checks(whole) || !whole.params.iter().zip(buffers).any(writes) {
        return None;
    }
    let Body::Loops(stmts) = &whole.body else { return None };
    let checking = Kernel {
        name: format!("{}_check", whole.name),
        params: whole.params.iter().map(|p| crate::Param { access: Access::Read, ..p.clone() }).collect(),
        body: Body::Loops(only(stmts, true)),
    };
    let writing =
        Kernel { name: whole.name.clone(), params: whole.params.clone(), body: Body::Loops(only(stmts, false)) };
    Some([used(checking, buffers), used(writing, buffers)])
}

/// The statements without stores, or without checks.
fn only(stmts: &[Stmt], checking: bool) -> Vec<Stmt> {
    let mut kept = Vec::new();
    for stmt in stmts {
        match stmt {
            Stmt::Store { .. } if checking => {}
            Stmt::Check { .. } if !checking => {}
            Stmt::For(l) => {
                let body = only(&l.body, checking);
                // A loop that is left with names has nothing to do, unless it carries a value out.
                if !l.carried.is_empty() || does_something(&body) {
                    kept.push(Stmt::For(For { body, ..l.clone() }));
                }
            }
            Stmt::If { condition, then } => {
                let then = only(then, checking);
                if does_something(&then) {
                    kept.push(Stmt::If { condition: condition.clone(), then });
                }
            }
            other => kept.push(other.clone()),
        }
    }
    kept
}

fn does_something(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| !matches!(s, Stmt::Let { .. } | Stmt::Index { .. }))
}

/// The call without parameters that the kernel does not use.
fn used(mut kernel: Kernel, buffers: &[BufferId]) -> Call {
    let mut buffers = buffers.to_vec();
    for param in (0..kernel.params.len()).rev() {
        if let Some(smaller) = super::in_place::without_param(&kernel, param) {
            kernel = smaller;
            buffers.remove(param);
        }
    }
    (kernel, buffers)
}
