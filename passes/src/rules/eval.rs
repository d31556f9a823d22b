//! Matching patterns and computing what stands in their place.

use super::{Expr, Operator, Rule};
use indexmap::IndexMap;
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{Arg, Diagnostic, Fact, Graph, NodeKind, ValueId};
use pt2c_ops::{Schema, lookup};

/// What an expression is.
#[derive(Clone, PartialEq, Debug)]
pub enum Val {
    /// An argument.
    Arg(Arg),
    /// The results of a call.
    Results(Vec<ValueId>),
}

/// Values of a rule's names.
pub type Names = IndexMap<String, Val>;

/// Makes calls: the rest of the decomposition.
pub trait Emit {
    /// The graph as it is by now.
    fn graph(&self) -> &Graph;
    /// What is known of sizes.
    fn scope(&self) -> &Scope;
    /// Adds a call; the results.
    ///
    /// # Errors
    /// What inference says.
    fn emit(&mut self, op: &str, args: Vec<Arg>) -> Result<Vec<ValueId>, String>;
}

/// Functions of rules: name and number of arguments.
const FUNCTIONS: &[(&str, usize)] = &[
    ("dtype", 1),
    ("rank", 1),
    ("size", 2),
    ("shape", 1),
    ("numel", 1),
    ("rows", 1),
    ("with_last", 2),
    ("swapped", 3),
    ("without", 2),
    ("with_one", 2),
    ("wrap", 2),
    ("is_float", 1),
    ("is_none", 1),
    ("is_tensor", 1),
    ("length", 1),
    ("repeated", 2),
    ("flattened", 3),
    ("contiguous", 1),
];

/// Operators whose results PyTorch always lays out row-major, whatever the layout of their operands.
const ROW_MAJOR: &[&str] = &[
    "aten.mm.default",
    "aten.addmm.default",
    "aten.bmm.default",
    "aten.embedding.default",
    "aten.native_layer_norm.default",
];

/// Checks the names of operators, their arguments and the functions of a rule.
///
/// # Errors
/// The first that does not exist.
pub fn check(rule: &Rule) -> Result<(), Diagnostic> {
    let fail = |why: String| Diagnostic::error(format!("{}: {why}", rule.place));
    let root = Expr::Call(rule.op.clone(), rule.pattern.clone());
    let patterns = std::iter::once((&root, true));
    let rest = rule.guards.iter().chain(rule.steps.iter().map(|(_, step)| step)).chain(&rule.results);
    for (expr, pattern) in patterns.chain(rest.map(|expr| (expr, false))) {
        check_expr(expr, pattern).map_err(fail)?;
    }
    Ok(())
}

fn check_expr(expr: &Expr, pattern: bool) -> Result<(), String> {
    match expr {
        Expr::Call(name, args) => {
            if !name.contains('.') {
                match FUNCTIONS.iter().find(|(function, _)| function == name) {
                    Some((_, count)) if *count == args.len() => {}
                    Some((_, count)) => return Err(format!("{name} takes {count} arguments, not {}", args.len())),
                    None => return Err(format!("there is no function {name:?}")),
                }
            } else if let Some(op) = lookup(name) {
                lay_out(&op.schema, args).map_err(|why| format!("{name}: {why}"))?;
            } else if !pattern || name.starts_with("aten.") {
                return Err(format!("there is no operator {name:?}"));
            }
            args.iter().try_for_each(|(_, arg)| check_expr(arg, pattern))
        }
        Expr::List(items) => items.iter().try_for_each(|item| check_expr(item, pattern)),
        Expr::Index(inner, _) | Expr::Not(inner) => check_expr(inner, pattern),
        Expr::Binary(_, a, b) => check_expr(a, pattern).and_then(|()| check_expr(b, pattern)),
        Expr::Any if !pattern => Err("`_` stands in patterns only".into()),
        _ => Ok(()),
    }
}

/// Arguments in schema order; `None` for those left out.
fn lay_out<'e>(schema: &Schema, args: &'e [(Option<String>, Expr)]) -> Result<Vec<Option<&'e Expr>>, String> {
    let mut laid: Vec<Option<&Expr>> = vec![None; schema.params.len()];
    for (index, (name, value)) in args.iter().enumerate() {
        let at = match name {
            Some(name) => schema.position(name).ok_or_else(|| format!("there is no argument {name:?}"))?,
            None => index,
        };
        match laid.get_mut(at) {
            Some(slot @ None) => *slot = Some(value),
            Some(Some(_)) => return Err("an argument is given twice".into()),
            None => return Err(format!("it takes {} arguments", schema.params.len())),
        }
    }
    Ok(laid)
}

/// Matches the arguments of a call against a pattern.
pub fn matches(graph: &Graph, op: &str, pattern: &[(Option<String>, Expr)], args: &[Arg], names: &mut Names) -> bool {
    let Some(known) = lookup(op) else {
        // An operator of another library: arguments as the archive has them.
        return pattern.len() == args.len()
            && pattern.iter().zip(args).all(|((_, pattern), arg)| matches_arg(graph, pattern, arg, names));
    };
    let Ok(laid) = lay_out(&known.schema, pattern) else { return false };
    laid.iter().zip(args).zip(&known.schema.params).all(|((pattern, arg), param)| match pattern {
        Some(pattern) => matches_arg(graph, pattern, arg, names),
        None => match &param.default {
            Some(default) => default.map(|never| match *never {}) == *arg,
            None => arg.is_none(),
        },
    })
}

fn matches_arg(graph: &Graph, pattern: &Expr, arg: &Arg, names: &mut Names) -> bool {
    match (pattern, arg) {
        (Expr::Any, _) => true,
        (Expr::Name(name), _) => {
            let value = Val::Arg(arg.clone());
            match names.get(name) {
                Some(bound) => *bound == value,
                None => {
                    names.insert(name.clone(), value);
                    true
                }
            }
        }
        (Expr::None, Arg::None) => true,
        (Expr::Int(value), _) => arg.as_int() == Some(*value) || arg.as_float() == Some(*value as f64),
        (Expr::Float(value), _) => arg.as_float() == Some(*value),
        (Expr::Bool(value), _) => arg.as_bool() == Some(*value),
        (Expr::Str(value), _) => arg.as_str() == Some(value),
        (Expr::DType(value), _) => arg.as_dtype() == Some(*value),
        (Expr::List(items), Arg::Ints(dims)) => {
            items.len() == dims.len()
                && items.iter().zip(dims).all(|(item, dim)| matches_arg(graph, item, &Arg::Int(dim.clone()), names))
        }
        (Expr::List(items), Arg::Tensors(values)) => {
            items.len() == values.len()
                && items.iter().zip(values).all(|(item, value)| {
                    let arg = value.map_or(Arg::None, Arg::Tensor);
                    matches_arg(graph, item, &arg, names)
                })
        }
        (Expr::Call(op, inner), Arg::Tensor(value)) if value.index == 0 => match &graph.node(value.node).kind {
            NodeKind::Call { op: found, args } => found == op && matches(graph, op, inner, args, names),
            _ => false,
        },
        _ => false,
    }
}

/// Evaluates an expression; calls of operators are added to the graph.
///
/// # Errors
/// What does not fit together.
pub fn eval(expr: &Expr, names: &Names, emit: &mut dyn Emit) -> Result<Val, String> {
    Ok(match expr {
        Expr::Name(name) => names.get(name).cloned().ok_or_else(|| format!("{name} is not defined"))?,
        Expr::Any => return Err("`_` has no value".into()),
        Expr::Int(value) => Val::Arg(Arg::Int(Dim::int(*value))),
        Expr::Float(value) => Val::Arg(Arg::Float(*value)),
        Expr::Bool(value) => Val::Arg(Arg::Bool(*value)),
        Expr::None => Val::Arg(Arg::None),
        Expr::Str(value) => Val::Arg(Arg::Str(value.clone())),
        Expr::DType(value) => Val::Arg(Arg::DType(*value)),
        Expr::List(items) => Val::Arg(list(items, names, emit)?),
        Expr::Index(inner, index) => element(eval(inner, names, emit)?, *index)?,
        Expr::Not(inner) => Val::Arg(Arg::Bool(!truth(eval(inner, names, emit)?)?)),
        Expr::Binary(operator, a, b) => binary(*operator, a, b, names, emit)?,
        Expr::Call(name, args) if name.contains('.') => {
            let op = lookup(name).ok_or_else(|| format!("there is no operator {name:?}"))?;
            let mut complete = Vec::new();
            for (given, param) in lay_out(&op.schema, args)?.into_iter().zip(&op.schema.params) {
                complete.push(match (given, &param.default) {
                    (Some(given), _) => argument(eval(given, names, emit)?)?,
                    (None, Some(default)) => default.map(|never| match *never {}),
                    (None, None) if param.ty.optional => Arg::None,
                    (None, None) => return Err(format!("{name}: the argument {:?} is missing", param.name)),
                });
            }
            Val::Results(emit.emit(name, complete)?)
        }
        Expr::Call(name, args) if name == "contiguous" => {
            let operand = args.first().map(|(_, arg)| eval(arg, names, emit)).ok_or("contiguous needs a tensor")?;
            Val::Arg(contiguous(argument(operand?)?, emit)?)
        }
        Expr::Call(name, args) => {
            let args =
                args.iter().map(|(_, arg)| eval(arg, names, emit).and_then(argument)).collect::<Result<Vec<_>, _>>()?;
            Val::Arg(function(name, &args, emit.graph())?)
        }
    })
}

/// A tensor that PyTorch can view in another shape: a copy where its layout is not known. The IR has no strides, but
/// the program may be run by PyTorch, whose `view` needs them.
fn contiguous(operand: Arg, emit: &mut dyn Emit) -> Result<Arg, String> {
    const FORMAT: &str = "contiguous_format";
    let value = *operand.as_tensor().ok_or("contiguous needs a tensor")?;
    let row_major = match &emit.graph().node(value.node).kind {
        NodeKind::Call { op, args } if op == "aten.clone.default" => {
            args.iter().any(|arg| matches!(arg, Arg::Opaque(text) if text == FORMAT))
        }
        NodeKind::Call { op, .. } => ROW_MAJOR.contains(&op.as_str()),
        _ => false,
    };
    if row_major {
        return Ok(operand);
    }
    let copy = emit.emit("aten.clone.default", vec![operand, Arg::Opaque(FORMAT.into())])?;
    argument(Val::Results(copy))
}

fn list(items: &[Expr], names: &Names, emit: &mut dyn Emit) -> Result<Arg, String> {
    let items = items.iter().map(|item| eval(item, names, emit).and_then(argument)).collect::<Result<Vec<Arg>, _>>()?;
    if items.iter().any(|item| item.as_tensor().is_some()) {
        let tensors = items.iter().map(|item| match item {
            Arg::Tensor(value) => Ok(Some(*value)),
            Arg::None => Ok(None),
            _ => Err("a list of tensors and numbers".to_string()),
        });
        return Ok(Arg::Tensors(tensors.collect::<Result<_, _>>()?));
    }
    let dims = items.iter().map(|item| item.as_dim().cloned()).collect::<Option<Vec<Dim>>>();
    if let Some(dims) = dims {
        return Ok(Arg::Ints(dims));
    }
    let floats = items.iter().map(Arg::as_float).collect::<Option<Vec<f64>>>();
    floats.map(Arg::Floats).ok_or_else(|| "a list of different things".into())
}

fn element(value: Val, index: i64) -> Result<Val, String> {
    let at = |length: usize| {
        let index = if index < 0 { index + length as i64 } else { index };
        usize::try_from(index)
            .ok()
            .filter(|&i| i < length)
            .ok_or_else(|| format!("there is no element {index} of {length}"))
    };
    Ok(match value {
        Val::Results(results) => Val::Arg(Arg::Tensor(results[at(results.len())?])),
        Val::Arg(Arg::Ints(dims)) => Val::Arg(Arg::Int(dims[at(dims.len())?].clone())),
        Val::Arg(Arg::Tensors(values)) => Val::Arg(values[at(values.len())?].map_or(Arg::None, Arg::Tensor)),
        Val::Arg(_) => return Err("this has no elements".into()),
    })
}

/// A value as an argument: the only result of a call stands for itself.
pub fn argument(value: Val) -> Result<Arg, String> {
    match value {
        Val::Arg(arg) => Ok(arg),
        Val::Results(results) => match results.as_slice() {
            [only] => Ok(Arg::Tensor(*only)),
            several => Err(format!("a call with {} results needs an index", several.len())),
        },
    }
}

/// The truth of a guard.
///
/// # Errors
/// A value that is no condition.
pub fn truth(value: Val) -> Result<bool, String> {
    match value {
        Val::Arg(Arg::Bool(value)) => Ok(value),
        _ => Err("a guard must be true or false".into()),
    }
}

fn binary(operator: Operator, a: &Expr, b: &Expr, names: &Names, emit: &mut dyn Emit) -> Result<Val, String> {
    let left = argument(eval(a, names, emit)?)?;
    match (operator, &left) {
        (Operator::And, Arg::Bool(false)) => return Ok(Val::Arg(Arg::Bool(false))),
        (Operator::Or, Arg::Bool(true)) => return Ok(Val::Arg(Arg::Bool(true))),
        _ => {}
    }
    if let (Operator::In, Expr::List(items)) = (operator, b) {
        for item in items {
            if argument(eval(item, names, emit)?)? == left {
                return Ok(Val::Arg(Arg::Bool(true)));
            }
        }
        return Ok(Val::Arg(Arg::Bool(false)));
    }
    let right = argument(eval(b, names, emit)?)?;
    let scope = emit.scope();
    if let (Some(x), Some(y)) = (left.as_dim(), right.as_dim()) {
        return Ok(Val::Arg(match operator {
            Operator::Add => Arg::Int(x + y),
            Operator::Sub => Arg::Int(x - y),
            Operator::Mul => Arg::Int(x * y),
            Operator::Div => Arg::Int(x.floor_div(y)),
            // What is not proven does not hold: a rule must be right for every size.
            Operator::Eq => Arg::Bool(scope.prove_eq(x, y).is_yes()),
            Operator::Ne => Arg::Bool(scope.prove_eq(x, y).is_no()),
            Operator::Lt => Arg::Bool(scope.prove_lt(x, y).is_yes()),
            Operator::Le => Arg::Bool(scope.prove_le(x, y).is_yes()),
            _ => return Err("numbers are no conditions".into()),
        }));
    }
    let float = |f: fn(f64, f64) -> f64| match (left.as_float(), right.as_float()) {
        (Some(x), Some(y)) => Ok(Arg::Float(f(x, y))),
        _ => Err("arithmetic needs numbers".to_string()),
    };
    Ok(Val::Arg(match operator {
        Operator::And => Arg::Bool(left == Arg::Bool(true) && right == Arg::Bool(true)),
        Operator::Or => Arg::Bool(left == Arg::Bool(true) || right == Arg::Bool(true)),
        Operator::Eq => Arg::Bool(left == right),
        Operator::Ne => Arg::Bool(left != right),
        Operator::Add => float(|x, y| x + y)?,
        Operator::Sub => float(|x, y| x - y)?,
        Operator::Mul => float(|x, y| x * y)?,
        Operator::Div => float(|x, y| (x / y).floor())?,
        Operator::Lt => Arg::Bool(left.as_float().zip(right.as_float()).is_some_and(|(x, y)| x < y)),
        Operator::Le => Arg::Bool(left.as_float().zip(right.as_float()).is_some_and(|(x, y)| x <= y)),
        Operator::In => return Err("`in` needs a list".into()),
    }))
}

fn function(name: &str, args: &[Arg], graph: &Graph) -> Result<Arg, String> {
    let fact = |at: usize| -> Result<&Fact, String> {
        let value = args.get(at).and_then(Arg::as_tensor);
        value.and_then(|value| graph.fact(*value)).ok_or_else(|| format!("{name} needs a tensor"))
    };
    let wrap = |dim: i64, rank: usize| -> Result<usize, String> {
        pt2c_ops::wrap_dim(dim, rank).map_err(|error| error.to_string())
    };
    let int = |at: usize| args.get(at).and_then(Arg::as_int).ok_or_else(|| format!("{name} needs a known number"));
    let dim_at = |at: usize| wrap(int(at)?, fact(0)?.rank());
    Ok(match name {
        "dtype" => Arg::DType(fact(0)?.dtype),
        "rank" => Arg::Int(Dim::int(fact(0)?.rank() as i64)),
        "size" => {
            let at = dim_at(1)?;
            Arg::Int(fact(0)?.shape.get(at).cloned().ok_or("no such dimension")?)
        }
        "shape" => Arg::Ints(fact(0)?.shape.clone()),
        "numel" => Arg::Int(fact(0)?.numel()),
        "rows" => {
            let shape = &fact(0)?.shape;
            Arg::Int(shape.iter().take(shape.len().saturating_sub(1)).fold(Dim::int(1), |n, d| &n * d))
        }
        "with_last" => {
            let mut shape = fact(0)?.shape.clone();
            let last = args.get(1).and_then(Arg::as_dim).cloned().ok_or("with_last needs a size")?;
            *shape.last_mut().ok_or("a tensor without dimensions")? = last;
            Arg::Ints(shape)
        }
        "swapped" => {
            let (a, b) = (dim_at(1)?, dim_at(2)?);
            let mut order: Vec<usize> = (0..fact(0)?.rank()).collect();
            if !order.is_empty() {
                order.swap(a, b);
            }
            Arg::Ints(order.into_iter().map(|d| Dim::int(d as i64)).collect())
        }
        "without" => {
            let at = dim_at(1)?;
            let kept = fact(0)?.shape.iter().enumerate().filter(|(d, _)| *d != at);
            Arg::Ints(kept.map(|(_, size)| size.clone()).collect())
        }
        "with_one" => {
            // One more dimension than the tensor has.
            let at = wrap(int(1)?, fact(0)?.rank() + 1)?;
            let mut shape = fact(0)?.shape.clone();
            shape.insert(at, Dim::int(1));
            Arg::Ints(shape)
        }
        "flattened" => {
            let (from, to) = (dim_at(1)?, dim_at(2)?);
            let shape = &fact(0)?.shape;
            let before = shape.iter().take(from).cloned();
            let one = shape.iter().skip(from).take((to + 1).saturating_sub(from)).fold(Dim::int(1), |n, d| &n * d);
            let after = shape.iter().skip(to + 1).cloned();
            Arg::Ints(before.chain([one]).chain(after).collect())
        }
        "wrap" => {
            let rank = usize::try_from(int(1)?).map_err(|_| "a negative rank")?;
            Arg::Int(Dim::int(wrap(int(0)?, rank)? as i64))
        }
        "is_float" => Arg::Bool(fact(0)?.dtype.is_float()),
        "is_none" => Arg::Bool(args.first().is_some_and(Arg::is_none)),
        "is_tensor" => Arg::Bool(args.first().is_some_and(|arg| arg.as_tensor().is_some())),
        "length" => match args.first() {
            Some(Arg::Ints(dims)) => Arg::Int(Dim::int(dims.len() as i64)),
            Some(Arg::Tensors(values)) => Arg::Int(Dim::int(values.len() as i64)),
            _ => return Err("length needs a list".into()),
        },
        // A list of one element stands for as many as wanted, as in PyTorch's convolutions.
        "repeated" => match args.first() {
            Some(Arg::Ints(dims)) if dims.len() == 1 => {
                let count = usize::try_from(int(1)?).map_err(|_| "a negative count")?.min(64);
                Arg::Ints(vec![dims[0].clone(); count])
            }
            Some(Arg::Ints(dims)) => Arg::Ints(dims.clone()),
            _ => return Err("repeated needs a list of numbers".into()),
        },
        other => return Err(format!("there is no function {other:?}")),
    })
}

/// Whether a type is what it replaces; the message if not.
pub fn same_type(scope: &Scope, wanted: &Fact, found: &Fact) -> Result<(), String> {
    let sizes = wanted.shape.len() == found.shape.len()
        && wanted.shape.iter().zip(&found.shape).all(|(a, b)| scope.prove_eq(a, b).is_yes());
    if sizes && wanted.dtype == found.dtype {
        return Ok(());
    }
    Err(format!("it gives {found}, the operator gives {wanted}"))
}
