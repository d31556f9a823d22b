//! Constants that vector lanes read across rows are transposed at compile time.
//!
//! A recurrent layer's weight is `[gates, units]` and its lanes run through the gates: neighbouring lanes lie a row
//! apart, and every vector would be gathered element by element. In the transposed constant they are neighbours. Where
//! whole vectors fit, the constant is cut into panels of rows as wide as a vector, which a sum walks without a gap.

use super::packing::Packing;
use crate::loops::{stride_within, widths};
use crate::target::Target;
use pt2c_ir::DType;
use pt2c_ir::dim::{Dim, Kind, Scope, Symbol};
use pt2c_kernel::{Body, BufferKind, Expr, For, Kernel, KernelId, KernelProgram, LoopKind, Stmt};

/// The kernel with transposed constants wherever that makes its lanes neighbours, and the constants' layouts by
/// parameter.
pub(super) fn transpose_constants(
    program: &KernelProgram,
    id: KernelId,
    target: &Target,
) -> Option<(Kernel, Vec<(usize, Packing)>)> {
    let kernel = program.kernels.get(id.0 as usize)?;
    let Body::Loops(body) = &kernel.body else { return None };
    let mut stmts = body.clone();
    let dtypes: Vec<DType> = kernel.params.iter().map(|p| p.dtype).collect();
    // Loops at the top are shared out among threads at any place.
    let top: Vec<Symbol> =
        body.iter().filter_map(|s| if let Stmt::For(f) = s { Some(f.var.clone()) } else { None }).collect();
    let widths = |f: &For| match f.extent.as_int() {
        Some(n) if !top.contains(&f.var) => {
            Some(i64::from(widths(f, &dtypes, Some(n), target).1)).filter(|wide| n % wide == 0)
        }
        _ => None,
    };
    let mut packings = Vec::new();
    for param in 0..kernel.params.len() {
        let Some(len) = constant_len(program, id, param) else { continue };
        let mut probe = Probe { param, len, columns: None, panel: None, fits: true };
        visit(&mut stmts.clone(), &program.scope, None, &widths, &mut |address, scope, lane| {
            probe.look(address, scope, lane);
            None
        });
        let Some(columns) = probe.columns.filter(|_| probe.fits) else { continue };
        let rows = len / columns;
        let panel = probe.panel.flatten().filter(|panel| rows % panel == 0);
        visit(&mut stmts, &program.scope, None, &widths, &mut |(of, address), scope, _| {
            let (row, column) = split(address, columns, scope).filter(|_| of == param)?;
            Some(match panel {
                Some(panel) => in_panels(&row, &column, columns, panel),
                None => column * rows + row,
            })
        });
        packings.push((param, Packing::Transpose { rows, columns, panel: panel.unwrap_or(rows) }));
    }
    if packings.is_empty() {
        return None;
    }
    Some((Kernel { body: Body::Loops(stmts), ..kernel.clone() }, packings))
}

/// Elements of the constant that every call passes for a parameter; `None` if one does not pass a constant, or they
/// differ in size.
fn constant_len(program: &KernelProgram, id: KernelId, param: usize) -> Option<i64> {
    let mut len = None;
    for (_, buffers, _) in program.calls().into_iter().filter(|(kernel, ..)| *kernel == id) {
        let buffer = program.buffers.get(buffers.get(param)?.0 as usize)?;
        let BufferKind::Constant(_) = buffer.kind else { return None };
        let this = buffer.len.as_int()?;
        if len.is_some_and(|l| l != this) {
            return None;
        }
        len = Some(this);
    }
    len.filter(|l| *l > 0)
}

/// The place of an element in panels of rows: `[rows / panel][columns][panel]`.
fn in_panels(row: &Dim, column: &Dim, columns: i64, panel: i64) -> Dim {
    let width = Dim::int(panel);
    row.floor_div(&width) * (columns * panel) + column * panel + row.modulo(&width)
}

/// A vector loop: its symbol and the iterations of a step, if only whole steps are taken.
struct Lane {
    symbol: Symbol,
    width: Option<i64>,
}

/// Finds the distance of lanes in a parameter that all its loads agree on.
struct Probe {
    param: usize,
    len: i64,
    columns: Option<i64>,
    /// The panels that all loads can be read from as whole vectors: `Some(None)` if there are none.
    panel: Option<Option<i64>>,
    fits: bool,
}

impl Probe {
    fn look(&mut self, (param, address): (usize, &Dim), scope: &Scope, lane: Option<&Lane>) {
        if param != self.param {
            return;
        }
        let stride = lane.and_then(|l| address.coefficient_of(&l.symbol)).and_then(|(s, _)| s.as_int());
        let fits = match stride {
            Some(columns) if columns > 1 && self.len % columns == 0 => {
                let agrees = self.columns.is_none_or(|c| c == columns);
                self.columns = Some(columns);
                let place = split(address, columns, scope);
                let panel = lane.zip(place.as_ref()).and_then(|(lane, (row, column))| {
                    let panel = lane.width?;
                    let place = in_panels(row, column, columns, panel);
                    (stride_within(&place, &lane.symbol, panel, scope) == Some(1)).then_some(panel)
                });
                self.panel = Some(panel.filter(|p| self.panel.is_none_or(|known| known == Some(*p))));
                agrees && place.is_some()
            }
            _ => false,
        };
        self.fits = self.fits && fits;
    }
}

/// `(row, column)` with `address = row · columns + column` and `0 <= column < columns`, proven.
fn split(address: &Dim, columns: i64, scope: &Scope) -> Option<(Dim, Dim)> {
    let (mut row, mut column) = (Dim::ZERO, Dim::ZERO);
    match address.kind() {
        Kind::Sum(sum) => {
            for term in &sum.terms {
                let factors =
                    term.factors.iter().fold(Dim::ONE, |p, (f, power)| p * f.pow(&Dim::int(i64::from(*power))));
                if term.coeff % columns == 0 {
                    row = row + factors * (term.coeff / columns);
                } else {
                    column = column + factors * term.coeff;
                }
            }
            row = row + sum.constant.div_euclid(columns);
            column = column + sum.constant.rem_euclid(columns);
        }
        _ => column = address.clone(),
    }
    let bounds = scope.bounds(&column);
    (bounds.min.is_some_and(|m| m >= 0) && bounds.max.is_some_and(|m| m < columns)).then_some((row, column))
}

/// What [`visit`] calls for every load: the parameter and address, what is known, the vector loop around. It may return
/// another address.
type See<'a> = dyn FnMut((usize, &Dim), &Scope, Option<&Lane>) -> Option<Dim> + 'a;

fn visit(
    list: &mut [Stmt],
    scope: &Scope,
    lane: Option<&Lane>,
    widths: &dyn Fn(&For) -> Option<i64>,
    see: &mut See<'_>,
) {
    let mut scope = scope.clone();
    for stmt in list {
        match stmt {
            Stmt::Let { value, .. } => visit_expr(value, &scope, lane, see),
            Stmt::Index { symbol, extent, value } => {
                visit_expr(value, &scope, lane, see);
                scope.declare_in(&*symbol, Dim::ZERO, extent.clone());
            }
            Stmt::Store { value, .. } => visit_expr(value, &scope, lane, see),
            Stmt::For(f) => {
                let own = (f.kind == LoopKind::Vector && lane.is_none())
                    .then(|| Lane { symbol: f.var.clone(), width: widths(f) });
                let lane = own.as_ref().or(lane);
                let For { var, extent, carried, body, .. } = f;
                let mut inner = scope.clone();
                inner.declare_in(&*var, Dim::ZERO, extent.clone());
                for c in carried {
                    visit_expr(&mut c.init, &scope, None, see);
                    visit_expr(&mut c.next, &inner, lane, see);
                }
                visit(body, &inner, lane, widths, see);
            }
            Stmt::If { condition, then } => {
                visit_expr(condition, &scope, lane, see);
                visit(then, &scope, lane, widths, see);
            }
            Stmt::Check { condition, value, .. } => {
                visit_expr(condition, &scope, lane, see);
                if let Some(value) = value {
                    visit_expr(value, &scope, lane, see);
                }
            }
        }
    }
}

fn visit_expr(expr: &mut Expr, scope: &Scope, lane: Option<&Lane>, see: &mut See<'_>) {
    match expr {
        Expr::Load { param, address } => {
            if let Some(changed) = see((*param, address), scope, lane) {
                *address = changed;
            }
        }
        Expr::Guarded { condition: a, value: b, other: c } | Expr::Select(a, b, c) => {
            visit_expr(a, scope, lane, see);
            visit_expr(b, scope, lane, see);
            visit_expr(c, scope, lane, see);
        }
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => visit_expr(a, scope, lane, see),
        Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => {
            visit_expr(a, scope, lane, see);
            visit_expr(b, scope, lane, see);
        }
        Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) | Expr::Index(_) => {}
    }
}
