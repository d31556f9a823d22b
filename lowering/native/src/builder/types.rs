//! The MLIR types that generated kernels use, as small copyable values that print as MLIR text.

use std::fmt;

/// An element type of scalars, vectors and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Elem {
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// Truth values and masks; memory holds them as `I8`.
    I1,
    /// 8-bit integer (signedness belongs to the operation).
    I8,
    /// 16-bit integer.
    I16,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// Index arithmetic: 64-bit on every target here.
    Index,
}

impl Elem {
    /// Width in bits (`Index`: 64).
    pub fn bits(self) -> u32 {
        match self {
            Elem::I1 => 1,
            Elem::I8 => 8,
            Elem::F16 | Elem::BF16 | Elem::I16 => 16,
            Elem::F32 | Elem::I32 => 32,
            Elem::F64 | Elem::I64 | Elem::Index => 64,
        }
    }

    /// Bytes that one element takes in memory.
    pub fn bytes(self) -> u32 {
        self.bits().div_ceil(8)
    }

    /// Whether arithmetic on it is `arith.*f`.
    pub fn is_float(self) -> bool {
        matches!(self, Elem::F16 | Elem::BF16 | Elem::F32 | Elem::F64)
    }

    /// The integer type of the same width, for bit tricks.
    pub fn same_width_int(self) -> Elem {
        match self {
            Elem::F16 | Elem::BF16 => Elem::I16,
            Elem::F32 => Elem::I32,
            Elem::F64 | Elem::Index => Elem::I64,
            other => other,
        }
    }
}

impl fmt::Display for Elem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Elem::F16 => "f16",
            Elem::BF16 => "bf16",
            Elem::F32 => "f32",
            Elem::F64 => "f64",
            Elem::I1 => "i1",
            Elem::I8 => "i8",
            Elem::I16 => "i16",
            Elem::I32 => "i32",
            Elem::I64 => "i64",
            Elem::Index => "index",
        })
    }
}

/// Elements that a buffer parameter claims to hold. The bare-pointer calling convention knows only static sizes,
/// so every buffer says the same size that no real one reaches; bounds are the caller's proof.
pub const BUFFER_ELEMENTS: u64 = 1 << 40;

/// The type of an SSA value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// One element.
    Scalar(Elem),
    /// `vector<NxE>`.
    Vector(u32, Elem),
    /// `vector<RxCxE>`, for in-register transposes.
    Matrix(u32, u32, Elem),
    /// A flat memref of so many elements.
    Memory(u64, Elem),
    /// An untyped pointer of the LLVM dialect.
    Ptr,
}

impl Type {
    /// Scalar `index`.
    pub const INDEX: Type = Type::Scalar(Elem::Index);
    /// Scalar `i64`.
    pub const I64: Type = Type::Scalar(Elem::I64);
    /// Scalar `i32`.
    pub const I32: Type = Type::Scalar(Elem::I32);
    /// Scalar `f32`.
    pub const F32: Type = Type::Scalar(Elem::F32);
    /// Scalar `i1`.
    pub const BOOL: Type = Type::Scalar(Elem::I1);

    /// A buffer parameter: a flat memref of [`BUFFER_ELEMENTS`].
    pub fn buffer(elem: Elem) -> Type {
        Type::Memory(BUFFER_ELEMENTS, elem)
    }

    /// The element type (`I8` for pointers).
    pub fn elem(self) -> Elem {
        match self {
            Type::Scalar(e) | Type::Vector(_, e) | Type::Matrix(_, _, e) | Type::Memory(_, e) => e,
            Type::Ptr => Elem::I8,
        }
    }

    /// Lanes of a vector; 1 for anything else.
    pub fn lanes(self) -> u32 {
        match self {
            Type::Vector(n, _) => n,
            _ => 1,
        }
    }

    /// The same shape over another element type.
    pub fn with_elem(self, elem: Elem) -> Type {
        match self {
            Type::Scalar(_) | Type::Ptr => Type::Scalar(elem),
            Type::Vector(n, _) => Type::Vector(n, elem),
            Type::Matrix(r, c, _) => Type::Matrix(r, c, elem),
            Type::Memory(n, _) => Type::Memory(n, elem),
        }
    }

    /// A vector of that many lanes, or the scalar where `lanes` is 1.
    pub fn of_lanes(lanes: u32, elem: Elem) -> Type {
        if lanes == 1 { Type::Scalar(elem) } else { Type::Vector(lanes, elem) }
    }

    /// Whether it is a vector of any rank.
    pub fn is_vector(self) -> bool {
        matches!(self, Type::Vector(..) | Type::Matrix(..))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Scalar(e) => write!(f, "{e}"),
            Type::Vector(n, e) => write!(f, "vector<{n}x{e}>"),
            Type::Matrix(r, c, e) => write!(f, "vector<{r}x{c}x{e}>"),
            Type::Memory(n, e) => write!(f, "memref<{n}x{e}>"),
            Type::Ptr => f.write_str("!llvm.ptr"),
        }
    }
}

/// An SSA value: prints as its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Val {
    pub(super) id: u32,
    /// Position among the results of a many-result operation.
    pub(super) part: Option<u32>,
    /// The value's type.
    pub ty: Type,
}

impl fmt::Display for Val {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            None => write!(f, "%v{}", self.id),
            Some(k) => write!(f, "%v{}#{k}", self.id),
        }
    }
}
