//! Contraction kernels: kernel IR's description → the emitters of [`crate::contraction`].
//!
//! Addresses are taken apart into strides, constant weights get a layout of their own ([`Packing`]), and the emitters'
//! finished vectors go through the kernel's epilogue.

use super::packing::Packing;
use super::{Range, visit};
use crate::NativeError;
use crate::builder::{Elem, Func, Val};
use crate::contraction::{
    Attention, Axis, Base, Convolution, Depthwise, Gemm, GemmB, Grouped, Image, Mask, MaskAt, Matrix, Out, Size,
    Strassen, Weight, Winograd, tile,
};
use crate::dims::Indices;
use crate::loops::{Cx, Memory, Value, value_elem};
use pt2c_ir::DType;
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_kernel::{self as kernel, Epilogue, Matmul, MatmulB, Param, Var};
use std::collections::BTreeMap;

/// A contraction that has been written.
pub(super) struct Written {
    /// Its tasks.
    pub range: Range,
    /// Constants that it wants in another layout, by parameter.
    pub packings: Vec<(usize, Packing)>,
}

/// A size as the emitters know it.
fn size(cx: &mut Cx<'_>, dim: &Dim) -> Result<Size, NativeError> {
    match dim.as_int() {
        Some(n) => Ok(Size::Static(n)),
        None => Ok(Size::Dynamic(cx.ix.dim(&mut cx.b, dim)?)),
    }
}

/// `address` as strides of the given symbols and the rest.
fn strides(address: &Dim, symbols: &[&Symbol]) -> Result<(Vec<Dim>, Dim), NativeError> {
    let mut rest = address.clone();
    let mut out = Vec::new();
    for s in symbols {
        let (stride, without) = rest.coefficient_of(s).ok_or_else(|| NativeError::Unsupported {
            what: format!("a contraction whose operand's address is not linear in {s}: {address}"),
        })?;
        out.push(stride);
        rest = without;
    }
    Ok((out, rest))
}

/// The value of `address` where the symbols have the given values.
fn address_at(
    b: &mut Func<'_>,
    indices: &Indices,
    address: &Dim,
    symbols: &[(Symbol, Dim)],
    values: &[Size],
) -> Result<Size, NativeError> {
    let mut known = BTreeMap::new();
    let mut indices = indices.clone();
    for ((symbol, _), value) in symbols.iter().zip(values) {
        match value {
            Size::Static(n) => {
                known.insert(symbol.clone(), Dim::int(*n));
            }
            Size::Dynamic(v) => indices.bind(symbol, *v),
        }
    }
    let address = address.subs(&known);
    match address.as_int() {
        Some(n) => Ok(Size::Static(n)),
        None => Ok(Size::Dynamic(indices.dim(b, &address)?)),
    }
}

/// Writes kernel IR into the middle of an emitter's function.
fn inside<R>(
    b: &mut Func<'_>,
    params: &[Memory],
    indices: &Indices,
    write: impl FnOnce(&mut Cx<'_>) -> Result<R, NativeError>,
) -> Result<R, NativeError> {
    let target = b.target;
    let function = std::mem::replace(b, Func::new(target, ""));
    let mut cx = Cx::new(function, params.to_vec(), indices.scope.clone());
    cx.ix = indices.clone();
    let result = write(&mut cx);
    *b = cx.b;
    result
}

/// What an epilogue needs wherever a vector is finished.
struct Finish<'k> {
    params: Vec<Memory>,
    indices: Indices,
    epilogue: &'k Epilogue,
    accumulator: DType,
    /// The symbol that runs through the lanes.
    lane: Symbol,
}

impl Finish<'_> {
    /// Applies the epilogue to a finished vector whose place is given by the symbols.
    fn apply(&self, b: &mut Func<'_>, out: &Out, symbols: &[(&Symbol, Size)]) -> Result<(), NativeError> {
        inside(b, &self.params, &self.indices, |cx| self.write(cx, out, symbols))
    }

    fn write(&self, cx: &mut Cx<'_>, out: &Out, symbols: &[(&Symbol, Size)]) -> Result<(), NativeError> {
        for (symbol, value) in symbols {
            let value = value.val(&mut cx.b);
            cx.ix.bind(*symbol, value);
        }
        let column = out.col.val(&mut cx.b);
        cx.enter_lanes(&self.lane, column, out.value.ty.lanes(), out.mask);
        cx.set_var(Var(0), Value { val: out.value, dtype: self.accumulator });
        cx.stmts(&self.epilogue.lets)?;
        for (param, address, value) in &self.epilogue.stores {
            let value = cx.expr(value)?;
            cx.store(*param, address, value)?;
        }
        cx.leave_lanes();
        Ok(())
    }
}

fn buffer(cx: &Cx<'_>, param: usize) -> Result<Val, NativeError> {
    cx.params
        .get(param)
        .map(|m| m.val)
        .ok_or_else(|| NativeError::Unsupported { what: format!("a contraction of missing parameter {param}") })
}

fn dtype(params: &[Param], param: usize) -> Option<DType> {
    params.get(param).map(|p| p.dtype)
}

fn signed(params: &[Param], param: usize) -> bool {
    !matches!(dtype(params, param), Some(DType::U8 | DType::U16 | DType::U32 | DType::U64 | DType::Bool))
}

/// Rows from which on products of rounded pairs pay for the rounding.
const FEWEST_ROUNDED: i64 = 4;

/// Writes a matrix product's tasks `begin..end`.
pub(super) fn matmul(
    cx: &mut Cx<'_>,
    params: &[Param],
    mm: &Matmul,
    begin: Val,
    end: Val,
) -> Result<Written, NativeError> {
    let target = cx.b.target;
    let elem = value_elem(mm.accumulator)?;
    for (symbol, extent) in mm.batch.iter().chain([&mm.m, &mm.n, &mm.k]) {
        cx.ix.scope.declare_in(symbol, Dim::ZERO, extent.clone());
    }
    let (m, n, k) = (size(cx, &mm.m.1)?, size(cx, &mm.n.1)?, size(cx, &mm.k.1)?);
    let batch = mm.batch.iter().map(|(_, extent)| size(cx, extent)).collect::<Result<Vec<_>, _>>()?;
    let tile = tile::choose(target, elem, m, n);
    let (a_strides, a_rest) = strides(&mm.a.1, &[&mm.m.0, &mm.k.0])?;
    let b_param = mm.b.param();
    let (b_strides, b_rest) = match mm.b.address() {
        Some(address) => strides(address, &[&mm.k.0, &mm.n.0])?,
        None => (Vec::new(), Dim::ZERO),
    };
    // Few rows wait for the weights; rounding them as well would gain nothing.
    let pairs = mm.rounding == Some(DType::BF16)
        && target.has_bf16_products()
        && matches!(mm.b, MatmulB::Constant { .. })
        && dtype(params, mm.a.0) == Some(DType::F32)
        && a_strides.get(1).is_some_and(Dim::is_one)
        && m.known().is_none_or(|m| m >= FEWEST_ROUNDED)
        && k.known().is_some_and(|k| k % 2 == 0)
        && matches!(tile.lanes, 8 | 16);
    let mut packings = Vec::new();
    if matches!(mm.b, MatmulB::Constant { .. })
        && let (Some(k), Some(n)) = (k.known(), n.known())
        && let [Some(k_stride), Some(n_stride), Some(offset)] =
            [b_strides.first().and_then(Dim::as_int), b_strides.get(1).and_then(Dim::as_int), b_rest.as_int()]
    {
        let (panel, lanes) = (tile.columns(), tile.lanes);
        let packing = if pairs {
            Packing::Pairs { k, n, k_stride, n_stride, offset, panel, lanes }
        } else {
            Packing::Columns { k, n, k_stride, n_stride, offset, panel, lanes }
        };
        packings.push((b_param, packing));
    }
    if let (MatmulB::Grouped { scales, group, .. }, Some(k), Some(n)) = (&mm.b, k.known(), n.known()) {
        let (panel, lanes) = (tile.columns(), tile.lanes);
        for (param, every) in [(b_param, 2), (*scales, *group)] {
            let rows = k / every.max(1);
            let packing = Packing::Columns { k: rows, n, k_stride: n, n_stride: 1, offset: 0, panel, lanes };
            packings.push((param, packing));
        }
    }
    let stride = |cx: &mut Cx<'_>, list: &[Dim], at: usize| -> Result<Size, NativeError> {
        size(cx, list.get(at).unwrap_or(&Dim::ZERO))
    };
    let (a_row, a_col) = (stride(cx, &a_strides, 0)?, stride(cx, &a_strides, 1)?);
    let (b_row, b_col) = (stride(cx, &b_strides, 0)?, stride(cx, &b_strides, 1)?);
    let indices = cx.ix.clone();
    let a_base = |b: &mut Func<'_>, z: &[Size]| address_at(b, &indices, &a_rest, &mm.batch, z);
    let b_base = |b: &mut Func<'_>, z: &[Size]| address_at(b, &indices, &b_rest, &mm.batch, z);
    let mut b_buffer = buffer(cx, b_param)?;
    let pairs = pairs && !packings.is_empty();
    let mut steps = k;
    if pairs {
        b_buffer = cx.b.buffer_as(b_buffer, Elem::F32);
        steps = k.div(&mut cx.b, 2);
    }
    let gemm = Gemm {
        batch,
        m,
        n,
        k: steps,
        a: Matrix { buffer: buffer(cx, mm.a.0)?, base: &a_base, row: a_row, col: a_col },
        b: match &mm.b {
            MatmulB::Grouped { scales, group, .. } => {
                GemmB::Grouped(Grouped { buffer: b_buffer, scales: buffer(cx, *scales)?, group: *group })
            }
            _ if packings.is_empty() => {
                GemmB::Strided(Matrix { buffer: b_buffer, base: &b_base, row: b_row, col: b_col })
            }
            _ => GemmB::Packed { buffer: b_buffer },
        },
        accumulator: elem,
        signed: signed(params, mm.a.0) && signed(params, b_param),
        tile,
        pairs,
        long_epilogue: visit::is_long(&mm.epilogue),
    };
    let finish = Finish {
        params: cx.params.clone(),
        indices: indices.clone(),
        epilogue: &mm.epilogue,
        accumulator: mm.accumulator,
        lane: mm.n.0.clone(),
    };
    gemm.emit(&mut cx.b, begin, end, &mut |b, out| {
        let mut symbols: Vec<(&Symbol, Size)> =
            mm.batch.iter().map(|(s, _)| s).zip(out.batch.iter().copied()).collect();
        symbols.push((&mm.m.0, out.row));
        finish.apply(b, out, &symbols)
    })?;
    let blocking = gemm.blocking();
    let tasks = mm.batch.iter().fold(Dim::ONE, |t, (_, extent)| t * extent)
        * mm.m.1.ceil_div(&Dim::int(blocking.rows))
        * mm.n.1.ceil_div(&Dim::int(blocking.columns));
    // Multiply-adds of one task, in vectors.
    let smaller = |known: &Dim, block: i64| known.as_int().map_or(block, |n| n.min(block));
    let work = smaller(&mm.m.1, blocking.rows)
        .saturating_mul(smaller(&mm.n.1, blocking.columns))
        .saturating_mul(k.known().unwrap_or(512).max(1))
        / i64::from(tile.lanes);
    Ok(Written { range: Range { extent: tasks, cost: Dim::int(work.max(1)), multiple: 1 }, packings })
}

/// Writes a convolution's tasks `begin..end`.
pub(super) fn convolution(
    cx: &mut Cx<'_>,
    params: &[Param],
    c: &kernel::Convolution,
    begin: Val,
    end: Val,
) -> Result<Written, NativeError> {
    let target = cx.b.target;
    let elem = value_elem(c.accumulator)?;
    for (symbol, extent) in [&c.batch, &c.channel].into_iter().chain(&c.spatial) {
        cx.ix.scope.declare_in(symbol, Dim::ZERO, extent.clone());
    }
    let unsupported = |what: &str| NativeError::Unsupported { what: format!("a convolution with {what}") };
    let out_channels = c.channel.1.as_int().ok_or_else(|| unsupported("an unknown number of channels"))?;
    let groups = c.groups.max(1);
    let (in_per_group, out_per_group) = (c.input_channels / groups, out_channels / groups);
    let mut x_strides = Vec::new();
    for stride in &c.x.1 {
        x_strides.push(size(cx, stride)?);
    }
    let [image_stride, channel_stride, spatial @ ..] = x_strides.as_slice() else {
        return Err(unsupported("too few strides"));
    };
    let mut axes = Vec::new();
    for (i, step) in spatial.iter().enumerate() {
        let missing = || unsupported("an incomplete window");
        let (_, output) = c.spatial.get(i).ok_or_else(missing)?;
        let input = c.input_spatial.get(i).ok_or_else(missing)?;
        let pad = c.pad_low.get(i).ok_or_else(missing)?;
        axes.push(Axis {
            output: size(cx, output)?,
            input: size(cx, input)?,
            window: *c.window.get(i).ok_or_else(missing)?,
            stride: *c.stride.get(i).ok_or_else(missing)?,
            dilation: *c.dilation.get(i).ok_or_else(missing)?,
            pad: size(cx, pad)?,
            step: *step,
        });
    }
    let taps: i64 = c.window.iter().product();
    let image = Image {
        buffer: buffer(cx, c.x.0)?,
        base: size(cx, &c.x_offset)?,
        batch: *image_stride,
        channel: *channel_stride,
    };
    let batch = size(cx, &c.batch.1)?;
    let weight = buffer(cx, c.w)?;
    let signed = signed(params, c.x.0) && signed(params, c.w);
    let finish = Finish {
        params: cx.params.clone(),
        indices: cx.ix.clone(),
        epilogue: &c.epilogue,
        accumulator: c.accumulator,
        lane: c.channel.0.clone(),
    };
    let mut apply = |b: &mut Func<'_>, out: &Out| {
        let symbols: Vec<(&Symbol, Size)> = std::iter::once(&c.batch.0)
            .chain(c.spatial.iter().map(|(s, _)| s))
            .zip(out.batch.iter().copied())
            .collect();
        finish.apply(b, out, &symbols)
    };
    let tiled = Convolution::tiled_axis(&axes);
    let pixels = axes.get(tiled).map_or(Size::ONE, |a| a.output);
    let (pixel_count, outer) =
        c.spatial.iter().enumerate().fold((Dim::ONE, c.batch.1.clone()), |(p, o), (i, (_, n))| {
            if i == tiled { (n.clone(), o) } else { (p, o * n) }
        });
    let depthwise =
        in_per_group == 1 && out_per_group == 1 && c.weight_is_constant && channel_stride.is(1) && groups > 1;
    let (task_rows, column_tasks, work, packing) = if depthwise {
        let tile = Depthwise::choose_tile(target, elem, pixels);
        let conv = Depthwise { batch, channels: groups, axes, x: image, weight, accumulator: elem, signed, tile };
        conv.emit(&mut cx.b, begin, end, &mut apply)?;
        let rows = conv.task_rows();
        let work = rows * taps * groups / i64::from(tile.lanes).max(1);
        (rows, 1, work, Packing::Depthwise { channels: groups, taps })
    } else {
        let tile = Convolution::choose_tile(target, elem, pixels, out_per_group);
        let packing = Packing::Convolution {
            groups,
            out_per_group,
            in_per_group,
            taps,
            panel: tile.columns(),
            lanes: tile.lanes,
        };
        let weight =
            if c.weight_is_constant { Weight::Packed { buffer: weight } } else { Weight::Dense { buffer: weight } };
        let conv = Convolution {
            batch,
            groups,
            in_per_group,
            out_per_group,
            axes,
            x: image,
            weight,
            accumulator: elem,
            signed,
            tile,
            long_epilogue: visit::is_long(&c.epilogue),
        };
        conv.emit(&mut cx.b, begin, end, &mut apply)?;
        let rows = conv.task_rows();
        let work = rows * taps * in_per_group * i64::from(tile.vectors);
        (rows, conv.column_tasks(), work, packing)
    };
    let tasks = outer.ceil_div(&Dim::int(task_rows)) * column_tasks;
    let cost = pixel_count * work.max(1);
    let packings = if c.weight_is_constant { vec![(c.w, packing)] } else { Vec::new() };
    Ok(Written { range: Range { extent: tasks, cost, multiple: 1 }, packings })
}

/// Writes the tasks `begin..end` of a convolution whose input is already transformed.
pub(super) fn winograd(cx: &mut Cx<'_>, w: &kernel::Winograd, begin: Val, end: Val) -> Result<Written, NativeError> {
    let target = cx.b.target;
    for (symbol, extent) in [&w.batch, &w.channel].into_iter().chain(&w.spatial) {
        cx.ix.scope.declare_in(symbol, Dim::ZERO, extent.clone());
    }
    let unsupported = |what: &str| NativeError::Unsupported { what: format!("a convolution with {what}") };
    let out_channels = w.channel.1.as_int().ok_or_else(|| unsupported("an unknown number of channels"))?;
    let [(_, height), (_, width)] = w.spatial.as_slice() else { return Err(unsupported("other than 2 dimensions")) };
    let all = &(&w.tiles[0] * &w.tiles[1]) * &w.batch.1;
    let count = size(cx, &all)?;
    let tile = tile::choose(target, crate::builder::Elem::F32, count, Size::Static(out_channels));
    let emitter = Winograd {
        tiles: [size(cx, &w.tiles[0])?, size(cx, &w.tiles[1])?],
        count,
        output: [size(cx, height)?, size(cx, width)?],
        input_channels: w.input_channels,
        out_channels,
        v: buffer(cx, w.v)?,
        factors: buffer(cx, w.w)?,
        tile,
    };
    let finish = Finish {
        params: cx.params.clone(),
        indices: cx.ix.clone(),
        epilogue: &w.epilogue,
        accumulator: DType::F32,
        lane: w.channel.0.clone(),
    };
    emitter.emit(&mut cx.b, begin, end, &mut |b, out| {
        let symbols: Vec<(&Symbol, Size)> = std::iter::once(&w.batch.0)
            .chain(w.spatial.iter().map(|(s, _)| s))
            .zip(out.batch.iter().copied())
            .collect();
        finish.apply(b, out, &symbols)
    })?;
    let tasks = all.ceil_div(&Dim::int(emitter.task_tiles())) * emitter.panels();
    let work = emitter.task_tiles() * w.input_channels * kernel::winograd::PRODUCTS * i64::from(tile.vectors);
    let packing =
        Packing::Winograd { out: out_channels, input: w.input_channels, panel: tile.columns(), lanes: tile.lanes };
    Ok(Written {
        range: Range { extent: tasks, cost: Dim::int(work.max(1)), multiple: 1 },
        packings: vec![(w.w, packing)],
    })
}

/// Writes the tasks `begin..end` of a product whose first operand is already summed.
pub(super) fn strassen(cx: &mut Cx<'_>, s: &kernel::Strassen, begin: Val, end: Val) -> Result<Written, NativeError> {
    let target = cx.b.target;
    for (symbol, extent) in [&s.m, &s.n, &s.k] {
        cx.ix.scope.declare_in(symbol, Dim::ZERO, extent.clone());
    }
    let unsupported = |what: &str| NativeError::Unsupported { what: format!("a product with {what}") };
    let (b_strides, b_rest) = strides(&s.b.1, &[&s.k.0, &s.n.0])?;
    let (Some(k), Some(n)) = (s.k.1.as_int(), s.n.1.as_int()) else { return Err(unsupported("unknown extents")) };
    let [Some(k_stride), Some(n_stride), Some(offset)] =
        [b_strides.first().and_then(Dim::as_int), b_strides.get(1).and_then(Dim::as_int), b_rest.as_int()]
    else {
        return Err(unsupported("a constant of unknown strides"));
    };
    let half_rows = s.m.1.ceil_div(&Dim::int(2));
    let rows = size(cx, &half_rows)?;
    let tile = tile::choose_for_differences(target, rows, Size::Static((n + 1) / 2));
    let emitter =
        Strassen { m: size(cx, &s.m.1)?, rows, n, half: k / 2, v: buffer(cx, s.v)?, b: buffer(cx, s.b.0)?, tile };
    let finish = Finish {
        params: cx.params.clone(),
        indices: cx.ix.clone(),
        epilogue: &s.epilogue,
        accumulator: DType::F32,
        lane: s.n.0.clone(),
    };
    emitter.emit(&mut cx.b, begin, end, &mut |b, out| finish.apply(b, out, &[(&s.m.0, out.row)]))?;
    let tasks = half_rows.ceil_div(&Dim::int(emitter.task_rows())) * emitter.pairs();
    let products = kernel::strassen::PRODUCTS as i64;
    let work = emitter.task_rows() * products * emitter.half * i64::from(tile.vectors);
    let (panel, lanes) = (tile.columns(), tile.lanes);
    let packing = Packing::Strassen { k, n, k_stride, n_stride, offset, panel, lanes };
    Ok(Written {
        range: Range { extent: tasks, cost: Dim::int(work.max(1)), multiple: 1 },
        packings: vec![(s.b.0, packing)],
    })
}

/// Writes an attention's tasks `begin..end`.
pub(super) fn attention(
    cx: &mut Cx<'_>,
    att: &kernel::Attention,
    begin: Val,
    end: Val,
) -> Result<Written, NativeError> {
    let target = cx.b.target;
    for (symbol, extent) in att.batch.iter().chain([&att.row, &att.position, &att.depth, &att.value_depth]) {
        cx.ix.scope.declare_in(symbol, Dim::ZERO, extent.clone());
    }
    let known = |d: &Dim| {
        d.as_int().ok_or_else(|| NativeError::Unsupported { what: format!("attention of unknown depth {d}") })
    };
    let (depth, value_depth) = (known(&att.depth.1)?, known(&att.value_depth.1)?);
    let (q_strides, q_rest) = strides(&att.q.1, &[&att.row.0, &att.depth.0])?;
    let (k_strides, k_rest) = strides(&att.k.1, &[&att.position.0, &att.depth.0])?;
    let (v_strides, v_rest) = strides(&att.v.1, &[&att.position.0, &att.value_depth.0])?;
    let batch = att.batch.iter().map(|(_, extent)| size(cx, extent)).collect::<Result<Vec<_>, _>>()?;
    let (rows, positions) = (size(cx, &att.row.1)?, size(cx, &att.position.1)?);
    let mut pairs = Vec::new();
    for list in [&q_strides, &k_strides, &v_strides] {
        let stride = |at: usize| list.get(at).cloned().unwrap_or(Dim::ZERO);
        pairs.push((size(cx, &stride(0))?, size(cx, &stride(1))?));
    }
    let indices = cx.ix.clone();
    let q_base = |b: &mut Func<'_>, z: &[Size]| address_at(b, &indices, &q_rest, &att.batch, z);
    let k_base = |b: &mut Func<'_>, z: &[Size]| address_at(b, &indices, &k_rest, &att.batch, z);
    let v_base = |b: &mut Func<'_>, z: &[Size]| address_at(b, &indices, &v_rest, &att.batch, z);
    let [q, k, v] = [(att.q.0, &q_base as &Base<'_>), (att.k.0, &k_base), (att.v.0, &v_base)];
    let mut strides = pairs.into_iter();
    let mut matrix = |(param, base)| -> Result<Matrix<'_>, NativeError> {
        let (row, col) = strides.next().unwrap_or((Size::ZERO, Size::ZERO));
        Ok(Matrix { buffer: buffer(cx, param)?, base, row, col })
    };
    let double = cx.params.get(att.q.0).is_some_and(|m| m.dtype == DType::F64);
    let accumulator = if double { DType::F64 } else { DType::F32 };
    let emitter = Attention {
        batch,
        rows,
        positions,
        depth,
        value_depth,
        q: matrix(q)?,
        k: matrix(k)?,
        v: matrix(v)?,
        causal: att.causal,
        scale: att.scale,
        accumulator: value_elem(accumulator)?,
    };
    let params = cx.params.clone();
    let mut give = |b: &mut Func<'_>, at: &MaskAt<'_>| {
        let Some(mask) = &att.mask else { return Err(NativeError::Unbound { name: "attention mask".to_string() }) };
        inside(b, &params, &indices, |cx| {
            for ((symbol, _), value) in att.batch.iter().zip(at.batch) {
                let value = value.val(&mut cx.b);
                cx.ix.bind(symbol, value);
            }
            let position = at.position.val(&mut cx.b);
            cx.ix.bind(&att.position.0, position);
            let row = at.row.val(&mut cx.b);
            cx.enter_lanes(&att.row.0, row, at.lanes, at.exists);
            let value = cx.expr(mask)?;
            let value = if value.dtype == DType::Bool { value } else { cx.cast(value, accumulator)? };
            cx.leave_lanes();
            Ok(value.val)
        })
    };
    let mask: Option<&mut Mask<'_>> = if att.mask.is_some() { Some(&mut give) } else { None };
    let finish = Finish {
        params: params.clone(),
        indices: indices.clone(),
        epilogue: &att.epilogue,
        accumulator,
        lane: att.value_depth.0.clone(),
    };
    emitter.emit(&mut cx.b, begin, end, mask, &mut |b, out| {
        let mut symbols: Vec<(&Symbol, Size)> =
            att.batch.iter().map(|(s, _)| s).zip(out.batch.iter().copied()).collect();
        symbols.push((&att.row.0, out.row));
        finish.apply(b, out, &symbols)
    })?;
    let task_rows = emitter.task_rows(target);
    let tasks = att.batch.iter().fold(Dim::ONE, |t, (_, extent)| t * extent) * att.row.1.ceil_div(&Dim::int(task_rows));
    let work = (depth + value_depth + 16) * task_rows / i64::from(target.lanes);
    let cost = &att.position.1 * work.max(1);
    Ok(Written { range: Range { extent: tasks, cost, multiple: 1 }, packings: Vec::new() })
}
