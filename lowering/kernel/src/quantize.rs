//! Weights of matrix products in fewer bits, where the user asks for it: what a program reads from memory shrinks, and
//! with few rows (a language model's next token) that is what takes the time. Sums stay in f32.
//!
//! * int8: each column's weights are whole numbers from -127 to 127 times the column's own scale, its largest magnitude
//!   divided by 127. The scale is a factor of the finished sum, so it costs one multiplication for each output.
//! * bf16: weights are rounded to 8 significant bits; on request the rows that they are multiplied with as well.
//!
//! Only constants that nothing but matrix products with f32 sums read are changed; small ones stay exact.

use crate::{
    Access, BinaryOp, Body, Buffer, BufferId, BufferKind, Epilogue, Expr, Kernel, KernelId, KernelProgram, MatmulB,
    Param, Step, Stmt, Var,
};
use indexmap::IndexMap;
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{Bytes, DType};

/// What weights become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WeightType {
    /// Whole numbers of 8 bits with a scale for each column.
    Int8,
    /// Floats of 16 bits with 8 significant ones.
    Bf16,
    /// The same, and what they are multiplied with is rounded to it as well: some processors have products of such pairs.
    Bf16Products,
}

/// Weights below this size are not worth the error.
const LEAST_ELEMENTS: i64 = 1 << 14;
/// The greatest magnitude of an int8 weight: symmetric, so that scales have no offsets.
const INT8_MOST: f32 = 127.0;

/// Where a kernel finds a weight: element `(k, n)` at `offset + k·k_step + n·n_step`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Place {
    k: i64,
    n: i64,
    k_step: i64,
    n_step: i64,
    offset: i64,
}

/// Rewrites the matrix products of a program whose weights are large f32 constants. Gives the number of weights changed.
pub fn quantize_weights(program: &mut KernelProgram, to: WeightType) -> usize {
    let places: Vec<Option<(usize, Place)>> = program
        .kernels
        .iter()
        .enumerate()
        .map(|(k, kernel)| {
            let (param, place) = weight(kernel)?;
            let constant = |buffers: &[BufferId]| {
                let buffer = buffers.get(param).and_then(|b| program.buffers.get(b.0 as usize));
                matches!(buffer, Some(Buffer { kind: BufferKind::Constant(_), dtype: DType::F32, .. }))
            };
            let calls = program.calls();
            let mut own = calls.iter().filter(|(id, ..)| *id == KernelId(k as u32)).peekable();
            (own.peek().is_some() && own.all(|(_, buffers, _)| constant(buffers))).then_some((param, place))
        })
        .collect();
    let mut made = IndexMap::new();
    let mut steps = std::mem::take(&mut program.steps);
    let done = replace(&mut steps, &places, to, program, &mut made);
    program.steps = steps;
    if !done {
        // A constant shorter than its kernel believes: nothing is changed.
        return 0;
    }
    for (kernel, place) in program.kernels.iter_mut().zip(&places) {
        if let Some((param, _)) = place {
            change(kernel, *param, to);
        }
    }
    made.len()
}

/// The weight of a product that can be changed.
fn weight(kernel: &Kernel) -> Option<(usize, Place)> {
    let Body::Matmul(m) = &kernel.body else { return None };
    let MatmulB::Constant { param, address } = &m.b else { return None };
    let floats = |p: usize| kernel.params.get(p).is_some_and(|p| p.dtype == DType::F32);
    if m.accumulator != DType::F32 || !floats(*param) || !floats(m.a.0) {
        return None;
    }
    let (k, n) = (m.k.1.as_int()?, m.n.1.as_int()?);
    let (k_step, rest) = address.coefficient_of(&m.k.0)?;
    let (n_step, offset) = rest.coefficient_of(&m.n.0)?;
    let place = Place { k, n, k_step: k_step.as_int()?, n_step: n_step.as_int()?, offset: offset.as_int()? };
    (k.checked_mul(n)? >= LEAST_ELEMENTS).then_some((*param, place))
}

/// The kernel for weights of that type.
fn change(kernel: &mut Kernel, param: usize, to: WeightType) {
    let scales = kernel.params.len();
    let Body::Matmul(m) = &mut kernel.body else { return };
    if let Some(p) = kernel.params.get_mut(param) {
        p.dtype = match to {
            WeightType::Int8 => DType::I8,
            WeightType::Bf16 | WeightType::Bf16Products => DType::BF16,
        };
    }
    if to == WeightType::Bf16Products {
        m.rounding = Some(DType::BF16);
    }
    if to == WeightType::Int8 {
        kernel.params.push(Param { name: "scales".to_string(), dtype: DType::F32, access: Access::Read });
        scale_sums(&mut m.epilogue, scales, &m.n);
    }
}

/// Multiplies the sum with its column's scale before anything else sees it.
fn scale_sums(epilogue: &mut Epilogue, scales: usize, (column, extent): &(Symbol, Dim)) {
    let used = epilogue.lets.iter().filter_map(|s| if let Stmt::Let { var, .. } = s { Some(var.0) } else { None });
    let scaled = Var(used.max().unwrap_or(0) + 1);
    for stmt in &mut epilogue.lets {
        if let Stmt::Let { value, .. } = stmt {
            rename(value, scaled);
        }
    }
    for (_, _, value) in &mut epilogue.stores {
        rename(value, scaled);
    }
    let address = if extent.is_one() { Dim::ZERO } else { Dim::sym(column.clone()) };
    let scale = Expr::Load { param: scales, address };
    let value = Expr::Binary(BinaryOp::Mul, Box::new(Expr::Var(Var(0))), Box::new(scale));
    epilogue.lets.insert(0, Stmt::Let { var: scaled, dtype: DType::F32, value });
}

/// Reads `to` where the expression reads the sum.
fn rename(expr: &mut Expr, to: Var) {
    match expr {
        Expr::Var(var) => {
            if *var == Var(0) {
                *var = to;
            }
        }
        Expr::Guarded { condition: a, value: b, other: c } | Expr::Select(a, b, c) => {
            [a, b, c].into_iter().for_each(|e| rename(e, to));
        }
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => rename(a, to),
        Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => {
            rename(a, to);
            rename(b, to);
        }
        Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) | Expr::Index(_) | Expr::Load { .. } => {}
    }
}

/// A weight in its new form: its elements, and their scales if they have any.
type Made = IndexMap<(BufferId, Place), (BufferId, Option<BufferId>)>;

/// Lets calls read the new weights, which are made on the way. Whether all could be made.
fn replace(
    steps: &mut [Step],
    places: &[Option<(usize, Place)>],
    to: WeightType,
    program: &mut KernelProgram,
    made: &mut Made,
) -> bool {
    steps.iter_mut().all(|step| match step {
        Step::Call { kernel, buffers, .. } => {
            let Some(Some((param, place))) = places.get(kernel.0 as usize) else { return true };
            let Some(source) = buffers.get(*param).copied() else { return false };
            let key = (source, *place);
            let new = match made.get(&key) {
                Some(new) => *new,
                None => {
                    let Some(new) = make(program, source, *place, to) else { return false };
                    made.insert(key, new);
                    new
                }
            };
            if let Some(buffer) = buffers.get_mut(*param) {
                *buffer = new.0;
            }
            buffers.extend(new.1);
            true
        }
        Step::Bind { .. } => true,
        Step::If { then, otherwise, .. } => {
            replace(then, places, to, program, made) && replace(otherwise, places, to, program, made)
        }
        Step::While { before, body, .. } => {
            replace(before, places, to, program, made) && replace(body, places, to, program, made)
        }
    })
}

/// The constant's elements in the new type at the same places, and the scales of its columns.
fn make(
    program: &mut KernelProgram,
    source: BufferId,
    place: Place,
    to: WeightType,
) -> Option<(BufferId, Option<BufferId>)> {
    let buffer = program.buffers.get(source.0 as usize)?;
    let BufferKind::Constant(bytes) = &buffer.kind else { return None };
    let (name, len) = (buffer.name.clone(), buffer.len.clone());
    let weights: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap_or_default())).collect();
    let (new, scales, dtype) = match to {
        WeightType::Bf16 | WeightType::Bf16Products => {
            (weights.iter().flat_map(|w| half::bf16::from_f32(*w).to_le_bytes()).collect(), None, DType::BF16)
        }
        WeightType::Int8 => {
            let mut new = vec![0u8; weights.len()];
            let mut scales = Vec::new();
            for n in 0..place.n {
                let at = |k: i64| usize::try_from(place.offset + k * place.k_step + n * place.n_step).ok();
                let mut most = 0.0f32;
                for k in 0..place.k {
                    most = most.max(weights.get(at(k)?)?.abs());
                }
                let scale = if most > 0.0 && most.is_finite() { most / INT8_MOST } else { 1.0 };
                for k in 0..place.k {
                    let q = (weights.get(at(k)?)? / scale).round_ties_even().clamp(-INT8_MOST, INT8_MOST);
                    *new.get_mut(at(k)?)? = (q as i8) as u8;
                }
                scales.extend(scale.to_le_bytes());
            }
            (new, Some(scales), DType::I8)
        }
    };
    let mut add = |suffix: &str, dtype, len, data: Vec<u8>| {
        let id = BufferId(program.buffers.len() as u32);
        let name = format!("{name}.{suffix}{}", id.0);
        program.buffers.push(Buffer { name, dtype, len, kind: BufferKind::Constant(Bytes::new(data)) });
        id
    };
    let weights = add("weights", dtype, len, new);
    Some((weights, scales.map(|scales| add("scales", DType::F32, Dim::int(place.n), scales))))
}
