//! What can be read off a kernel: the symbols it mentions, whether it checks data, how much work it is.

use pt2c_ir::dim::{Dim, Symbol};
use pt2c_kernel::{
    Attention, Body, Convolution, Epilogue, Expr, For, Kernel, LoopKind, Matmul, MatmulB, Stmt, UnaryOp,
};

/// Those of `roots` that the kernel mentions, in their order.
pub(super) fn symbols_of(kernel: &Kernel, roots: &[Symbol]) -> Vec<Symbol> {
    let mut found: Vec<bool> = vec![false; roots.len()];
    body_dims(&kernel.body, &mut |dim| {
        for (root, found) in roots.iter().zip(&mut found) {
            *found = *found || dim.mentions(&|s| s == root);
        }
    });
    roots.iter().zip(found).filter(|(_, f)| *f).map(|(r, _)| r.clone()).collect()
}

/// Whether any statement can end the call with an error.
pub(super) fn has_checks(body: &Body) -> bool {
    fn any(list: &[Stmt]) -> bool {
        list.iter().any(|s| match s {
            Stmt::Check { .. } => true,
            Stmt::For(f) => any(&f.body),
            Stmt::If { then, .. } => any(then),
            Stmt::Let { .. } | Stmt::Index { .. } | Stmt::Store { .. } => false,
        })
    }
    match body {
        Body::Loops(list) => any(list),
        Body::Matmul(_)
        | Body::Convolution(_)
        | Body::Winograd(_)
        | Body::Strassen(_)
        | Body::Attention(_)
        | Body::Sort(_)
        | Body::Routine(_) => false,
        // The function can report a failure.
        Body::Custom(_) => true,
    }
}

/// Calls `see` with every symbolic expression of a kernel's body.
fn body_dims(body: &Body, see: &mut dyn FnMut(&Dim)) {
    match body {
        Body::Loops(list) => stmts_dims(list, see),
        Body::Matmul(Matmul { batch, m, n, k, a, b, accumulator: _, rounding: _, epilogue }) => {
            for (_, extent) in batch.iter().chain([m, n, k]) {
                see(extent);
            }
            see(&a.1);
            if let MatmulB::Strided { address, .. } = b {
                see(address);
            }
            epilogue_dims(epilogue, see);
        }
        Body::Convolution(c) => convolution_dims(c, see),
        Body::Winograd(w) => {
            for (_, extent) in [&w.batch, &w.channel].into_iter().chain(&w.spatial) {
                see(extent);
            }
            w.tiles.iter().for_each(&mut *see);
            epilogue_dims(&w.epilogue, see);
        }
        Body::Strassen(s) => {
            for (_, extent) in [&s.m, &s.n, &s.k] {
                see(extent);
            }
            epilogue_dims(&s.epilogue, see);
        }
        Body::Attention(a) => attention_dims(a, see),
        Body::Sort(s) => [&s.outer, &s.len, &s.inner, &s.keep, &s.areas].into_iter().for_each(see),
        Body::Routine(r) => r.sizes.iter().chain([&r.count, &r.cost]).for_each(see),
        Body::Custom(c) => c.dims().for_each(see),
    }
}

fn convolution_dims(c: &Convolution, see: &mut dyn FnMut(&Dim)) {
    see(&c.batch.1);
    see(&c.channel.1);
    c.spatial.iter().for_each(|(_, extent)| see(extent));
    c.input_spatial.iter().chain(&c.pad_low).chain(&c.x.1).for_each(&mut *see);
    see(&c.x_offset);
    epilogue_dims(&c.epilogue, see);
}

fn attention_dims(a: &Attention, see: &mut dyn FnMut(&Dim)) {
    for (_, extent) in a.batch.iter().chain([&a.row, &a.position, &a.depth, &a.value_depth]) {
        see(extent);
    }
    for (_, address) in [&a.q, &a.k, &a.v] {
        see(address);
    }
    if let Some(mask) = &a.mask {
        expr_dims(mask, see);
    }
    epilogue_dims(&a.epilogue, see);
}

fn epilogue_dims(e: &Epilogue, see: &mut dyn FnMut(&Dim)) {
    stmts_dims(&e.lets, see);
    for (_, address, value) in &e.stores {
        see(address);
        expr_dims(value, see);
    }
}

fn stmts_dims(list: &[Stmt], see: &mut dyn FnMut(&Dim)) {
    for stmt in list {
        match stmt {
            Stmt::Let { value, .. } => expr_dims(value, see),
            Stmt::Index { extent, value, .. } => {
                see(extent);
                expr_dims(value, see);
            }
            Stmt::Store { address, value, .. } => {
                see(address);
                expr_dims(value, see);
            }
            Stmt::For(For { extent, carried, body, .. }) => {
                see(extent);
                for c in carried {
                    expr_dims(&c.init, see);
                    expr_dims(&c.next, see);
                }
                stmts_dims(body, see);
            }
            Stmt::If { condition, then } => {
                expr_dims(condition, see);
                stmts_dims(then, see);
            }
            Stmt::Check { condition, value, .. } => {
                expr_dims(condition, see);
                if let Some(value) = value {
                    expr_dims(value, see);
                }
            }
        }
    }
}

fn expr_dims(expr: &Expr, see: &mut dyn FnMut(&Dim)) {
    match expr {
        Expr::Index(dim) | Expr::Load { address: dim, .. } => see(dim),
        Expr::Guarded { condition: a, value: b, other: c } | Expr::Select(a, b, c) => {
            expr_dims(a, see);
            expr_dims(b, see);
            expr_dims(c, see);
        }
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => expr_dims(a, see),
        Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => {
            expr_dims(a, see);
            expr_dims(b, see);
        }
        Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) => {}
    }
}

/// Instructions from which on an epilogue is long: more than the few that clamp, scale or add.
const LONG: i64 = 15;

/// Whether an epilogue is so long that it should not be written for each of many accumulators.
pub(super) fn is_long(epilogue: &Epilogue) -> bool {
    let stores: i64 = epilogue.stores.iter().map(|(_, _, value)| expr_cost(value)).sum();
    cost(&epilogue.lets, 1).as_int().is_none_or(|lets| lets + stores >= LONG)
}

/// Work of the statements for `lanes` iterations at once, in instructions, as far as sizes are known. A size over inner
/// loop variables counts as 16.
pub(super) fn cost(list: &[Stmt], lanes: i64) -> Dim {
    let mut total = Dim::ZERO;
    for stmt in list {
        total = total
            + match stmt {
                Stmt::Let { value, .. } | Stmt::Index { value, .. } => Dim::int(expr_cost(value)),
                Stmt::Store { value, .. } => Dim::int(1 + expr_cost(value)),
                Stmt::Check { condition, .. } => Dim::int(expr_cost(condition)),
                Stmt::If { condition, then } => Dim::int(expr_cost(condition)) + cost(then, lanes),
                Stmt::For(f) => loop_cost(f, lanes),
            };
    }
    total
}

fn loop_cost(f: &For, lanes: i64) -> Dim {
    let vector = f.kind == LoopKind::Vector;
    let inner_lanes = if vector { 8 } else { lanes };
    let carried: i64 = f.carried.iter().map(|c| 1 + expr_cost(&c.next)).sum();
    let once = cost(&f.body, inner_lanes) + Dim::int(carried + 1);
    // Root symbols are known where the cost is computed; loop variables are not.
    let extent = match f.extent.as_int() {
        Some(n) => Dim::int(n),
        None if f.extent.mentions(&|s| s.as_str().starts_with(['s', 'u'])) => f.extent.clone(),
        None => Dim::int(16),
    };
    let rounds = if vector { extent.ceil_div(&Dim::int(8)) } else { extent };
    once * rounds
}

fn expr_cost(expr: &Expr) -> i64 {
    match expr {
        Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) => 0,
        Expr::Index(_) | Expr::Load { .. } => 1,
        Expr::Guarded { condition: a, value: b, other: c } | Expr::Select(a, b, c) => {
            1 + expr_cost(a) + expr_cost(b) + expr_cost(c)
        }
        Expr::Unary(op, a) => {
            let own = match op {
                UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Not | UnaryOp::Sqrt | UnaryOp::Reciprocal => 1,
                _ => 15,
            };
            own + expr_cost(a)
        }
        Expr::Cast(_, a) | Expr::Bitcast(_, a) => 1 + expr_cost(a),
        Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => 1 + expr_cost(a) + expr_cost(b),
    }
}
