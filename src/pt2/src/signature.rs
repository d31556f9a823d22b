//! What the flat inputs and outputs of the graph are, in PyTorch's terms (`torch.export.graph_signature`).

use crate::schema::{Argument, CustomObjArgument, Graph, GraphSignature, InputSpec, OutputSpec, SchemaError};

impl InputSpec {
    /// The value's name in the graph; the argument's name for a constant.
    pub fn name(&self) -> &str {
        match self {
            InputSpec::UserInput(spec) => argument_name(&spec.arg).unwrap_or(""),
            InputSpec::Parameter(spec) => &spec.arg.name,
            InputSpec::Buffer(spec) => &spec.arg.name,
            InputSpec::TensorConstant(spec) => &spec.arg.name,
            InputSpec::CustomObj(spec) => &spec.arg.name,
            InputSpec::Token(spec) => &spec.arg.name,
            InputSpec::ConstantInput(spec) => &spec.name,
        }
    }

    /// The fully qualified name of the parameter, buffer, constant or object that feeds the input.
    pub fn target(&self) -> Option<&str> {
        match self {
            InputSpec::Parameter(spec) => Some(&spec.parameter_name),
            InputSpec::Buffer(spec) => Some(&spec.buffer_name),
            InputSpec::TensorConstant(spec) => Some(&spec.tensor_constant_name),
            InputSpec::CustomObj(spec) => Some(&spec.custom_obj_name),
            InputSpec::UserInput(_) | InputSpec::Token(_) | InputSpec::ConstantInput(_) => None,
        }
    }

    /// Whether the caller passes it: user inputs, and constants, which must equal the baked-in value. These are
    /// the leaves of the input pytree.
    pub fn is_leaf(&self) -> bool {
        matches!(self, InputSpec::UserInput(_) | InputSpec::ConstantInput(_))
    }
}

impl OutputSpec {
    /// The value's name in the graph, if it is a value and not a constant.
    pub fn name(&self) -> Option<&str> {
        match self {
            OutputSpec::UserOutput(spec) => argument_name(&spec.arg),
            OutputSpec::LossOutput(spec) => Some(&spec.arg.name),
            OutputSpec::BufferMutation(spec) => Some(&spec.arg.name),
            OutputSpec::GradientToParameter(spec) => Some(&spec.arg.name),
            OutputSpec::GradientToUserInput(spec) => Some(&spec.arg.name),
            OutputSpec::UserInputMutation(spec) => Some(&spec.arg.name),
            OutputSpec::Token(spec) => Some(&spec.arg.name),
            OutputSpec::ParameterMutation(spec) => Some(&spec.arg.name),
        }
    }

    /// The buffer, parameter or user input that is written or differentiated by.
    pub fn target(&self) -> Option<&str> {
        match self {
            OutputSpec::BufferMutation(spec) => Some(&spec.buffer_name),
            OutputSpec::ParameterMutation(spec) => Some(&spec.parameter_name),
            OutputSpec::UserInputMutation(spec) => Some(&spec.user_input_name),
            OutputSpec::GradientToParameter(spec) => Some(&spec.parameter_name),
            OutputSpec::GradientToUserInput(spec) => Some(&spec.user_input_name),
            OutputSpec::UserOutput(_) | OutputSpec::LossOutput(_) | OutputSpec::Token(_) => None,
        }
    }

    /// Whether it is a leaf of the output pytree.
    pub fn is_leaf(&self) -> bool {
        matches!(self, OutputSpec::UserOutput(_) | OutputSpec::LossOutput(_))
    }
}

impl GraphSignature {
    /// Value names and qualified names of the parameters.
    pub fn inputs_to_parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.input_specs.iter().filter_map(|spec| match spec {
            InputSpec::Parameter(p) => Some((p.arg.name.as_str(), p.parameter_name.as_str())),
            _ => None,
        })
    }

    /// Value names and qualified names of the buffers, persistent or not.
    pub fn inputs_to_buffers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.input_specs.iter().filter_map(|spec| match spec {
            InputSpec::Buffer(b) => Some((b.arg.name.as_str(), b.buffer_name.as_str())),
            _ => None,
        })
    }

    /// Value names and qualified names of the buffers that the program reports as mutated.
    pub fn buffers_to_mutate(&self) -> impl Iterator<Item = (&str, &str)> {
        self.output_specs.iter().filter_map(|spec| match spec {
            OutputSpec::BufferMutation(b) => Some((b.arg.name.as_str(), b.buffer_name.as_str())),
            _ => None,
        })
    }

    /// Value names and input names of the user inputs that the program reports as mutated.
    pub fn user_inputs_to_mutate(&self) -> impl Iterator<Item = (&str, &str)> {
        self.output_specs.iter().filter_map(|spec| match spec {
            OutputSpec::UserInputMutation(i) => Some((i.arg.name.as_str(), i.user_input_name.as_str())),
            _ => None,
        })
    }

    /// Checks that the specs and the graph's inputs and outputs agree in number and names.
    ///
    /// # Errors
    /// [`SchemaError::Value`] at the first that does not.
    pub fn check(&self, document: &str, graph: &Graph) -> Result<(), SchemaError> {
        let count = |what: &str, specs: usize, values: usize| {
            if specs == values {
                return Ok(());
            }
            Err(SchemaError::value(
                document,
                format!("graph_module.signature.{what}_specs"),
                format!("{specs} specs for {values} graph {what}s"),
            ))
        };
        count("input", self.input_specs.len(), graph.inputs.len())?;
        count("output", self.output_specs.len(), graph.outputs.len())?;
        for (index, (spec, input)) in self.input_specs.iter().zip(&graph.inputs).enumerate() {
            if let InputSpec::ConstantInput(_) = spec {
                continue;
            }
            if argument_name(input) != Some(spec.name()) {
                return Err(SchemaError::value(
                    document,
                    format!("graph_module.signature.input_specs[{index}]"),
                    format!("names {:?}, the graph's input is {input:?}", spec.name()),
                ));
            }
        }
        for (index, (spec, output)) in self.output_specs.iter().zip(&graph.outputs).enumerate() {
            if spec.name() != argument_name(output) {
                return Err(SchemaError::value(
                    document,
                    format!("graph_module.signature.output_specs[{index}]"),
                    format!("names {:?}, the graph's output is {output:?}", spec.name()),
                ));
            }
        }
        Ok(())
    }
}

/// The name of the value that an argument is, if it is one value.
pub fn argument_name(argument: &Argument) -> Option<&str> {
    use crate::schema::{SymBoolArgument, SymFloatArgument, SymIntArgument};
    match argument {
        Argument::AsTensor(tensor) => Some(&tensor.name),
        Argument::AsSymInt(SymIntArgument::AsName(name))
        | Argument::AsSymFloat(SymFloatArgument::AsName(name))
        | Argument::AsSymBool(SymBoolArgument::AsName(name)) => Some(name),
        Argument::AsCustomObj(CustomObjArgument { name, .. }) => Some(name),
        _ => None,
    }
}
