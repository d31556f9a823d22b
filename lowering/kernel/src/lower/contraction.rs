//! Regions around a contraction: views in front of its operands become strides, what follows becomes its epilogue.

use super::LowerError;
use super::body::{Body, compute_type};
use crate::{Access, Attention, Body as KernelBody, Convolution, Epilogue, Kernel, Matmul, MatmulB, Stmt, Var};
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{Arg, DType, Fact, Graph, NodeId, ValueId};
use pt2c_ops::index_map::address;
use std::collections::BTreeMap;

/// Which parameters of the region hold constants of the program.
pub type IsConstant<'a> = &'a dyn Fn(usize) -> bool;

/// Lowers a region whose heavy node is `root`.
pub fn lower(
    graph: &Graph,
    root: NodeId,
    name: &str,
    scope: &Scope,
    is_constant: IsConstant<'_>,
) -> Result<Kernel, LowerError> {
    let mut body = Body::new(graph, scope);
    let node = graph.node(root);
    let kernel_body = match (node.op().unwrap_or_default(), node.args()) {
        ("prim.matmul", [Arg::Tensor(a), Arg::Tensor(b)]) => matmul(&mut body, root, *a, *b, is_constant)?,
        ("prim.conv", args) => convolution(&mut body, root, args, is_constant)?,
        ("prim.attention", args) => attention(&mut body, root, args)?,
        (op, _) => return Err(LowerError::NotScalar { op: op.to_string() }),
    };
    Ok(Kernel { name: name.to_string(), params: body.params, body: kernel_body })
}

/// One symbol for each dimension of a shape; dimensions of size 1 have index 0 and no symbol in addresses.
fn symbols(body: &mut Body<'_>, shape: &[Dim], hint: &str) -> (Vec<(Symbol, Dim)>, Vec<Dim>) {
    let loops: Vec<(Symbol, Dim)> = shape.iter().map(|n| (body.new_symbol(hint, n), n.clone())).collect();
    let index = loops.iter().map(coordinate).collect();
    (loops, index)
}

/// The index along a loop: its symbol, or 0 where there is only one iteration, as views write it.
fn coordinate((symbol, extent): &(Symbol, Dim)) -> Dim {
    if extent.is_one() { Dim::ZERO } else { Dim::sym(symbol.clone()) }
}

/// Everything after the root, evaluated where the root's element at `index` is the accumulator.
fn epilogue(body: &mut Body<'_>, root: NodeId, index: &[Dim]) -> Result<Epilogue, LowerError> {
    let root = ValueId { node: root, index: 0 };
    let accumulator = super::body::round_accumulator(body.fact(root)?.dtype, Var(0));
    body.open();
    body.define(root, index, accumulator);
    let mut stores = Vec::new();
    for value in body.graph.output_values().collect::<Vec<_>>() {
        let fact = body.fact(value)?.clone();
        let param = body.add_param(&body.graph.value_name(value), fact.dtype, Access::Write);
        let at =
            body.forward_index(root, index, value).ok_or(LowerError::Malformed("an epilogue apart from its root"))?;
        let expr = body.eval(value, &at)?;
        stores.push((param, address(&body.scope, &fact, &at), expr));
    }
    let lets = body.close();
    if lets.iter().any(|s| !matches!(s, Stmt::Let { .. })) {
        return Err(LowerError::Malformed("an epilogue with loops or checks"));
    }
    Ok(Epilogue { lets, stores })
}

fn operand(body: &mut Body<'_>, value: ValueId, index: &[Dim]) -> Result<(usize, Dim), LowerError> {
    body.access(value, index).ok_or(LowerError::Malformed("a contraction's operand that is not a strided view"))
}

fn accumulator_type(dtype: DType) -> DType {
    compute_type(dtype)
}

fn matmul(
    body: &mut Body<'_>,
    root: NodeId,
    a: ValueId,
    b: ValueId,
    is_constant: IsConstant<'_>,
) -> Result<KernelBody, LowerError> {
    let out = body.fact(ValueId { node: root, index: 0 })?.clone();
    let (fa, fb) = (body.fact(a)?.clone(), body.fact(b)?.clone());
    let (ra, rb, ro) = (fa.rank(), fb.rank(), out.rank());
    if ra < 2 || rb < 2 || ro < 2 {
        return Err(LowerError::Malformed("matmul of less than two dimensions"));
    }
    let (batch, batch_index) = symbols(body, &out.shape[..ro - 2], "b");
    let one = |body: &mut Body<'_>, hint: &str, n: &Dim| (body.new_symbol(hint, n), n.clone());
    let m = one(body, "m", &out.shape[ro - 2]);
    let n = one(body, "n", &out.shape[ro - 1]);
    let k = one(body, "k", &fa.shape[ra - 1]);
    let at = |fact: &Fact, row: &(Symbol, Dim), column: &(Symbol, Dim)| {
        let lead = &batch_index[batch_index.len() + 2 - fact.rank().min(batch_index.len() + 2)..];
        let mut index: Vec<Dim> = fact.shape[..fact.rank() - 2]
            .iter()
            .zip(lead)
            .map(|(n, i)| if n.is_one() { Dim::ZERO } else { i.clone() })
            .collect();
        index.extend([coordinate(row), coordinate(column)]);
        index
    };
    let (a_param, a_address) = operand(body, a, &at(&fa, &m, &k))?;
    let (b_param, b_address) = operand(body, b, &at(&fb, &k, &n))?;
    let mut index = batch_index.clone();
    index.extend([coordinate(&m), coordinate(&n)]);
    let epilogue = epilogue(body, root, &index)?;
    let batched_b = batch.iter().any(|(s, _)| b_address.mentions(&|x| x == s));
    let b = if is_constant(b_param) && !batched_b {
        // `strides` let the caller gather the dense [k, n] matrix.
        MatmulB::Constant { param: b_param, address: b_address }
    } else {
        MatmulB::Strided { param: b_param, address: b_address }
    };
    let accumulator = accumulator_type(fa.dtype);
    let mut matmul = Matmul { batch, m, n, k, a: (a_param, a_address), b, accumulator, rounding: None, epilogue };
    merge_batch_into_rows(&mut matmul);
    Ok(KernelBody::Matmul(matmul))
}

/// Batches that share `b` are more rows: the only ones where there is a single row, or where they follow one another
/// in memory.
fn merge_batch_into_rows(matmul: &mut Matmul) {
    while let Some(position) = (0..matmul.batch.len()).rev().find(|i| is_rows(matmul, &matmul.batch[*i])) {
        let (batch, extent) = matmul.batch.remove(position);
        let (m, rows) = matmul.m.clone();
        if extent.is_one() {
            continue;
        }
        if rows.is_one() {
            matmul.m = (batch, extent);
            continue;
        }
        let map = BTreeMap::from([(batch, Dim::ZERO)]);
        matmul.a.1 = matmul.a.1.subs(&map);
        super::collapse::substitute_epilogue(&mut matmul.epilogue, &map);
        matmul.m = (m, &extent * &rows);
    }
    longer_rows(matmul);
}

/// Of the rows and the batches that could be rows, the longer ones are: a panel of `b` is then read for more of them. Of
/// lengths that are not known, those nearer to each other in `a` are taken for the longer ones.
fn longer_rows(matmul: &mut Matmul) {
    let b_address = matmul.b.address().cloned().unwrap_or(Dim::ZERO);
    let stride = |matmul: &Matmul, s: &Symbol| matmul.a.1.coefficient_of(s).map(|(stride, _)| stride);
    for position in 0..matmul.batch.len() {
        let (batch, extent) = matmul.batch[position].clone();
        let (m, rows) = &matmul.m;
        if b_address.mentions(&|s| *s == batch) {
            continue;
        }
        let longer = match (extent.as_int(), rows.as_int()) {
            (Some(batch), Some(rows)) => batch > rows,
            _ => match (stride(matmul, &batch), stride(matmul, m)) {
                (Some(near), Some(far)) => {
                    near != far && near.as_int() != Some(0) && &far.floor_div(&near) * &near == far
                }
                _ => false,
            },
        };
        if longer {
            matmul.batch[position] = std::mem::replace(&mut matmul.m, (batch, extent));
        }
    }
}

/// Whether a batch dimension of a product can be part of its rows.
fn is_rows(matmul: &Matmul, (batch, extent): &(Symbol, Dim)) -> bool {
    let (m, rows) = &matmul.m;
    if extent.is_one() {
        return true;
    }
    if matmul.b.address().is_some_and(|address| address.mentions(&|s| s == batch)) {
        return false;
    }
    let walks =
        |d: &Dim| d.coefficient_of(batch).zip(d.coefficient_of(m)).is_some_and(|((o, _), (i, _))| o == &i * rows);
    let mut in_order = walks(&matmul.a.1);
    super::nest::visit_epilogue(&matmul.epilogue, &mut |d| in_order &= walks(d));
    rows.is_one() || in_order && !super::collapse::epilogue_uses_as_value(&matmul.epilogue, batch, m)
}

/// A convolution with a constant window of one element that moves by one, as a product: pixels are rows.
pub fn as_matmul(c: &Convolution) -> Option<Matmul> {
    let ones = [&c.window, &c.stride].into_iter().flatten().all(|n| *n == 1);
    let same = c.spatial.iter().map(|(_, n)| n).eq(&c.input_spatial) && c.pad_low.iter().all(Dim::is_zero);
    if !(ones && same && c.groups == 1 && c.weight_is_constant) {
        return None;
    }
    let k = (Symbol::from("input_channel"), Dim::int(c.input_channels));
    let [image, channel, spatial @ ..] = c.x.1.as_slice() else { return None };
    let pixels: Vec<(Symbol, Dim)> = std::iter::once(&c.batch).chain(&c.spatial).cloned().collect();
    let strides = std::iter::once(image).chain(spatial);
    let address =
        pixels.iter().zip(strides).fold(c.x_offset.clone(), |at, (pixel, stride)| &at + &(&coordinate(pixel) * stride));
    let mut batch = pixels;
    let m = batch.pop()?;
    let n = c.channel.clone();
    let b = &(&coordinate(&n) * c.input_channels) + &coordinate(&k);
    let mut matmul = Matmul {
        batch,
        m,
        a: (c.x.0, &address + &(&coordinate(&k) * channel)),
        b: MatmulB::Constant { param: c.w, address: b },
        n,
        k,
        accumulator: c.accumulator,
        rounding: None,
        epilogue: c.epilogue.clone(),
    };
    merge_batch_into_rows(&mut matmul);
    Some(matmul)
}

fn ints(arg: &Arg) -> Result<Vec<i64>, LowerError> {
    arg.as_ints().ok_or(LowerError::Malformed("a convolution parameter that is not known"))
}

fn convolution(
    body: &mut Body<'_>,
    root: NodeId,
    args: &[Arg],
    is_constant: IsConstant<'_>,
) -> Result<KernelBody, LowerError> {
    let [Arg::Tensor(x), Arg::Tensor(w), stride, Arg::Ints(pad_low), _, dilation, groups] = args else {
        return Err(LowerError::Malformed("conv"));
    };
    let out = body.fact(ValueId { node: root, index: 0 })?.clone();
    let (fx, fw) = (body.fact(*x)?.clone(), body.fact(*w)?.clone());
    if fx.rank() < 3 || fw.rank() != fx.rank() || out.rank() != fx.rank() {
        return Err(LowerError::Malformed("conv"));
    }
    let (loops, index) = symbols(body, &out.shape, "o");
    // Probe symbols find the strides of the input behind its views.
    let (probes, probe_index): (Vec<Symbol>, Vec<Dim>) = fx
        .shape
        .iter()
        .map(|n| {
            let s = body.new_symbol("p", n);
            (s.clone(), Dim::sym(s))
        })
        .unzip();
    let (x_param, x_address) = operand(body, *x, &probe_index)?;
    let mut rest = x_address;
    let mut strides = Vec::new();
    for p in &probes {
        let (stride, without) =
            rest.coefficient_of(p).ok_or(LowerError::Malformed("a convolution's input that is not a strided view"))?;
        strides.push(stride);
        rest = without;
    }
    let w_param = body.param_of(*w).ok_or(LowerError::Malformed("a convolution's weight behind a view"))?;
    let window: Option<Vec<i64>> = fw.shape[2..].iter().map(Dim::as_int).collect();
    let groups = groups.as_int().ok_or(LowerError::Malformed("conv groups"))?;
    let of_weight = || fw.shape[1].as_int().and_then(|each| each.checked_mul(groups));
    let input_channels =
        fx.shape[1].as_int().or_else(of_weight).ok_or(LowerError::Malformed("an unknown number of channels"))?;
    let epilogue = epilogue(body, root, &index)?;
    let mut loops = loops.into_iter();
    let mut next = || loops.next().ok_or(LowerError::Malformed("conv"));
    Ok(KernelBody::Convolution(Convolution {
        batch: next()?,
        channel: next()?,
        spatial: loops.collect(),
        input_spatial: fx.shape[2..].to_vec(),
        input_channels,
        groups,
        window: window.ok_or(LowerError::Malformed("an unknown window"))?,
        stride: ints(stride)?,
        dilation: ints(dilation)?,
        pad_low: pad_low.clone(),
        x: (x_param, strides),
        x_offset: rest,
        w: w_param,
        weight_is_constant: is_constant(w_param),
        accumulator: accumulator_type(fx.dtype),
        epilogue,
    }))
}

fn attention(body: &mut Body<'_>, root: NodeId, args: &[Arg]) -> Result<KernelBody, LowerError> {
    let [Arg::Tensor(q), Arg::Tensor(k), Arg::Tensor(v), mask, Arg::Float(scale), Arg::Bool(causal)] = args else {
        return Err(LowerError::Malformed("attention"));
    };
    let (fq, fk, fv) = (body.fact(*q)?.clone(), body.fact(*k)?.clone(), body.fact(*v)?.clone());
    let out = body.fact(ValueId { node: root, index: 0 })?.clone();
    let rank = fq.rank();
    if rank < 3 || fk.rank() != rank || fv.rank() != rank || out.rank() != rank {
        return Err(LowerError::Malformed("attention of less than three dimensions"));
    }
    let (batch, batch_index) = symbols(body, &out.shape[..rank - 2], "b");
    let one = |body: &mut Body<'_>, hint: &str, n: &Dim| (body.new_symbol(hint, n), n.clone());
    let row = one(body, "i", &fq.shape[rank - 2]);
    let position = one(body, "j", &fk.shape[rank - 2]);
    let depth = one(body, "d", &fq.shape[rank - 1]);
    let value_depth = one(body, "e", &fv.shape[rank - 1]);
    // Several query heads share one key head.
    let head = rank - 3;
    let grouped = |fact: &Fact| -> Vec<Dim> {
        (0..rank - 2)
            .map(|d| {
                let (n, i) = (&fact.shape[d], &batch_index[d]);
                if n.is_one() {
                    Dim::ZERO
                } else if d == head && *n != out.shape[d] {
                    i.floor_div(&out.shape[d].floor_div(n))
                } else {
                    i.clone()
                }
            })
            .collect()
    };
    let at = |fact: &Fact, a: &(Symbol, Dim), b: &(Symbol, Dim)| {
        [grouped(fact), vec![coordinate(a), coordinate(b)]].concat()
    };
    let q = operand(body, *q, &at(&fq, &row, &depth))?;
    let k = operand(body, *k, &at(&fk, &position, &depth))?;
    let v = operand(body, *v, &at(&fv, &position, &value_depth))?;
    let mask = match mask {
        Arg::Tensor(m) => {
            let full = [batch_index.clone(), vec![coordinate(&row), coordinate(&position)]].concat();
            let at = pt2c_ops::index_map::broadcast_index(body.fact(*m)?, &full);
            Some(body.eval_lazy(*m, &at)?)
        }
        _ => None,
    };
    let index = [batch_index.clone(), vec![coordinate(&row), coordinate(&value_depth)]].concat();
    let epilogue = epilogue(body, root, &index)?;
    Ok(KernelBody::Attention(Attention {
        batch,
        row,
        position,
        depth,
        value_depth,
        q,
        k,
        v,
        mask,
        causal: *causal,
        scale: *scale,
        epilogue,
    }))
}
