//! Weights of matrix products in fewer bits, where the user asks for it: what a program reads from memory shrinks, and
//! with few rows (a language model's next token) that is what takes the time. Sums stay in f32.
//!
//! * int8: each column's weights are whole numbers from -127 to 127 times the column's own scale, its largest magnitude
//!   divided by 127. The scale is a factor of the finished sum, so it costs one multiplication for each output.
//! * int4: each column's weights, 32 at a time, are whole numbers from -8 to 7 times a scale of their own: the one of
//!   the largest magnitude divided by -8, as of llama.cpp's `Q4_0`. Where 32 does not divide the sums' length, int8.
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
    /// Whole numbers of 4 bits with a scale for each 32 of a column.
    Int4,
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
/// Weights of 4 bits that share a scale: neighbours along the contracted index.
const GROUP: i64 = 32;

/// Where a kernel finds a weight: element `(k, n)` at `offset + k·k_step + n·n_step`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Place {
    k: i64,
    n: i64,
    k_step: i64,
    n_step: i64,
    offset: i64,
}

impl Place {
    /// The type that a weight of this shape becomes where `to` is wanted.
    fn fits(&self, to: WeightType) -> WeightType {
        if to == WeightType::Int4 && self.k % GROUP != 0 { WeightType::Int8 } else { to }
    }

    /// Where element `(k, n)` is.
    fn at(&self, k: i64, n: i64) -> Option<usize> {
        usize::try_from(self.offset + k * self.k_step + n * self.n_step).ok()
    }
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
        if let Some((param, place)) = place {
            change(kernel, *param, place.fits(to));
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
            WeightType::Int4 => DType::U8,
            WeightType::Int8 => DType::I8,
            WeightType::Bf16 | WeightType::Bf16Products => DType::BF16,
        };
    }
    if to == WeightType::Bf16Products {
        m.rounding = Some(DType::BF16);
    }
    if to == WeightType::Int4 {
        m.b = MatmulB::Grouped { param, scales, group: GROUP };
    }
    if to == WeightType::Int8 {
        scale_sums(&mut m.epilogue, scales, &m.n);
    }
    if matches!(to, WeightType::Int4 | WeightType::Int8) {
        kernel.params.push(Param { name: "scales".to_string(), dtype: DType::F32, access: Access::Read });
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
                    let Some(new) = make(program, source, *place, place.fits(to)) else { return false };
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

/// Weights in their new type, with the scales of those that have some.
struct Packed {
    dtype: DType,
    elements: Vec<u8>,
    scales: Option<Vec<u8>>,
}

/// Adds buffers for the constant's elements in the new type and for their scales.
fn make(
    program: &mut KernelProgram,
    source: BufferId,
    place: Place,
    to: WeightType,
) -> Option<(BufferId, Option<BufferId>)> {
    let buffer = program.buffers.get(source.0 as usize)?;
    let BufferKind::Constant(bytes) = &buffer.kind else { return None };
    let name = buffer.name.clone();
    let weights: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap_or_default())).collect();
    let packed = match to {
        WeightType::Bf16 | WeightType::Bf16Products => {
            let elements = weights.iter().flat_map(|w| half::bf16::from_f32(*w).to_le_bytes()).collect();
            Packed { dtype: DType::BF16, elements, scales: None }
        }
        WeightType::Int8 => by_columns(&weights, place)?,
        WeightType::Int4 => by_groups(&weights, place)?,
    };
    let mut add = |suffix: &str, dtype: DType, data: Vec<u8>| {
        let id = BufferId(program.buffers.len() as u32);
        let len = Dim::int((data.len() / dtype.size().max(1)) as i64);
        let name = format!("{name}.{suffix}{}", id.0);
        program.buffers.push(Buffer { name, dtype, len, kind: BufferKind::Constant(Bytes::new(data)) });
        id
    };
    let weights = add("weights", packed.dtype, packed.elements);
    Some((weights, packed.scales.map(|scales| add("scales", DType::F32, scales))))
}

/// int8: elements at their old places, a scale for each column.
fn by_columns(weights: &[f32], place: Place) -> Option<Packed> {
    let mut elements = vec![0u8; weights.len()];
    let mut scales = Vec::new();
    for n in 0..place.n {
        let mut most = 0.0f32;
        for k in 0..place.k {
            most = most.max(weights.get(place.at(k, n)?)?.abs());
        }
        let scale = if most > 0.0 && most.is_finite() { most / INT8_MOST } else { 1.0 };
        for k in 0..place.k {
            let at = place.at(k, n)?;
            let q = (weights.get(at)? / scale).round_ties_even().clamp(-INT8_MOST, INT8_MOST);
            *elements.get_mut(at)? = (q as i8) as u8;
        }
        scales.extend(scale.to_le_bytes());
    }
    Some(Packed { dtype: DType::I8, elements, scales: Some(scales) })
}

/// int4: pairs of neighbours along `k` in a byte, a scale for each group ([`MatmulB::Grouped`]).
fn by_groups(weights: &[f32], place: Place) -> Option<Packed> {
    let (rows, columns) = (usize::try_from(place.k).ok()?, usize::try_from(place.n).ok()?);
    let mut elements = vec![0u8; (rows / 2).checked_mul(columns)?];
    let mut scales = Vec::with_capacity(4 * (rows / GROUP as usize).checked_mul(columns)?);
    for first in (0..place.k).step_by(GROUP as usize) {
        for n in 0..place.n {
            let mut most = 0.0f32;
            for k in first..first + GROUP {
                let w = *weights.get(place.at(k, n)?)?;
                most = if w.abs() > most.abs() { w } else { most };
            }
            let scale = if most != 0.0 && most.is_finite() { most / -8.0 } else { 1.0 };
            for k in first..first + GROUP {
                let q = (weights.get(place.at(k, n)?)? / scale).round_ties_even().clamp(-8.0, 7.0) as i8 + 8;
                let byte = elements.get_mut(usize::try_from(k / 2 * place.n + n).ok()?)?;
                *byte |= (q as u8) << (4 * (k % 2));
            }
            scales.extend(scale.to_le_bytes());
        }
    }
    Some(Packed { dtype: DType::U8, elements, scales: Some(scales) })
}
