//! The schema's root: a program with its signature, module calls and constraints.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::argument::{Argument, CustomObjArgument, TensorArgument, TokenArgument};
use super::graph::Graph;
use super::json::{Float, unique_map};

/// A constant that a Python argument was at export; it is baked into the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstantValue {
    /// `None`
    AsNone(bool),
    /// An int.
    AsInt(i64),
    /// A float.
    AsFloat(Float),
    /// A string.
    AsString(String),
    /// A bool.
    AsBool(bool),
}

/// An input that the caller passes: a tensor or a symbolic int.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserInputSpec {
    /// The value.
    pub arg: Argument,
}

/// An input whose value is baked in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputToConstantInputSpec {
    /// The argument's name.
    pub name: String,
    /// What the caller must pass.
    pub value: ConstantValue,
}

/// An input that is a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputToParameterSpec {
    /// The value.
    pub arg: TensorArgument,
    /// Fully qualified name.
    pub parameter_name: String,
}

/// An input that is a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputToBufferSpec {
    /// The value.
    pub arg: TensorArgument,
    /// Fully qualified name.
    pub buffer_name: String,
    /// Part of the state dict; the others are stored with the constants.
    pub persistent: bool,
}

/// An input that is a lifted tensor constant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputToTensorConstantSpec {
    /// The value.
    pub arg: TensorArgument,
    /// Fully qualified name.
    pub tensor_constant_name: String,
}

/// An input that is a custom object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputToCustomObjSpec {
    /// The value.
    pub arg: CustomObjArgument,
    /// Fully qualified name.
    pub custom_obj_name: String,
}

/// An input that is an effect token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputTokenSpec {
    /// The value.
    pub arg: TokenArgument,
}

/// What an input of the graph is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputSpec {
    /// Passed by the caller.
    UserInput(UserInputSpec),
    /// A parameter.
    Parameter(InputToParameterSpec),
    /// A buffer.
    Buffer(InputToBufferSpec),
    /// A lifted tensor.
    TensorConstant(InputToTensorConstantSpec),
    /// A custom object.
    CustomObj(InputToCustomObjSpec),
    /// An effect token.
    Token(InputTokenSpec),
    /// Baked in.
    ConstantInput(InputToConstantInputSpec),
}

/// An output that the caller gets; may name an input directly or hold a constant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserOutputSpec {
    /// The value.
    pub arg: Argument,
}

/// The loss of a training step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossOutputSpec {
    /// The value.
    pub arg: TensorArgument,
}

/// A buffer's value after the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferMutationSpec {
    /// The new value.
    pub arg: TensorArgument,
    /// Fully qualified name.
    pub buffer_name: String,
}

/// A parameter's value after the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterMutationSpec {
    /// The new value.
    pub arg: TensorArgument,
    /// Fully qualified name.
    pub parameter_name: String,
}

/// The gradient of the loss by a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GradientToParameterSpec {
    /// The gradient.
    pub arg: TensorArgument,
    /// Fully qualified name.
    pub parameter_name: String,
}

/// The gradient of the loss by a user input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GradientToUserInputSpec {
    /// The gradient.
    pub arg: TensorArgument,
    /// The input value's name in the graph.
    pub user_input_name: String,
}

/// A user input's value after the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserInputMutationSpec {
    /// The new value.
    pub arg: TensorArgument,
    /// The input value's name in the graph.
    pub user_input_name: String,
}

/// An output that is an effect token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputTokenSpec {
    /// The value.
    pub arg: TokenArgument,
}

/// What an output of the graph is. Mutations come first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputSpec {
    /// Returned to the caller.
    UserOutput(UserOutputSpec),
    /// The loss.
    LossOutput(LossOutputSpec),
    /// Written to a buffer.
    BufferMutation(BufferMutationSpec),
    /// A parameter's gradient.
    GradientToParameter(GradientToParameterSpec),
    /// A user input's gradient.
    GradientToUserInput(GradientToUserInputSpec),
    /// Written to a user input.
    UserInputMutation(UserInputMutationSpec),
    /// An effect token.
    Token(OutputTokenSpec),
    /// Written to a parameter.
    ParameterMutation(ParameterMutationSpec),
}

/// What every input and output of the graph is, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphSignature {
    /// One per graph input.
    pub input_specs: Vec<InputSpec>,
    /// One per graph output.
    pub output_specs: Vec<OutputSpec>,
}

/// Inclusive bounds of an expression; `None` is unbounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeConstraint {
    /// Least value.
    #[serde(default)]
    pub min_val: Option<i64>,
    /// Greatest value.
    #[serde(default)]
    pub max_val: Option<i64>,
}

/// The calling convention of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleCallSignature {
    /// Flat inputs.
    pub inputs: Vec<Argument>,
    /// Flat outputs.
    pub outputs: Vec<Argument>,
    /// Pytree of the inputs, a JSON document in a string.
    pub in_spec: String,
    /// Pytree of the outputs, a JSON document in a string.
    pub out_spec: String,
    /// Parameter names of `forward`.
    #[serde(default)]
    pub forward_arg_names: Option<Vec<String>>,
}

/// One module call; the first entry (`fqn` "") is the program itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleCallEntry {
    /// Fully qualified name of the module.
    pub fqn: String,
    /// Present for the root and for modules whose signature was preserved.
    #[serde(default)]
    pub signature: Option<ModuleCallSignature>,
}

/// Field names of a named tuple type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedTupleDef {
    /// In order.
    pub field_names: Vec<String>,
}

/// The graph with its signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphModule {
    /// The program's graph.
    pub graph: Graph,
    /// What its inputs and outputs are.
    pub signature: GraphSignature,
    /// Calls of modules, the root first.
    #[serde(default)]
    pub module_call_graph: Vec<ModuleCallEntry>,
    /// Free-form.
    #[serde(default, with = "unique_map")]
    pub metadata: IndexMap<String, String>,
    /// Named tuples that occur in pytrees.
    #[serde(default, with = "unique_map")]
    pub treespec_namedtuple_fields: IndexMap<String, NamedTupleDef>,
}

/// Version of the schema; only the major number decides whether a reader can read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaVersion {
    /// Breaking changes.
    pub major: i64,
    /// Compatible changes.
    pub minor: i64,
}

fn old_torch() -> String {
    "<=2.4".to_owned()
}

/// `models/MODEL.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedProgram {
    /// The graph with its signature.
    pub graph_module: GraphModule,
    /// Version of each operator set (`{"aten": 10}`).
    #[serde(default, with = "unique_map")]
    pub opset_version: IndexMap<String, i64>,
    /// Bounds by expression: usually a symbol, sometimes `32*s39` or `s17 + 1`.
    #[serde(default, with = "unique_map")]
    pub range_constraints: IndexMap<String, RangeConstraint>,
    /// Of this document.
    pub schema_version: SchemaVersion,
    /// `TRAINING` (as exported: not functional), `ATEN`, …
    #[serde(default)]
    pub verifiers: Vec<String>,
    /// The torch that wrote it.
    #[serde(default = "old_torch")]
    pub torch_version: String,
    /// Python expressions over the inputs that must hold at every call.
    #[serde(default)]
    pub guards_code: Vec<String>,
}
