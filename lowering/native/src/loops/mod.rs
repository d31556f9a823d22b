//! Kernel IR's loop nests and scalar expressions as MLIR.
//!
//! A [`Cx`] is a function under construction together with what its kernel's symbols and variables mean at the
//! current place. Outside of a vector loop, values are scalars. Inside one ([`Cx::enter_lanes`]), a symbol stands for
//! neighbouring iterations: values that depend on it are vectors, all others stay scalars and are broadcast where the
//! two meet; addresses are sorted into uniform, unit-stride, strided and arbitrary ones, which become scalar loads,
//! vector loads and gathers. A mask, where there is one, says which lanes exist: no other lane touches memory.
//!
//! Where things are: `cast` conversions, `arith` operators, `access` loads and stores, `lanes` addresses and integers
//! in vector lanes, `expr` expressions, `stmt` statements and scalar loops, `vector_loop` vector loops.

mod access;
mod arith;
mod cast;
mod expr;
mod lanes;
mod stmt;
mod vector_loop;

pub(crate) use lanes::stride_within;
pub(crate) use vector_loop::widths;

use crate::NativeError;
use crate::builder::{Elem, Func, Type, Val};
use crate::dims::Indices;
use pt2c_ir::DType;
use pt2c_ir::dim::{Scope, Symbol};
use pt2c_kernel::Var;
use std::collections::BTreeMap;

pub use arith::LIBM2;
pub use stmt::FAIL;

/// A value of an expression: a scalar, or one value for each lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// What the generated code calls it.
    pub val: Val,
    /// Its type; f16 and bf16 never occur (they are f32 outside of memory).
    pub dtype: DType,
}

/// A buffer that the function can access.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The flat memref.
    pub val: Val,
    /// Element type in memory.
    pub dtype: DType,
    /// The memref under the integer type of the same width where `dtype` is a 16-bit float, else the same.
    bits: Val,
}

impl Memory {
    /// A memref of that dtype.
    pub fn new(b: &mut Func<'_>, val: Val, dtype: DType) -> Memory {
        let bits = match dtype {
            DType::F16 | DType::BF16 => b.buffer_as(val, Elem::I16),
            _ => val,
        };
        Memory { val, dtype, bits }
    }
}

/// The symbol that runs through vector lanes, and their number.
#[derive(Clone, Debug)]
struct Lanes {
    symbol: Symbol,
    width: u32,
    /// Whether the value in lane 0 is a multiple of the width.
    aligned: bool,
}

/// Which lanes exist.
#[derive(Clone, Copy, Debug)]
struct Mask {
    val: Val,
    /// Whether lane 0 always exists (the tail of a loop), so that uniform loads need no guard.
    first_lane: bool,
}

/// Where a failed check is reported.
#[derive(Clone, Copy, Debug)]
struct Failure {
    /// The runtime's handle of the call.
    call: Val,
    /// A pointer to the word that is set to 1.
    flag: Val,
}

/// A function under construction with the meaning of its kernel's names.
pub struct Cx<'t> {
    /// The function.
    pub b: Func<'t>,
    /// The kernel's parameters.
    pub params: Vec<Memory>,
    /// The symbols and what is known about them. Inside lanes the lane symbol means its value in lane 0.
    pub ix: Indices,
    /// Texts of the checks, shared by all kernels of a program: a message's number is its position.
    pub messages: Vec<String>,
    vars: BTreeMap<Var, Value>,
    lanes: Option<Lanes>,
    /// Whether the parts of the vector loop around start at multiples of their widths.
    aligned_parts: bool,
    /// Data-dependent symbols that differ from lane to lane, as vectors of i64.
    varying: BTreeMap<Symbol, Val>,
    mask: Option<Mask>,
    failure: Option<Failure>,
}

impl<'t> Cx<'t> {
    /// A context around a function whose buffer parameters have been added.
    pub fn new(b: Func<'t>, params: Vec<Memory>, scope: Scope) -> Cx<'t> {
        Cx {
            b,
            params,
            ix: Indices::new(scope),
            messages: Vec::new(),
            vars: BTreeMap::new(),
            lanes: None,
            aligned_parts: false,
            varying: BTreeMap::new(),
            mask: None,
            failure: None,
        }
    }

    /// Says where failed checks are reported: the runtime's handle, and a pointer to a word to set to 1.
    pub fn set_failure(&mut self, call: Val, flag: Val) {
        self.failure = Some(Failure { call, flag });
    }

    /// Gives a variable its value.
    pub fn set_var(&mut self, var: Var, value: Value) {
        self.vars.insert(var, value);
    }

    /// From here on `symbol` runs through `width` lanes beginning at `base` (an `index`). With a mask (`i1` for each
    /// lane, of which the first is always set), the other lanes touch no memory. A width of 1 means scalars.
    pub fn enter_lanes(&mut self, symbol: &Symbol, base: Val, width: u32, mask: Option<Val>) {
        self.ix.enter();
        self.ix.bind(symbol, base);
        if width > 1 {
            self.lanes = Some(Lanes { symbol: symbol.clone(), width, aligned: false });
            self.mask = mask.map(|val| Mask { val, first_lane: true });
        }
    }

    /// States that the value in lane 0 is a multiple of the width.
    fn align_lanes(&mut self) {
        if let Some(lanes) = &mut self.lanes {
            lanes.aligned = true;
        }
    }

    /// Ends what [`Cx::enter_lanes`] began.
    pub fn leave_lanes(&mut self) {
        self.lanes = None;
        self.mask = None;
        self.varying.clear();
        self.ix.leave();
    }

    /// Lanes of the vector loop around the current place; 1 outside of any.
    pub fn width(&self) -> u32 {
        self.lanes.as_ref().map_or(1, |l| l.width)
    }

    /// A scalar in every lane (a no-op outside of lanes and for vectors).
    pub fn spread(&mut self, value: Value) -> Value {
        let width = self.width();
        Value { val: self.b.broadcast(value.val, width), ..value }
    }

    /// Both values as vectors if one is.
    fn unify(&mut self, a: Val, b: Val) -> (Val, Val) {
        match (a.ty.is_vector(), b.ty.is_vector()) {
            (true, false) => (a, self.b.broadcast(b, a.ty.lanes())),
            (false, true) => (self.b.broadcast(a, b.ty.lanes()), b),
            _ => (a, b),
        }
    }

    /// The type of a value of that dtype in as many lanes as are current.
    fn lane_type(&self, dtype: DType) -> Result<Type, NativeError> {
        Ok(Type::of_lanes(self.width(), value_elem(dtype)?))
    }
}

/// How a dtype is held in registers.
///
/// # Errors
/// [`NativeError::Unsupported`] for complex and 8-bit float types, which kernel IR's producer takes apart.
pub fn value_elem(dtype: DType) -> Result<Elem, NativeError> {
    Ok(match dtype {
        DType::Bool => Elem::I1,
        DType::F16 | DType::BF16 | DType::F32 => Elem::F32,
        DType::F64 => Elem::F64,
        other => memory_elem(other)?,
    })
}

/// How a dtype is held in memory.
///
/// # Errors
/// As [`value_elem`].
pub fn memory_elem(dtype: DType) -> Result<Elem, NativeError> {
    Ok(match dtype {
        DType::Bool | DType::U8 | DType::I8 | DType::F8E4M3FN | DType::F8E5M2 => Elem::I8,
        DType::I16 | DType::U16 => Elem::I16,
        DType::I32 | DType::U32 => Elem::I32,
        DType::I64 | DType::U64 => Elem::I64,
        DType::F16 => Elem::F16,
        DType::BF16 => Elem::BF16,
        DType::F32 => Elem::F32,
        DType::F64 => Elem::F64,
        DType::C32 | DType::C64 | DType::C128 => {
            return Err(NativeError::Unsupported { what: format!("values of type {dtype} in a loop nest") });
        }
    })
}

/// The dtype of a value that was loaded from memory of `dtype`.
fn loaded_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 | DType::F8E4M3FN | DType::F8E5M2 => DType::F32,
        other => other,
    }
}

fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

fn is_signed(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64)
}
