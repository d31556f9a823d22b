//! The schema's arguments: everything that a node takes or returns.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::graph::Graph;
use super::json::{Float, int_enum, unique_map};
use super::tensor::{Device, Layout, MemoryFormat, ScalarType};

/// A tensor value by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorArgument {
    /// Unique in its graph.
    pub name: String,
}

/// An effect token by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenArgument {
    /// Unique in its graph.
    pub name: String,
}

/// A symbolic int by name, or a known one among symbolic ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymIntArgument {
    /// A value in `sym_int_values`.
    AsName(String),
    /// A known value.
    AsInt(i64),
}

/// A symbolic float by name, or a known one among symbolic ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymFloatArgument {
    /// A value in `sym_float_values`.
    AsName(String),
    /// A known value.
    AsFloat(Float),
}

/// A symbolic bool by name, or a known one among symbolic ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymBoolArgument {
    /// A value in `sym_bool_values`.
    AsName(String),
    /// A known value.
    AsBool(bool),
}

/// An element of a `Tensor?[]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionalTensorArgument {
    /// Present.
    AsTensor(TensorArgument),
    /// Absent.
    AsNone(bool),
}

/// A nested graph of a higher-order operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphArgument {
    /// Such as `true_graph_0`.
    pub name: String,
    /// With value tables of its own.
    pub graph: Graph,
}

/// A torchbind object or opaque Python value by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomObjArgument {
    /// Unique in its graph.
    pub name: String,
    /// Its class.
    pub class_fqn: String,
}

/// A complex number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComplexValue {
    /// Real part.
    pub real: Float,
    /// Imaginary part.
    pub imag: Float,
}

/// One argument or result. Which variant occurs follows the Python value that was passed, not the operator's
/// schema: a `Scalar` may come as an int, a `Tensor` as a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Argument {
    /// `None`, given explicitly.
    AsNone(bool),
    /// A tensor.
    AsTensor(TensorArgument),
    /// A list of tensors.
    AsTensors(Vec<TensorArgument>),
    /// An int.
    AsInt(i64),
    /// A list of ints.
    AsInts(Vec<i64>),
    /// A float.
    AsFloat(Float),
    /// A list of floats.
    AsFloats(Vec<Float>),
    /// A string.
    AsString(String),
    /// A list of strings.
    AsStrings(Vec<String>),
    /// A symbolic int.
    AsSymInt(SymIntArgument),
    /// A list of ints with symbolic ones among them.
    AsSymInts(Vec<SymIntArgument>),
    /// A dtype.
    AsScalarType(ScalarType),
    /// A memory format.
    AsMemoryFormat(MemoryFormat),
    /// A layout.
    AsLayout(Layout),
    /// A device.
    AsDevice(Device),
    /// A bool.
    AsBool(bool),
    /// A list of bools.
    AsBools(Vec<bool>),
    /// A symbolic bool.
    AsSymBool(SymBoolArgument),
    /// A list of bools with symbolic ones among them.
    AsSymBools(Vec<SymBoolArgument>),
    /// A nested graph.
    AsGraph(Box<GraphArgument>),
    /// A list of tensors with absent ones among them.
    AsOptionalTensors(Vec<OptionalTensorArgument>),
    /// A custom object.
    AsCustomObj(CustomObjArgument),
    /// An operator passed as a value.
    AsOperator(String),
    /// A symbolic float.
    AsSymFloat(SymFloatArgument),
    /// A list of floats with symbolic ones among them.
    AsSymFloats(Vec<SymFloatArgument>),
    /// A tensor or None.
    AsOptionalTensor(OptionalTensorArgument),
    /// A complex number.
    AsComplex(ComplexValue),
    /// A list of lists of tensors.
    AsNestedTensors(Vec<Vec<TensorArgument>>),
    /// A list of lists of ints.
    AsIntLists(Vec<Vec<i64>>),
    /// A dictionary of arguments.
    AsStringToArgument(#[serde(with = "unique_map")] IndexMap<String, Argument>),
    /// A list of lists of floats.
    AsFloatLists(Vec<Vec<Float>>),
}

impl Argument {
    /// The union's tag in the file, for messages.
    pub fn tag(&self) -> &'static str {
        match self {
            Argument::AsNone(_) => "as_none",
            Argument::AsTensor(_) => "as_tensor",
            Argument::AsTensors(_) => "as_tensors",
            Argument::AsInt(_) => "as_int",
            Argument::AsInts(_) => "as_ints",
            Argument::AsFloat(_) => "as_float",
            Argument::AsFloats(_) => "as_floats",
            Argument::AsString(_) => "as_string",
            Argument::AsStrings(_) => "as_strings",
            Argument::AsSymInt(_) => "as_sym_int",
            Argument::AsSymInts(_) => "as_sym_ints",
            Argument::AsScalarType(_) => "as_scalar_type",
            Argument::AsMemoryFormat(_) => "as_memory_format",
            Argument::AsLayout(_) => "as_layout",
            Argument::AsDevice(_) => "as_device",
            Argument::AsBool(_) => "as_bool",
            Argument::AsBools(_) => "as_bools",
            Argument::AsSymBool(_) => "as_sym_bool",
            Argument::AsSymBools(_) => "as_sym_bools",
            Argument::AsGraph(_) => "as_graph",
            Argument::AsOptionalTensors(_) => "as_optional_tensors",
            Argument::AsCustomObj(_) => "as_custom_obj",
            Argument::AsOperator(_) => "as_operator",
            Argument::AsSymFloat(_) => "as_sym_float",
            Argument::AsSymFloats(_) => "as_sym_floats",
            Argument::AsOptionalTensor(_) => "as_optional_tensor",
            Argument::AsComplex(_) => "as_complex",
            Argument::AsNestedTensors(_) => "as_nested_tensors",
            Argument::AsIntLists(_) => "as_int_lists",
            Argument::AsStringToArgument(_) => "as_string_to_argument",
            Argument::AsFloatLists(_) => "as_float_lists",
        }
    }
}

int_enum! {
    /// How an argument was passed.
    ArgumentKind {
        /// Written by an older torch.
        Unknown = 0,
        /// By position.
        Positional = 1,
        /// By keyword.
        Keyword = 2,
    }
}

/// An argument under its name in the operator's schema. Higher-order operators' positional arguments have empty names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedArgument {
    /// The schema's name of it.
    pub name: String,
    /// The value.
    pub arg: Argument,
    /// How it was passed.
    #[serde(default)]
    pub kind: Option<ArgumentKind>,
}
