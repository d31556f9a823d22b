//! Arguments of a node, laid out as the operator's schema has them, omitted ones filled with their defaults.
//!
//! The archive writes what Python was given: a `Scalar` can come as an int, a `Tensor` as a number (PyTorch wraps
//! it as a weakly typed scalar), an `int[2]` as one int. Arguments keep the Python value's type except where the
//! schema leaves no choice (a float parameter given an int, a list given one element).

use pt2c_ir::dim::{Dim, Pred};
use pt2c_ir::{Arg, DType};
use pt2c_ops::{ParamType, Schema};

use super::error::ImportErrorKind;
use super::symbols::Expressions;
use crate::schema::{
    Argument, Device, Graph, Layout, MemoryFormat, NamedArgument, OptionalTensorArgument, SymBoolArgument, SymFloat,
    SymFloatArgument, SymIntArgument,
};

/// An argument whose tensors are still names of the archive's graph.
pub type NamedArg = Arg<String>;

/// A nested graph's import, as the caller of this module does it.
pub type ImportGraph<'a> = dyn FnMut(&Graph) -> Result<NamedArg, ImportErrorKind> + 'a;

/// Lays out the arguments of a call. Without a schema (higher-order operators, other libraries' operators) they
/// stay as they are written.
///
/// # Errors
/// An argument that the schema does not have, a missing one without default, a value without a form in the IR.
pub fn lay_out(
    inputs: &[NamedArgument],
    schema: Option<&Schema>,
    graph: &Graph,
    expressions: &mut Expressions,
    subgraph: &mut ImportGraph<'_>,
) -> Result<Vec<NamedArg>, ImportErrorKind> {
    let Some(schema) = schema else {
        return inputs.iter().map(|input| convert(&input.name, &input.arg, graph, expressions, subgraph)).collect();
    };
    let mut args: Vec<Option<NamedArg>> = vec![None; schema.params.len()];
    for input in inputs {
        let position = schema.position(&input.name);
        let (Some(slot), Some(param)) =
            (position.and_then(|i| args.get_mut(i)), position.and_then(|i| schema.params.get(i)))
        else {
            return Err(ImportErrorKind::argument(&input.name, "the operator has no such argument"));
        };
        if slot.is_some() {
            return Err(ImportErrorKind::argument(&input.name, "given twice"));
        }
        let arg = convert(&input.name, &input.arg, graph, expressions, subgraph)?;
        *slot = Some(fit(arg, param.ty));
    }
    args.into_iter()
        .zip(&schema.params)
        .map(|(arg, param)| match (arg, &param.default) {
            (Some(arg), _) => Ok(arg),
            (None, Some(default)) => Ok(default.map(|never| match *never {})),
            (None, None) if param.ty.optional => Ok(Arg::None),
            (None, None) => {
                Err(ImportErrorKind::argument(&param.name, "missing, and the operator has no default for it"))
            }
        })
        .collect()
}

/// Makes a value what its parameter can only mean.
fn fit(arg: NamedArg, ty: ParamType) -> NamedArg {
    use pt2c_ops::BaseType;
    match (arg, ty.base) {
        (Arg::Int(i), BaseType::Int) if ty.list => Arg::Ints(vec![i]),
        (Arg::Float(x), BaseType::Float) if ty.list => Arg::Floats(vec![x]),
        (Arg::Bool(b), BaseType::Bool) if ty.list => Arg::Bools(vec![b]),
        (Arg::Ints(ints), base) if ty.list && ints.is_empty() => empty_list(base),
        (Arg::Tensors(tensors), base) if ty.list && tensors.is_empty() => empty_list(base),
        (Arg::Int(i), BaseType::Float) => match i.as_int() {
            Some(known) => Arg::Float(known as f64),
            None => Arg::Int(i),
        },
        (Arg::Ints(ints), BaseType::Float) => match ints.iter().map(Dim::as_int).collect::<Option<Vec<_>>>() {
            Some(known) => Arg::Floats(known.into_iter().map(|i| i as f64).collect()),
            None => Arg::Ints(ints),
        },
        (arg, _) => arg,
    }
}

/// An empty list in the archive has the type of whichever list came to the exporter's mind.
fn empty_list(base: pt2c_ops::BaseType) -> NamedArg {
    use pt2c_ops::BaseType;
    match base {
        BaseType::Tensor => Arg::Tensors(Vec::new()),
        BaseType::Float => Arg::Floats(Vec::new()),
        BaseType::Bool => Arg::Bools(Vec::new()),
        _ => Arg::Ints(Vec::new()),
    }
}

/// One argument.
pub fn convert(
    name: &str,
    argument: &Argument,
    graph: &Graph,
    expressions: &mut Expressions,
    subgraph: &mut ImportGraph<'_>,
) -> Result<NamedArg, ImportErrorKind> {
    let unsupported = || {
        ImportErrorKind::unsupported(
            format!("an argument of kind {} ({name:?})", argument.tag()),
            "rewrite the module so that the operator is called with tensors and plain numbers",
        )
    };
    Ok(match argument {
        Argument::AsNone(_) => Arg::None,
        Argument::AsTensor(tensor) => Arg::Tensor(tensor.name.clone()),
        Argument::AsTensors(tensors) => Arg::Tensors(tensors.iter().map(|t| Some(t.name.clone())).collect()),
        Argument::AsOptionalTensor(tensor) => match optional(tensor) {
            Some(name) => Arg::Tensor(name),
            None => Arg::None,
        },
        Argument::AsOptionalTensors(tensors) => Arg::Tensors(tensors.iter().map(optional).collect()),
        Argument::AsInt(value) => Arg::Int(Dim::int(*value)),
        Argument::AsInts(values) => Arg::Ints(values.iter().map(|&v| Dim::int(v)).collect()),
        Argument::AsFloat(value) => Arg::Float(value.0),
        Argument::AsFloats(values) => Arg::Floats(values.iter().map(|v| v.0).collect()),
        Argument::AsBool(value) => Arg::Bool(*value),
        Argument::AsBools(values) => Arg::Bools(values.clone()),
        Argument::AsString(value) => Arg::Str(value.clone()),
        Argument::AsComplex(value) => Arg::Complex(value.real.0, value.imag.0),
        Argument::AsSymInt(value) => Arg::Int(sym_int(value, graph, expressions)?),
        Argument::AsSymInts(values) => {
            Arg::Ints(values.iter().map(|v| sym_int(v, graph, expressions)).collect::<Result<_, _>>()?)
        }
        Argument::AsSymBool(value) => match sym_bool(value, graph, expressions)? {
            Pred::True => Arg::Bool(true),
            Pred::False => Arg::Bool(false),
            _ => return Err(unsupported()),
        },
        Argument::AsSymFloat(value) => Arg::Float(sym_float(value, graph).ok_or_else(unsupported)?),
        Argument::AsSymFloats(values) => {
            Arg::Floats(values.iter().map(|v| sym_float(v, graph)).collect::<Option<_>>().ok_or_else(unsupported)?)
        }
        Argument::AsScalarType(ty) => {
            Arg::DType(DType::try_from(*ty).map_err(|source| ImportErrorKind::DType { name: name.to_owned(), source })?)
        }
        Argument::AsMemoryFormat(format) => Arg::Opaque(memory_format(*format).to_owned()),
        Argument::AsLayout(layout) => Arg::Opaque(layout_name(*layout).to_owned()),
        Argument::AsDevice(device) => Arg::Opaque(device_name(device)),
        Argument::AsOperator(name) => Arg::Opaque(name.clone()),
        Argument::AsGraph(inner) => subgraph(&inner.graph)?,
        Argument::AsStrings(_)
        | Argument::AsSymBools(_)
        | Argument::AsCustomObj(_)
        | Argument::AsNestedTensors(_)
        | Argument::AsIntLists(_)
        | Argument::AsStringToArgument(_)
        | Argument::AsFloatLists(_) => return Err(unsupported()),
    })
}

fn optional(tensor: &OptionalTensorArgument) -> Option<String> {
    match tensor {
        OptionalTensorArgument::AsTensor(tensor) => Some(tensor.name.clone()),
        OptionalTensorArgument::AsNone(_) => None,
    }
}

/// The expression of a symbolic int.
pub fn sym_int(value: &SymIntArgument, graph: &Graph, expressions: &mut Expressions) -> Result<Dim, ImportErrorKind> {
    match value {
        SymIntArgument::AsInt(value) => Ok(Dim::int(*value)),
        SymIntArgument::AsName(name) if expressions.named(name).is_some() => {
            Ok(expressions.named(name).cloned().unwrap_or(Dim::ZERO))
        }
        SymIntArgument::AsName(name) => match graph.sym_int_values.get(name) {
            Some(value) => expressions.sym_int(value),
            None => Err(ImportErrorKind::Untyped { name: name.clone() }),
        },
    }
}

/// The condition of a symbolic bool.
pub fn sym_bool(
    value: &SymBoolArgument,
    graph: &Graph,
    expressions: &mut Expressions,
) -> Result<Pred, ImportErrorKind> {
    match value {
        SymBoolArgument::AsBool(true) => Ok(Pred::True),
        SymBoolArgument::AsBool(false) => Ok(Pred::False),
        SymBoolArgument::AsName(name) => match graph.sym_bool_values.get(name) {
            Some(value) => expressions.sym_bool(value),
            None => Err(ImportErrorKind::Untyped { name: name.clone() }),
        },
    }
}

/// A symbolic float's value if it is known; the IR has no symbolic floats.
fn sym_float(value: &SymFloatArgument, graph: &Graph) -> Option<f64> {
    match value {
        SymFloatArgument::AsFloat(value) => Some(value.0),
        SymFloatArgument::AsName(name) => match graph.sym_float_values.get(name)? {
            SymFloat::AsFloat(value) => Some(value.0),
            SymFloat::AsExpr(expr) => expr.expr_str.parse().ok(),
        },
    }
}

fn memory_format(format: MemoryFormat) -> &'static str {
    match format {
        MemoryFormat::Unknown => "unknown",
        MemoryFormat::Contiguous => "contiguous_format",
        MemoryFormat::ChannelsLast => "channels_last",
        MemoryFormat::ChannelsLast3d => "channels_last_3d",
        MemoryFormat::Preserve => "preserve_format",
    }
}

fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::Unknown => "unknown",
        Layout::SparseCoo => "sparse_coo",
        Layout::SparseCsr => "sparse_csr",
        Layout::SparseCsc => "sparse_csc",
        Layout::SparseBsr => "sparse_bsr",
        Layout::SparseBsc => "sparse_bsc",
        Layout::Mkldnn => "mkldnn",
        Layout::Strided => "strided",
    }
}

fn device_name(device: &Device) -> String {
    match device.index {
        Some(index) => format!("{}:{index}", device.kind),
        None => device.kind.clone(),
    }
}
