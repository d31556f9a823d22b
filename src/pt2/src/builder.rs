//! Programs made in Rust: [`ProgramBuilder`] makes what `torch.export.export` would, ready to be saved for PyTorch,
//! imported and compiled.
//!
//! ```
//! use pt2c_ir::{Arg, DType, dim::Dim};
//! use pt2c_pt2::{ExportedProgram, Nested, ProgramBuilder};
//!
//! // y = relu(linear(x)), any number of rows from 1 to 64
//! let mut b = ProgramBuilder::new("mlp");
//! let rows = b.dynamic_dim("rows", 1, Some(64));
//! let x = b.input("x", DType::F32, &[rows, Dim::int(4)])?;
//! let weight = b.parameter("linear.weight", DType::F32, &[3, 4], &[0.5f32; 12].map(f32::to_le_bytes).concat())?;
//! b.enter_module("linear", "torch.nn.modules.linear.Linear");
//! let y = b.call("aten.linear.default", &[x.into(), weight.into()])?;
//! b.leave_module();
//! let y = b.call("aten.relu.default", &[(&y[0]).into()])?;
//! let program = b.finish(Nested::dict([("y", Nested::Leaf(y[0].clone()))]))?;
//!
//! assert_eq!(program.output_names(), [r#"output["y"]"#]);
//! let bytes = program.to_bytes()?;                       // torch.export.load reads this
//! let module = program.module()?;                        // and this runs it
//! # let archive = pt2c_pt2::archive::Archive::from_bytes(pt2c_ir::Bytes::new(bytes))?;
//! # assert_eq!(ExportedProgram::from_archive(&archive, None)?.program, program.program);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use indexmap::IndexMap;
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{Arg, Bytes, DType, Fact, TensorData};

use crate::ExportedProgram;
use crate::export::{ExportError, Hints, Writer, empty_program, fact_of, identifier};
use crate::import::schemas;
use crate::payload::{Payload, Payloads, StoredTensor};
use crate::pytree::TreeSpec;
use crate::schema::{
    self, Argument, BufferMutationSpec, Float, Graph, GraphModule, GraphSignature, InputSpec, InputToBufferSpec,
    InputToParameterSpec, InputToTensorConstantSpec, ModuleCallEntry, ModuleCallSignature, OutputSpec, RangeConstraint,
    SymIntArgument, TensorArgument, UserInputSpec, UserOutputSpec,
};

/// A tensor value of a program under construction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(String);

impl Value {
    /// Its name in the graph.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl From<&Value> for Arg<Value> {
    fn from(value: &Value) -> Arg<Value> {
        Arg::Tensor(value.clone())
    }
}

impl From<Value> for Arg<Value> {
    fn from(value: Value) -> Arg<Value> {
        Arg::Tensor(value)
    }
}

/// What a program returns: values in nested containers, as `forward` returns them in Python.
#[derive(Clone, Debug, PartialEq)]
pub enum Nested {
    /// A tensor.
    Leaf(Value),
    /// An int, possibly a dynamic one.
    Int(Dim),
    /// A float, known now.
    Float(f64),
    /// `None`
    None,
    /// A tuple.
    Tuple(Vec<Nested>),
    /// A list.
    List(Vec<Nested>),
    /// A dict with string keys.
    Dict(Vec<(String, Nested)>),
}

impl Nested {
    /// A dict.
    pub fn dict<'k>(items: impl IntoIterator<Item = (&'k str, Nested)>) -> Nested {
        Nested::Dict(items.into_iter().map(|(key, item)| (key.to_owned(), item)).collect())
    }

    fn spec(&self) -> TreeSpec {
        match self {
            Nested::Leaf(_) | Nested::Int(_) | Nested::Float(_) | Nested::None => TreeSpec::leaf(),
            Nested::Tuple(items) => TreeSpec::tuple(items.iter().map(Nested::spec).collect()),
            Nested::List(items) => TreeSpec::list(items.iter().map(Nested::spec).collect()),
            Nested::Dict(items) => TreeSpec::dict(items.iter().map(|(k, v)| (k.clone(), v.spec())).collect()),
        }
    }

    fn leaves<'n>(&'n self, out: &mut Vec<&'n Nested>) {
        match self {
            Nested::Tuple(items) | Nested::List(items) => items.iter().for_each(|item| item.leaves(out)),
            Nested::Dict(items) => items.iter().for_each(|(_, item)| item.leaves(out)),
            leaf => out.push(leaf),
        }
    }
}

impl From<Value> for Nested {
    fn from(value: Value) -> Nested {
        Nested::Leaf(value)
    }
}

/// Makes a program node by node; every call is checked against the operator's schema and its result inferred.
pub struct ProgramBuilder {
    name: String,
    graph: Graph,
    scope: Scope,
    hints: Hints,
    ranges: IndexMap<String, RangeConstraint>,
    facts: IndexMap<String, Fact>,
    /// By kind, in PyTorch's order: parameters, buffers, constants, user inputs.
    inputs: [Vec<(InputSpec, Argument)>; 4],
    mutations: Vec<(OutputSpec, Argument)>,
    state_dict: Payloads,
    constants: Payloads,
    arg_names: Vec<String>,
    /// Open modules: path and class.
    modules: Vec<(String, String)>,
    calls: Vec<ModuleCallEntry>,
    /// Symbolic sizes of the inputs, as the writer needs them.
    sizes: Vec<(String, Vec<Dim>)>,
}

impl ProgramBuilder {
    /// An empty program of this name (the archive's root folder, the library's default name).
    pub fn new(name: &str) -> ProgramBuilder {
        ProgramBuilder {
            name: name.to_owned(),
            graph: Graph::default(),
            scope: Scope::new(),
            hints: Hints::new(),
            ranges: IndexMap::new(),
            facts: IndexMap::new(),
            inputs: Default::default(),
            mutations: Vec::new(),
            state_dict: Payloads::default(),
            constants: Payloads::default(),
            arg_names: Vec::new(),
            modules: Vec::new(),
            calls: Vec::new(),
            sizes: Vec::new(),
        }
    }

    /// A dimension that callers choose, from `min` to `max` (inclusive): `torch.export.Dim(name, min=…, max=…)`.
    /// PyTorch names symbols by numbers, so `name` is only part of the symbol's name here.
    pub fn dynamic_dim(&mut self, name: &str, min: i64, max: Option<i64>) -> Dim {
        // PyTorch knows sizes by the letter s.
        let mut symbol = format!("s_{}", identifier(name));
        while self.ranges.contains_key(&symbol) {
            symbol.push('_');
        }
        let example = min.max(2).saturating_add(self.ranges.len() as i64);
        self.hints.insert(Symbol::new(&symbol), max.map_or(example, |max| example.min(max)));
        self.scope.declare(symbol.as_str(), Some(min.max(0)), max);
        self.ranges.insert(symbol.clone(), RangeConstraint { min_val: Some(min.max(0)), max_val: max });
        Dim::sym(symbol.as_str())
    }

    /// A tensor that the caller passes, in the order of `forward`'s parameters.
    ///
    /// # Errors
    /// A size without a written form.
    pub fn input(&mut self, name: &str, dtype: DType, shape: &[Dim]) -> Result<Value, ExportError> {
        let value = self.declare(name, Fact::new(dtype, shape.to_vec()))?;
        let argument = tensor(&value);
        let spec = InputSpec::UserInput(UserInputSpec { arg: argument.clone() });
        self.inputs[3].push((spec, argument));
        self.arg_names.push(identifier(name));
        self.sizes.push((value.0.clone(), shape.to_vec()));
        Ok(value)
    }

    /// A parameter: `bytes` are its elements, little-endian, row-major.
    ///
    /// # Errors
    /// [`ExportError::Call`] if the bytes are not as many as the shape says.
    pub fn parameter(&mut self, fqn: &str, dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Value, ExportError> {
        let (value, mut stored) = self.stored("p", fqn, dtype, shape, bytes)?;
        stored.is_param = true;
        stored.requires_grad = dtype.is_float();
        self.state_dict.entries.insert(fqn.to_owned(), Payload::Tensor(stored));
        let arg = TensorArgument { name: value.0.clone() };
        let spec = InputSpec::Parameter(InputToParameterSpec { arg, parameter_name: fqn.to_owned() });
        self.inputs[0].push((spec, tensor(&value)));
        Ok(value)
    }

    /// A buffer: state of the module that calls can change ([`ProgramBuilder::mutate_buffer`]).
    ///
    /// # Errors
    /// As [`ProgramBuilder::parameter`].
    pub fn buffer(
        &mut self,
        fqn: &str,
        dtype: DType,
        shape: &[usize],
        bytes: &[u8],
        persistent: bool,
    ) -> Result<Value, ExportError> {
        let (value, stored) = self.stored("b", fqn, dtype, shape, bytes)?;
        let payloads = if persistent { &mut self.state_dict } else { &mut self.constants };
        payloads.entries.insert(fqn.to_owned(), Payload::Tensor(stored));
        let arg = TensorArgument { name: value.0.clone() };
        let spec = InputSpec::Buffer(InputToBufferSpec { arg, buffer_name: fqn.to_owned(), persistent });
        self.inputs[1].push((spec, tensor(&value)));
        Ok(value)
    }

    /// A constant of the program.
    ///
    /// # Errors
    /// As [`ProgramBuilder::parameter`].
    pub fn constant(&mut self, fqn: &str, dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Value, ExportError> {
        let (value, stored) = self.stored("c", fqn, dtype, shape, bytes)?;
        self.constants.entries.insert(fqn.to_owned(), Payload::Tensor(stored));
        let arg = TensorArgument { name: value.0.clone() };
        let spec = InputSpec::TensorConstant(InputToTensorConstantSpec { arg, tensor_constant_name: fqn.to_owned() });
        self.inputs[2].push((spec, tensor(&value)));
        Ok(value)
    }

    /// A parameter under a second name: tied weights.
    ///
    /// # Errors
    /// [`ExportError::Undefined`] if there is no parameter of the first name.
    pub fn tie(&mut self, fqn: &str, to: &str) -> Result<Value, ExportError> {
        let Some(Payload::Tensor(stored)) = self.state_dict.entries.get(to).cloned() else {
            return Err(ExportError::Undefined { name: to.to_owned() });
        };
        let known = self.inputs[0].iter().find(|(spec, _)| spec.target() == Some(to)).map(|(spec, _)| spec.name());
        let fact = known.and_then(|name| self.facts.get(name)).cloned();
        let fact = fact.ok_or_else(|| ExportError::Undefined { name: to.to_owned() })?;
        let value = self.declare(&format!("p_{}", fqn.replace('.', "_")), fact)?;
        self.state_dict.entries.insert(fqn.to_owned(), Payload::Tensor(stored));
        let arg = TensorArgument { name: value.0.clone() };
        let spec = InputSpec::Parameter(InputToParameterSpec { arg, parameter_name: fqn.to_owned() });
        self.inputs[0].push((spec, tensor(&value)));
        Ok(value)
    }

    fn stored(
        &mut self,
        prefix: &str,
        fqn: &str,
        dtype: DType,
        shape: &[usize],
        bytes: &[u8],
    ) -> Result<(Value, StoredTensor), ExportError> {
        let wrong = |reason: String| ExportError::Call { op: fqn.to_owned(), reason };
        let count = shape.iter().try_fold(dtype.size(), |n, &size| n.checked_mul(size));
        if count != Some(bytes.len()) {
            return Err(wrong(format!("{} bytes for {dtype}{shape:?}", bytes.len())));
        }
        let data = TensorData::dense(dtype, shape.to_vec(), bytes).map_err(|error| wrong(error.to_string()))?;
        let dims: Vec<Dim> = shape.iter().map(|&size| Dim::int(i64::try_from(size).unwrap_or(i64::MAX))).collect();
        let value = self.declare(&format!("{prefix}_{}", fqn.replace('.', "_")), Fact::new(dtype, dims))?;
        Ok((value, StoredTensor::dense(&data)))
    }

    fn writer(&mut self) -> Writer<'_> {
        let stack = self.module_stack();
        let mut writer = Writer::new(&mut self.graph, self.hints.clone());
        for (tensor, shape) in &self.sizes {
            writer.bind_sizes(tensor, shape);
        }
        writer.remember_sizes();
        writer.set_metadata(stack);
        writer
    }

    fn declare(&mut self, name: &str, fact: Fact) -> Result<Value, ExportError> {
        let mut writer = self.writer();
        let name = writer.unique(&identifier(name));
        writer.declare(&name, &fact)?;
        self.facts.insert(name.clone(), fact);
        Ok(Value(name))
    }

    /// The nodes from here on belong to this module, inside those that are open. `path` is the whole path (`encoder.0`).
    pub fn enter_module(&mut self, path: &str, class: &str) {
        self.modules.push((path.to_owned(), class.to_owned()));
        if !self.calls.iter().any(|call| call.fqn == path) {
            self.calls.push(ModuleCallEntry { fqn: path.to_owned(), signature: None });
        }
    }

    /// The innermost open module ends.
    pub fn leave_module(&mut self) {
        self.modules.pop();
    }

    fn module_stack(&self) -> IndexMap<String, String> {
        let mut stack = "L__self__,,torch.nn.modules.module.Module".to_owned();
        for (path, class) in &self.modules {
            stack.push_str(&format!(";L__self___{},{path},{class}", path.replace('.', "_")));
        }
        IndexMap::from([("nn_module_stack".to_owned(), stack)])
    }

    /// Calls an operator. Arguments are in the order of its schema; those left out at the end take their defaults.
    ///
    /// # Errors
    /// [`ExportError::Call`] for an unknown operator, arguments that do not fit, or shapes that inference refuses.
    pub fn call(&mut self, op: &str, args: &[Arg<Value>]) -> Result<Vec<Value>, ExportError> {
        let args = complete(op, args)?;
        let fact = |value: &Value| {
            self.facts.get(&value.0).cloned().ok_or_else(|| ExportError::Undefined { name: value.0.clone() })
        };
        let facts = args.iter().map(|arg| arg.try_map(fact)).collect::<Result<Vec<_>, _>>()?;
        let inferred = pt2c_ops::infer(op, &facts, &self.scope);
        let inferred = inferred.map_err(|error| ExportError::Call { op: op.to_owned(), reason: error.to_string() })?;
        let args: Vec<Arg<String>> = args.iter().map(|arg| arg.map(|value| value.0.clone())).collect();
        let base = op.split('.').nth(1).unwrap_or(op).to_owned();
        let results = self.writer().call(op, &args, &base, &inferred, &|_| true)?;
        for (name, fact) in results.iter().zip(inferred) {
            self.facts.insert(name.clone(), fact);
        }
        Ok(results.into_iter().map(Value).collect())
    }

    /// The type of a value.
    pub fn fact(&self, value: &Value) -> Option<&Fact> {
        self.facts.get(&value.0)
    }

    /// The buffer's value after a call.
    ///
    /// # Errors
    /// [`ExportError::Undefined`] if there is no such buffer.
    pub fn mutate_buffer(&mut self, fqn: &str, value: &Value) -> Result<(), ExportError> {
        if !self.inputs[1].iter().any(|(spec, _)| spec.target() == Some(fqn)) {
            return Err(ExportError::Undefined { name: fqn.to_owned() });
        }
        let arg = TensorArgument { name: value.0.clone() };
        let spec = OutputSpec::BufferMutation(BufferMutationSpec { arg, buffer_name: fqn.to_owned() });
        self.mutations.push((spec, tensor(value)));
        Ok(())
    }

    /// Ends the program with what it returns.
    ///
    /// # Errors
    /// A size among the outputs that no input determines.
    pub fn finish(mut self, outputs: impl Into<Nested>) -> Result<ExportedProgram, ExportError> {
        let outputs = outputs.into();
        let mut leaves = Vec::new();
        outputs.leaves(&mut leaves);
        let mut returned = std::mem::take(&mut self.mutations);
        for leaf in leaves {
            let argument = match leaf {
                Nested::Leaf(value) => tensor(value),
                Nested::Int(dim) => match dim.as_int() {
                    Some(value) => Argument::AsInt(value),
                    None => Argument::AsSymInt(SymIntArgument::AsName(self.writer().size(dim)?)),
                },
                Nested::Float(value) => Argument::AsFloat(Float(*value)),
                _ => Argument::AsNone(true),
            };
            returned.push((OutputSpec::UserOutput(UserOutputSpec { arg: argument.clone() }), argument));
        }
        let (output_specs, arguments): (Vec<_>, Vec<_>) = returned.into_iter().unzip();
        self.graph.outputs = arguments;
        let (input_specs, arguments): (Vec<_>, Vec<_>) = self.inputs.into_iter().flatten().unzip();
        self.graph.inputs = arguments;

        let args = TreeSpec::tuple(self.arg_names.iter().map(|_| TreeSpec::leaf()).collect());
        let in_spec = TreeSpec::tuple(vec![args, TreeSpec::dict(Vec::new())]);
        let out_spec = outputs.spec();
        let root = ModuleCallEntry {
            fqn: String::new(),
            signature: Some(ModuleCallSignature {
                inputs: Vec::new(),
                outputs: Vec::new(),
                in_spec: in_spec.to_text(),
                out_spec: out_spec.to_text(),
                forward_arg_names: Some(self.arg_names),
            }),
        };
        let graph_module = GraphModule {
            graph: self.graph,
            signature: GraphSignature { input_specs, output_specs },
            module_call_graph: std::iter::once(root).chain(self.calls).collect(),
            ..GraphModule::default()
        };
        Ok(ExportedProgram {
            archive_name: self.name,
            model_name: "model".to_owned(),
            program: schema::ExportedProgram { graph_module, range_constraints: self.ranges, ..empty_program() },
            state_dict: self.state_dict,
            constants: self.constants,
            example_inputs: Bytes::new(Vec::new()),
            extra_files: IndexMap::new(),
            in_spec,
            out_spec,
        })
    }
}

fn tensor(value: &Value) -> Argument {
    Argument::AsTensor(TensorArgument { name: value.0.clone() })
}

/// Arguments with the schema's defaults filled in behind the last given one.
pub(crate) fn complete<V: Clone>(op: &str, args: &[Arg<V>]) -> Result<Vec<Arg<V>>, ExportError> {
    let wrong = |reason: String| ExportError::Call { op: op.to_owned(), reason };
    let schema = schemas::schema(op).ok_or_else(|| wrong("there is no such operator".to_owned()))?;
    if args.len() > schema.params.len() {
        return Err(wrong(format!("{} arguments for {} parameters", args.len(), schema.params.len())));
    }
    let mut complete = args.to_vec();
    for param in schema.params.iter().skip(args.len()) {
        complete.push(match &param.default {
            Some(default) => default.map(|never| match *never {}),
            None if param.ty.optional => Arg::None,
            None => return Err(wrong(format!("the argument {:?} is missing and has no default", param.name))),
        });
    }
    Ok(complete)
}

/// Types of a graph's values, for those who add nodes to it.
pub(crate) fn facts_of(graph: &Graph, args: &[Arg<String>]) -> Result<Vec<Arg<Fact>>, ExportError> {
    args.iter().map(|arg| arg.try_map(|name| fact_of(graph, name))).collect()
}
