//! Merging nested loops that together walk memory without a gap.

use super::nest::visit_dims;
use crate::{Epilogue, Expr, LoopKind, Stmt};
use pt2c_ir::dim::{Dim, Symbol};
use std::collections::BTreeMap;

/// Merges perfectly nested loops `o`, `i` where every address is `b·(extent(i)·o + i) + rest`: one loop of both
/// extents' product with the inner variable, `o` becoming 0. Nothing but addresses may mention the variables.
pub fn collapse(stmts: &mut [Stmt]) {
    for stmt in stmts {
        while merge(stmt) {}
        if let Stmt::For(l) = stmt {
            collapse(&mut l.body);
        }
    }
}

fn merge(stmt: &mut Stmt) -> bool {
    let Stmt::For(outer) = stmt else { return false };
    let [Stmt::For(inner)] = outer.body.as_slice() else { return false };
    let mergeable = outer.carried.is_empty()
        && inner.carried.is_empty()
        && (outer.kind == inner.kind || (outer.kind, inner.kind) == (LoopKind::Parallel, LoopKind::Vector))
        && !inner.extent.mentions(&|s| *s == outer.var)
        && walks_as_one(&inner.body, &outer.var, &inner.var, &inner.extent);
    if !mergeable {
        return false;
    }
    let mut merged = inner.clone();
    merged.extent = &outer.extent * &inner.extent;
    let map: BTreeMap<Symbol, Dim> = BTreeMap::from([(outer.var.clone(), Dim::ZERO)]);
    substitute(&mut merged.body, &map);
    *stmt = Stmt::For(merged);
    true
}

/// Whether every address moves by `extent` times as much for a step of `outer` as for one of `inner`, and neither
/// variable is used otherwise.
fn walks_as_one(stmts: &[Stmt], outer: &Symbol, inner: &Symbol, extent: &Dim) -> bool {
    let mut fine = !uses_as_value(stmts, outer, inner);
    visit_dims(stmts, &mut |dim| {
        let steps = dim.coefficient_of(outer).zip(dim.coefficient_of(inner));
        fine &= steps.is_some_and(|((o, _), (i, _))| o == &i * extent);
    });
    fine
}

/// Whether a variable occurs outside addresses: as a value, in a condition, or in an inner loop's extent.
fn uses_as_value(stmts: &[Stmt], outer: &Symbol, inner: &Symbol) -> bool {
    let mentions = |d: &Dim| d.mentions(&|s| s == outer || s == inner);
    stmts.iter().any(|stmt| match stmt {
        Stmt::Let { value, .. } | Stmt::Store { value, .. } => in_expr(value, &mentions),
        Stmt::Index { value, extent, .. } => in_expr(value, &mentions) || mentions(extent),
        Stmt::For(l) => {
            mentions(&l.extent)
                || l.carried.iter().any(|c| in_expr(&c.init, &mentions) || in_expr(&c.next, &mentions))
                || uses_as_value(&l.body, outer, inner)
        }
        Stmt::If { condition, then } => in_expr(condition, &mentions) || uses_as_value(then, outer, inner),
        Stmt::Check { condition, value, .. } => {
            in_expr(condition, &mentions) || value.as_ref().is_some_and(|v| in_expr(v, &mentions))
        }
    })
}

/// Whether an expression uses an index as a value, outside addresses of loads.
fn in_expr(expr: &Expr, mentions: &dyn Fn(&Dim) -> bool) -> bool {
    match expr {
        Expr::Index(d) => mentions(d),
        Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) | Expr::Load { .. } => false,
        Expr::Guarded { condition: a, value: b, other: c } | Expr::Select(a, b, c) => {
            in_expr(a, mentions) || in_expr(b, mentions) || in_expr(c, mentions)
        }
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => in_expr(a, mentions),
        Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => in_expr(a, mentions) || in_expr(b, mentions),
    }
}

/// Whether an epilogue uses one of the symbols outside addresses.
pub fn epilogue_uses_as_value(epilogue: &Epilogue, a: &Symbol, b: &Symbol) -> bool {
    let mentions = |d: &Dim| d.mentions(&|s| s == a || s == b);
    uses_as_value(&epilogue.lets, a, b) || epilogue.stores.iter().any(|(_, _, value)| in_expr(value, &mentions))
}

/// Replaces symbols in an epilogue.
pub fn substitute_epilogue(epilogue: &mut Epilogue, map: &BTreeMap<Symbol, Dim>) {
    substitute(&mut epilogue.lets, map);
    for (_, address, value) in &mut epilogue.stores {
        *address = address.subs(map);
        substitute_expr(value, map);
    }
}

/// Replaces symbols in all addresses and index expressions.
pub fn substitute(stmts: &mut [Stmt], map: &BTreeMap<Symbol, Dim>) {
    for stmt in stmts {
        match stmt {
            Stmt::Let { value, .. } => substitute_expr(value, map),
            Stmt::Index { value, extent, .. } => {
                substitute_expr(value, map);
                *extent = extent.subs(map);
            }
            Stmt::Store { address, value, .. } => {
                *address = address.subs(map);
                substitute_expr(value, map);
            }
            Stmt::For(l) => {
                l.extent = l.extent.subs(map);
                for c in &mut l.carried {
                    substitute_expr(&mut c.init, map);
                    substitute_expr(&mut c.next, map);
                }
                substitute(&mut l.body, map);
            }
            Stmt::If { condition, then } => {
                substitute_expr(condition, map);
                substitute(then, map);
            }
            Stmt::Check { condition, value, .. } => {
                substitute_expr(condition, map);
                if let Some(v) = value {
                    substitute_expr(v, map);
                }
            }
        }
    }
}

/// Replaces symbols in one expression.
pub fn substitute_expr(expr: &mut Expr, map: &BTreeMap<Symbol, Dim>) {
    match expr {
        Expr::Index(d) | Expr::Load { address: d, .. } => *d = d.subs(map),
        Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) => {}
        Expr::Guarded { condition: a, value: b, other: c } | Expr::Select(a, b, c) => {
            substitute_expr(a, map);
            substitute_expr(b, map);
            substitute_expr(c, map);
        }
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => substitute_expr(a, map),
        Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => {
            substitute_expr(a, map);
            substitute_expr(b, map);
        }
    }
}
