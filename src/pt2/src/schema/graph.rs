//! The schema's graphs and nodes.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::argument::{Argument, CustomObjArgument, NamedArgument};
use super::json::unique_map;
use super::tensor::{SymBool, SymFloat, SymInt, TensorMeta};

/// A call of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `torch.ops.aten.add.Tensor`, `torch.ops.higher_order.cond`, `_operator.mul`, …
    pub target: String,
    /// In schema order; those that the caller left out are not written.
    pub inputs: Vec<NamedArgument>,
    /// One per result; an operator that returns a list has one list.
    pub outputs: Vec<Argument>,
    /// `stack_trace`, `nn_module_stack` and others; all optional.
    #[serde(default, with = "unique_map")]
    pub metadata: IndexMap<String, String>,
    /// A higher-order operator that returns a bare tensor rather than a tuple.
    #[serde(default)]
    pub is_hop_single_tensor_return: Option<bool>,
    /// The FX node's name.
    #[serde(default)]
    pub name: Option<String>,
}

/// A graph with the tables of its values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// One per input spec of the signature.
    pub inputs: Vec<Argument>,
    /// One per output spec of the signature.
    pub outputs: Vec<Argument>,
    /// In execution order.
    pub nodes: Vec<Node>,
    /// Every tensor value's type, graph inputs included.
    #[serde(with = "unique_map")]
    pub tensor_values: IndexMap<String, TensorMeta>,
    /// Every symbolic int's expression.
    #[serde(default, with = "unique_map")]
    pub sym_int_values: IndexMap<String, SymInt>,
    /// Every symbolic bool's expression.
    #[serde(default, with = "unique_map")]
    pub sym_bool_values: IndexMap<String, SymBool>,
    /// A nested graph that returns a bare tensor.
    #[serde(default)]
    pub is_single_tensor_return: bool,
    /// Every custom object's class.
    #[serde(default, with = "unique_map")]
    pub custom_obj_values: IndexMap<String, CustomObjArgument>,
    /// Every symbolic float's expression.
    #[serde(default, with = "unique_map")]
    pub sym_float_values: IndexMap<String, SymFloat>,
}

impl Graph {
    /// The graphs nested directly in this one, with the index of the node they belong to.
    pub fn subgraphs(&self) -> impl Iterator<Item = (usize, &Graph)> {
        self.nodes.iter().enumerate().flat_map(|(index, node)| {
            node.inputs.iter().filter_map(move |input| match &input.arg {
                Argument::AsGraph(argument) => Some((index, &argument.graph)),
                _ => None,
            })
        })
    }
}
