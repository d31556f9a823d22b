//! 3×3 convolutions in two kernels: the transform of the input's tiles, and their products ([`crate::winograd`]).

use super::statements::{Statements, binary, compare, over};
use super::{Binding, Lowered};
use crate::winograd::{INPUT, INPUTS, OUTPUTS, PRODUCTS};
use crate::{Access, BinaryOp, Body, CompareOp, Convolution, Expr, Kernel, LoopKind, Param, Stmt, Winograd};
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{DType, Fact};

/// Channels on either side from which on the transforms cost less than the products they save.
const LEAST_CHANNELS: i64 = 32;
/// Tiles from which on the arithmetic weighs more than reading 16 instead of 9 factors for each pair of channels.
const LEAST_TILES: i64 = 32;

/// Splits a convolution with a constant 3×3 window of stride 1 and enough channels; anything else stays as it is.
pub fn split(whole: Lowered) -> Vec<Lowered> {
    let Lowered { kernel, bindings, .. } = &whole;
    let Body::Convolution(c) = &kernel.body else { return vec![whole] };
    let (Some(tiles), Some(input)) = (suits(c, &kernel.params), bindings.get(c.x.0)) else { return vec![whole] };
    let scratch = Binding::Scratch(Fact::new(
        DType::F32,
        vec![Dim::int(PRODUCTS), c.batch.1.clone(), tiles[0].clone(), tiles[1].clone(), Dim::int(c.input_channels)],
    ));
    let transform =
        Lowered { kernel: transform(c, &tiles, kernel), bindings: vec![input.clone(), scratch.clone()], repeat: None };
    let mut params = kernel.params.clone();
    params.push(Param { name: "tiles".to_string(), dtype: DType::F32, access: Access::Read });
    let bindings = bindings.iter().cloned().chain([scratch]).collect();
    let body = Body::Winograd(Winograd {
        batch: c.batch.clone(),
        channel: c.channel.clone(),
        spatial: c.spatial.clone(),
        input_channels: c.input_channels,
        v: kernel.params.len(),
        tiles,
        w: c.w,
        epilogue: c.epilogue.clone(),
    });
    vec![transform, Lowered { kernel: Kernel { name: kernel.name.clone(), params, body }, bindings, repeat: None }]
}

/// Tiles along both dimensions, if the convolution gains.
fn suits(c: &Convolution, params: &[Param]) -> Option<[Dim; 2]> {
    let f32s = [c.x.0, c.w].iter().all(|p| params.get(*p).is_some_and(|p| p.dtype == DType::F32));
    let form = c.window == [3, 3] && c.stride == [1, 1] && c.dilation == [1, 1] && c.groups == 1;
    let channels = c.input_channels >= LEAST_CHANNELS && c.channel.1.as_int().is_some_and(|n| n >= LEAST_CHANNELS);
    if !(f32s && form && channels && c.weight_is_constant && c.x.1.get(1).is_some_and(Dim::is_one)) {
        return None;
    }
    let [(_, height), (_, width)] = c.spatial.as_slice() else { return None };
    let tiles = [height, width].map(|n| n.ceil_div(&Dim::int(OUTPUTS as i64)));
    let all = &(&tiles[0] * &tiles[1]) * &c.batch.1;
    all.as_int().is_none_or(|n| n >= LEAST_TILES).then_some(tiles)
}

/// `v[i·4+j, n, ty, tx, c] = (Bᵀ d B)[i, j]` of the tile at `(2·ty, 2·tx)`, zero outside the input.
fn transform(c: &Convolution, tiles: &[Dim; 2], kernel: &Kernel) -> Kernel {
    let symbol = |name: &str| Symbol::from(name);
    let (n, ty, tx, channel) = (symbol("n0"), symbol("t1"), symbol("t2"), symbol("c3"));
    let mut body = Statements::default();
    // Whether a row or column of the tile is inside the input.
    let mut inside: Vec<Vec<Expr>> = Vec::new();
    let mut places: Vec<Vec<Dim>> = Vec::new();
    for (axis, tile) in [&ty, &tx].into_iter().enumerate() {
        let (mut row, mut at) = (Vec::new(), Vec::new());
        for i in 0..INPUTS {
            let place = &(&(&Dim::sym(tile.clone()) * (OUTPUTS as i64)) + &Dim::int(i as i64)) - &c.pad_low[axis];
            let lower = compare(CompareOp::Ge, Expr::Index(place.clone()), Expr::Int(0, DType::I64));
            let upper = compare(CompareOp::Lt, Expr::Index(place.clone()), Expr::Index(c.input_spatial[axis].clone()));
            row.push(body.define(DType::Bool, binary(BinaryOp::And, lower, upper)));
            at.push(place);
        }
        inside.push(row);
        places.push(at);
    }
    let around = body.take();
    let strides = &c.x.1;
    let mut piece = Vec::new();
    for (y, at_y) in places[0].iter().enumerate() {
        for (x, at_x) in places[1].iter().enumerate() {
            let address = [&n, &channel]
                .into_iter()
                .map(|s| Dim::sym(s.clone()))
                .chain([at_y.clone(), at_x.clone()])
                .zip(strides)
                .fold(c.x_offset.clone(), |sum, (i, stride)| &sum + &(&i * stride));
            let value = Expr::Guarded {
                condition: Box::new(binary(BinaryOp::And, inside[0][y].clone(), inside[1][x].clone())),
                value: Box::new(Expr::Load { param: 0, address }),
                other: Box::new(Expr::Float(0.0, DType::F32)),
            };
            piece.push(body.define(DType::F32, value));
        }
    }
    // Bᵀ from the left, then B from the right.
    let rows = combine(&mut body, &piece, |i, j, k| (k * INPUTS + j, INPUT[i][k]));
    let values = combine(&mut body, &rows, |i, j, k| (i * INPUTS + k, INPUT[j][k]));
    let tile = &(&(&Dim::sym(n.clone()) * &tiles[0]) + &Dim::sym(ty.clone())) * &tiles[1];
    let tile = &tile + &Dim::sym(tx.clone());
    let all = &(&tiles[0] * &tiles[1]) * &c.batch.1;
    for (product, value) in values.into_iter().enumerate() {
        let row = &(&all * (product as i64)) + &tile;
        let address = &(&row * c.input_channels) + &Dim::sym(channel.clone());
        body.stmts.push(Stmt::Store { param: 1, address, value });
    }
    let mut inner = around;
    inner.push(over(channel, &Dim::int(c.input_channels), LoopKind::Vector, body.take()));
    let nest = over(tx, &tiles[1], LoopKind::Parallel, inner);
    let nest = over(ty, &tiles[0], LoopKind::Parallel, vec![nest]);
    let nest = over(n, &c.batch.1, LoopKind::Parallel, vec![nest]);
    let input = kernel.params.get(c.x.0).map_or("x", |p| &p.name).to_string();
    let params = vec![
        Param { name: input, dtype: DType::F32, access: Access::Read },
        Param { name: "tiles".to_string(), dtype: DType::F32, access: Access::Write },
    ];
    Kernel { name: format!("{}_tiles", kernel.name), params, body: Body::Loops(vec![nest]) }
}

/// A 4×4 matrix whose element `(i, j)` is `Σ_k factor · operand`, where `term(i, j, k)` names both; factors are 0 or ±1.
fn combine(body: &mut Statements, operands: &[Expr], term: impl Fn(usize, usize, usize) -> (usize, f64)) -> Vec<Expr> {
    (0..INPUTS * INPUTS)
        .map(|at| {
            body.sum((0..INPUTS).map(|k| {
                let (operand, factor) = term(at / INPUTS, at % INPUTS, k);
                (factor, operands[operand].clone())
            }))
        })
        .collect()
}
