//! `plan_memory`: one arena for all values that live within a call.
//!
//! Lifetimes are those of steps. Buffers that are never alive together share a slot; a slot is as large as its largest
//! buffer, a formula in the root symbols where sizes are dynamic. Which slot a buffer takes is decided at one
//! representative point of the symbols (best fit), the result is right at every point. Buffers whose sizes depend on
//! data are placed in an arena of their own for each symbol: it is made when the symbol gets its value.

use crate::{Bound, BufferKind, KernelProgram, Stage, Step};
use pt2c_ir::dim::{Dim, Proof, Scope, Symbol};

/// Alignment of every buffer in the arena: a cache line.
pub const ALIGN: i64 = 64;

/// A piece of the arena.
struct Slot {
    /// Bytes, over root symbols.
    size: Dim,
    /// Bytes at the representative point.
    sample: i64,
    /// The last step that uses its present buffer.
    busy_until: usize,
}

/// First and last use of every buffer, in steps counted in program order.
fn lifetimes(program: &KernelProgram) -> Vec<Option<(usize, usize)>> {
    fn walk(steps: &[Step], at: &mut usize, touch: &mut dyn FnMut(u32, usize)) {
        for step in steps {
            *at += 1;
            match step {
                Step::Call { buffers, .. } => buffers.iter().for_each(|b| touch(b.0, *at)),
                Step::Bind { value: Bound::Element(buffer), .. } => touch(buffer.0, *at),
                Step::Bind { .. } => {}
                Step::If { condition, then, otherwise } => {
                    touch(condition.0, *at);
                    walk(then, at, touch);
                    walk(otherwise, at, touch);
                }
                Step::While { before, condition, body } => {
                    // Anything used inside a loop lives for all of it.
                    let start = *at;
                    let mut used = vec![condition.0];
                    let mut note = |b: u32, _: usize| used.push(b);
                    walk(before, at, &mut note);
                    walk(body, at, &mut note);
                    let end = *at;
                    for b in used {
                        touch(b, start);
                        touch(b, end);
                    }
                }
            }
        }
    }
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; program.buffers.len()];
    let mut at = 0;
    walk(&program.steps, &mut at, &mut |buffer, step| {
        if let Some(life) = lives.get_mut(buffer as usize) {
            *life = Some(life.map_or((step, step), |(first, last)| (first.min(step), last.max(step))));
        }
    });
    lives
}

/// A value for every root symbol, inside its range: 64 where that is allowed.
fn representative(scope: &Scope, symbol: &Symbol) -> i64 {
    let range = scope.range_of(symbol);
    64.clamp(range.min.unwrap_or(0).max(0), range.max.unwrap_or(i64::MAX).max(range.min.unwrap_or(0).max(0)))
}

/// The symbols that steps give values, in the order of the steps.
fn stages(steps: &[Step], found: &mut Vec<Stage>) {
    Step::visit(steps, &mut |step| {
        if let Step::Bind { symbol, .. } = step
            && !found.iter().any(|s| s.symbol == *symbol)
        {
            found.push(Stage { symbol: symbol.clone(), arena_bytes: Dim::ZERO });
        }
    });
}

/// Finds the stages, gives every arena buffer its offset and each stage the size of its arena.
pub fn plan_memory(program: &mut KernelProgram) {
    program.stages.clear();
    let mut found = Vec::new();
    stages(&program.steps, &mut found);
    program.stages = found;
    let lives = lifetimes(program);
    let mut order: Vec<usize> = (0..program.buffers.len())
        .filter(|&b| matches!(program.buffers[b].kind, BufferKind::Arena(_)) && lives[b].is_some())
        .collect();
    order.sort_by_key(|&b| lives[b]);
    let scope = program.scope.clone();
    for stage in 0..=program.stages.len() {
        let own: Vec<usize> =
            order.iter().copied().filter(|&b| program.stage_of(&program.buffers[b].len) == stage).collect();
        let end = place(program, &scope, &lives, &own);
        match stage.checked_sub(1).and_then(|s| program.stages.get_mut(s)) {
            Some(late) => late.arena_bytes = end,
            None => program.arena_bytes = end,
        }
    }
}

/// Gives these buffers, ordered by the begin of their lives, offsets; returns the bytes that they need together.
fn place(program: &mut KernelProgram, scope: &Scope, lives: &[Option<(usize, usize)>], order: &[usize]) -> Dim {
    let mut slots: Vec<Slot> = Vec::new();
    let mut chosen: Vec<(usize, usize)> = Vec::new();
    for &b in order {
        let Some((first, last)) = lives[b] else { continue };
        let buffer = &program.buffers[b];
        let size = scope.simplify(&(&buffer.len * buffer.dtype.size() as i64));
        let sample = size.eval(&|s| Some(representative(scope, s))).unwrap_or(i64::MAX);
        let waste = |s: &Slot| (s.sample < sample, (s.sample - sample).unsigned_abs());
        let free = slots.iter().enumerate().filter(|(_, s)| s.busy_until < first).min_by_key(|(i, s)| (waste(s), *i));
        let at = match free {
            Some((i, _)) => {
                let slot = &mut slots[i];
                slot.size = larger(scope, &slot.size, &size);
                slot.sample = slot.sample.max(sample);
                slot.busy_until = last;
                i
            }
            None => {
                slots.push(Slot { size, sample, busy_until: last });
                slots.len() - 1
            }
        };
        chosen.push((b, at));
    }
    let mut offsets = Vec::with_capacity(slots.len());
    let mut end = Dim::ZERO;
    for slot in &slots {
        offsets.push(end.clone());
        end = scope.simplify(&(end + aligned(&slot.size)));
    }
    for (b, at) in chosen {
        program.buffers[b].kind = BufferKind::Arena(offsets[at].clone());
    }
    end
}

fn aligned(size: &Dim) -> Dim {
    size.ceil_div(&Dim::int(ALIGN)) * ALIGN
}

fn larger(scope: &Scope, a: &Dim, b: &Dim) -> Dim {
    if scope.prove_le(a, b) == Proof::Yes {
        b.clone()
    } else if scope.prove_le(b, a) == Proof::Yes {
        a.clone()
    } else {
        a.max(b)
    }
}
