//! The schema's tensors: scalar types, devices, layouts, sizes that may be symbolic, and payload configs.

use indexmap::IndexMap;
use pt2c_ir::DType;
use serde::{Deserialize, Serialize};

use super::json::{Float, int_enum, unique_map};

int_enum! {
    /// Element types in the schema's own numbering (not c10's).
    ScalarType {
        /// Not stated.
        Unknown = 0,
        /// `torch.uint8`
        Byte = 1,
        /// `torch.int8`
        Char = 2,
        /// `torch.int16`
        Short = 3,
        /// `torch.int32`
        Int = 4,
        /// `torch.int64`
        Long = 5,
        /// `torch.float16`
        Half = 6,
        /// `torch.float32`
        Float = 7,
        /// `torch.float64`
        Double = 8,
        /// `torch.complex32`
        ComplexHalf = 9,
        /// `torch.complex64`
        ComplexFloat = 10,
        /// `torch.complex128`
        ComplexDouble = 11,
        /// `torch.bool`
        Bool = 12,
        /// `torch.bfloat16`
        BFloat16 = 13,
        /// `torch.uint16`
        UInt16 = 28,
        /// `torch.float8_e4m3fn`
        Float8E4M3Fn = 29,
        /// `torch.float8_e5m2`
        Float8E5M2 = 30,
        /// `torch.float8_e4m3fnuz`
        Float8E4M3Fnuz = 31,
        /// `torch.float8_e5m2fnuz`
        Float8E5M2Fnuz = 32,
        /// `torch.float8_e8m0fnu`
        Float8E8M0Fnu = 33,
        /// `torch.uint32`
        UInt32 = 34,
        /// `torch.uint64`
        UInt64 = 35,
    }
}

impl ScalarType {
    /// Its name in PyTorch: `torch.float32`.
    pub fn torch_name(self) -> &'static str {
        match self {
            ScalarType::Unknown => "\"unknown\"",
            ScalarType::Byte => "torch.uint8",
            ScalarType::Char => "torch.int8",
            ScalarType::Short => "torch.int16",
            ScalarType::Int => "torch.int32",
            ScalarType::Long => "torch.int64",
            ScalarType::Half => "torch.float16",
            ScalarType::Float => "torch.float32",
            ScalarType::Double => "torch.float64",
            ScalarType::ComplexHalf => "torch.complex32",
            ScalarType::ComplexFloat => "torch.complex64",
            ScalarType::ComplexDouble => "torch.complex128",
            ScalarType::Bool => "torch.bool",
            ScalarType::BFloat16 => "torch.bfloat16",
            ScalarType::UInt16 => "torch.uint16",
            ScalarType::UInt32 => "torch.uint32",
            ScalarType::UInt64 => "torch.uint64",
            ScalarType::Float8E4M3Fn => "torch.float8_e4m3fn",
            ScalarType::Float8E5M2 => "torch.float8_e5m2",
            ScalarType::Float8E4M3Fnuz => "torch.float8_e4m3fnuz",
            ScalarType::Float8E5M2Fnuz => "torch.float8_e5m2fnuz",
            ScalarType::Float8E8M0Fnu => "torch.float8_e8m0fnu",
        }
    }

    /// Bytes of one element; `None` for [`ScalarType::Unknown`].
    pub fn element_size(self) -> Option<u64> {
        Some(match self {
            ScalarType::Unknown => return None,
            ScalarType::Byte
            | ScalarType::Char
            | ScalarType::Bool
            | ScalarType::Float8E4M3Fn
            | ScalarType::Float8E5M2
            | ScalarType::Float8E4M3Fnuz
            | ScalarType::Float8E5M2Fnuz
            | ScalarType::Float8E8M0Fnu => 1,
            ScalarType::Short | ScalarType::Half | ScalarType::BFloat16 | ScalarType::UInt16 => 2,
            ScalarType::Int | ScalarType::Float | ScalarType::ComplexHalf | ScalarType::UInt32 => 4,
            ScalarType::Long | ScalarType::Double | ScalarType::ComplexFloat | ScalarType::UInt64 => 8,
            ScalarType::ComplexDouble => 16,
        })
    }
}

/// An element type of the schema that the IR does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the element type {} is not supported", .0.torch_name())]
pub struct UnsupportedScalarType(pub ScalarType);

impl TryFrom<ScalarType> for DType {
    type Error = UnsupportedScalarType;

    fn try_from(ty: ScalarType) -> Result<DType, UnsupportedScalarType> {
        Ok(match ty {
            ScalarType::Byte => DType::U8,
            ScalarType::Char => DType::I8,
            ScalarType::Short => DType::I16,
            ScalarType::Int => DType::I32,
            ScalarType::Long => DType::I64,
            ScalarType::Half => DType::F16,
            ScalarType::Float => DType::F32,
            ScalarType::Double => DType::F64,
            ScalarType::ComplexHalf => DType::C32,
            ScalarType::ComplexFloat => DType::C64,
            ScalarType::ComplexDouble => DType::C128,
            ScalarType::Bool => DType::Bool,
            ScalarType::BFloat16 => DType::BF16,
            ScalarType::UInt16 => DType::U16,
            ScalarType::UInt32 => DType::U32,
            ScalarType::UInt64 => DType::U64,
            ScalarType::Float8E4M3Fn => DType::F8E4M3FN,
            ScalarType::Float8E5M2 => DType::F8E5M2,
            ScalarType::Unknown
            | ScalarType::Float8E4M3Fnuz
            | ScalarType::Float8E5M2Fnuz
            | ScalarType::Float8E8M0Fnu => return Err(UnsupportedScalarType(ty)),
        })
    }
}

int_enum! {
    /// How a tensor stores its elements.
    Layout {
        /// Not stated.
        Unknown = 0,
        /// `torch.sparse_coo`
        SparseCoo = 1,
        /// `torch.sparse_csr`
        SparseCsr = 2,
        /// `torch.sparse_csc`
        SparseCsc = 3,
        /// `torch.sparse_bsr`
        SparseBsr = 4,
        /// `torch.sparse_bsc`
        SparseBsc = 5,
        /// oneDNN's opaque layout.
        Mkldnn = 6,
        /// `torch.strided`
        Strided = 7,
    }
}

int_enum! {
    /// A memory format as an argument.
    MemoryFormat {
        /// Not stated.
        Unknown = 0,
        /// `torch.contiguous_format`
        Contiguous = 1,
        /// `torch.channels_last`
        ChannelsLast = 2,
        /// `torch.channels_last_3d`
        ChannelsLast3d = 3,
        /// `torch.preserve_format`
        Preserve = 4,
    }
}

/// A device, such as `cpu` or `cuda:0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// `cpu`, `cuda`, `mps`, `meta`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Which of them.
    #[serde(default)]
    pub index: Option<i64>,
}

/// The example value of a symbolic expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymExprHint {
    /// Of a symbolic int.
    AsInt(i64),
    /// Of a symbolic bool.
    AsBool(bool),
    /// Of a symbolic float.
    AsFloat(Float),
}

/// A symbolic expression in sympy's printed form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymExpr {
    /// `srepr` (current) or `str` (up to torch 2.5) of the expression.
    pub expr_str: String,
    /// The value at export; unbacked symbols have none.
    #[serde(default)]
    pub hint: Option<SymExprHint>,
}

/// An int that may be symbolic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymInt {
    /// An expression over symbols.
    AsExpr(SymExpr),
    /// A known value.
    AsInt(i64),
}

/// A float that may be symbolic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymFloat {
    /// An expression over symbols.
    AsExpr(SymExpr),
    /// A known value.
    AsFloat(Float),
}

/// A bool that may be symbolic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymBool {
    /// An expression over symbols.
    AsExpr(SymExpr),
    /// A known value.
    AsBool(bool),
}

/// What is known of a tensor value: its type, sizes and strides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorMeta {
    /// Element type.
    pub dtype: ScalarType,
    /// Size of each dimension.
    pub sizes: Vec<SymInt>,
    /// Whether autograd tracked it.
    pub requires_grad: bool,
    /// Where it lived at export.
    pub device: Device,
    /// Stride of each dimension in elements.
    pub strides: Vec<SymInt>,
    /// First element's index in the storage.
    pub storage_offset: SymInt,
    /// Dense or sparse.
    pub layout: Layout,
}

/// What the archive says of one weight, buffer, constant or custom object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadMeta {
    /// Name of the payload file inside `data/weights/` or `data/constants/`.
    pub path_name: String,
    /// A parameter rather than a buffer or constant.
    pub is_param: bool,
    /// The payload is a pickle, not raw bytes.
    pub use_pickle: bool,
    /// How to see the storage as a tensor; `None` for custom objects.
    #[serde(default)]
    pub tensor_meta: Option<TensorMeta>,
}

/// `data/weights/MODEL_weights_config.json` and its twin for constants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadConfig {
    /// By fully qualified name.
    #[serde(with = "unique_map")]
    pub config: IndexMap<String, PayloadMeta>,
}
