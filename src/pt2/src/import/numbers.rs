//! Numbers that programs compute: `.item()` and Python arithmetic on its results.
//!
//! Integers are expressions over symbols. A symbol that data decide is bound by a `prim.bind` where `.item()` stands.
//! Floats, and booleans about them, are 0-d tensors: arithmetic on them becomes operators on tensors, and an operator
//! that takes such a number becomes its form that takes a tensor.

use pt2c_ir::dim::{Dim, Pred, Symbol};
use pt2c_ir::{Arg, DType, Fact, LocationId, ValueId};
use pt2c_ops::{BaseType, lookup};

use super::arguments::{self, NamedArg};
use super::error::ImportErrorKind;
use super::facts::Typed;
use super::functionalize::{Names, Owner};
use super::graph::{Builder, insert};
use super::schemas;
use crate::schema::{self, Argument, NamedArgument, Node, SymBoolArgument, SymFloatArgument, SymIntArgument};

/// The operator on tensors for a Python function on numbers, by the function's name.
const FUNCTIONS: &[(&str, &str)] = &[
    ("abs", "aten.abs.default"),
    ("acos", "aten.acos.default"),
    ("acosh", "aten.acosh.default"),
    ("add", "aten.add.Tensor"),
    ("and_", "aten.logical_and.default"),
    ("asin", "aten.asin.default"),
    ("asinh", "aten.asinh.default"),
    ("atan", "aten.atan.default"),
    ("atan2", "aten.atan2.default"),
    ("atanh", "aten.atanh.default"),
    ("ceil", "aten.ceil.default"),
    ("cos", "aten.cos.default"),
    ("cosh", "aten.cosh.default"),
    ("eq", "aten.eq.Tensor"),
    ("exp", "aten.exp.default"),
    ("floor", "aten.floor.default"),
    ("floordiv", "aten.floor_divide.default"),
    ("ge", "aten.ge.Tensor"),
    ("gt", "aten.gt.Tensor"),
    ("le", "aten.le.Tensor"),
    ("log", "aten.log.default"),
    ("log10", "aten.log10.default"),
    ("log1p", "aten.log1p.default"),
    ("log2", "aten.log2.default"),
    ("lt", "aten.lt.Tensor"),
    ("mod", "aten.remainder.Tensor"),
    ("mul", "aten.mul.Tensor"),
    ("ne", "aten.ne.Tensor"),
    ("neg", "aten.neg.default"),
    ("not_", "aten.logical_not.default"),
    ("or_", "aten.logical_or.default"),
    ("pos", "aten.clone.default"),
    ("pow", "aten.pow.Tensor_Tensor"),
    ("round", "aten.round.default"),
    ("sin", "aten.sin.default"),
    ("sinh", "aten.sinh.default"),
    ("sqrt", "aten.sqrt.default"),
    ("sub", "aten.sub.Tensor"),
    ("sym_float", "aten.clone.default"),
    ("sym_int", "aten.trunc.default"),
    ("sym_ite", "aten.where.self"),
    ("sym_max", "aten.maximum.default"),
    ("sym_min", "aten.minimum.default"),
    ("sym_not", "aten.logical_not.default"),
    ("tan", "aten.tan.default"),
    ("tanh", "aten.tanh.default"),
    ("truediv", "aten.div.Tensor"),
    ("trunc", "aten.trunc.default"),
];

/// An operator that takes a number, its form that takes a tensor there, and the place of the argument.
const TAKING_TENSORS: &[(&str, &str)] = &[
    ("aten.clamp.default", "aten.clamp.Tensor"),
    ("aten.clamp_max.default", "aten.clamp_max.Tensor"),
    ("aten.clamp_min.default", "aten.clamp_min.Tensor"),
    ("aten.pow.Tensor_Scalar", "aten.pow.Tensor_Tensor"),
    ("aten.pow.Scalar", "aten.pow.Tensor_Tensor"),
    ("aten.where.ScalarOther", "aten.where.self"),
    ("aten.where.ScalarSelf", "aten.where.self"),
    ("aten.where.Scalar", "aten.where.self"),
    ("aten.masked_fill.Scalar", "aten.masked_fill.Tensor"),
    ("aten.fill.Scalar", "aten.fill.Tensor"),
];

/// The name of a number that is a value of the graph.
pub(super) fn name_of(argument: &Argument) -> Option<&str> {
    match argument {
        Argument::AsSymFloat(SymFloatArgument::AsName(name))
        | Argument::AsSymBool(SymBoolArgument::AsName(name))
        | Argument::AsSymInt(SymIntArgument::AsName(name)) => Some(name),
        _ => None,
    }
}

impl Builder<'_> {
    /// Imports a node whose results are numbers. Returns whether it was one.
    pub(super) fn number(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        node: &Node,
        op: &str,
        location: LocationId,
    ) -> Result<bool, ImportErrorKind> {
        let numeric = |output: &Argument| {
            matches!(
                output,
                Argument::AsSymInt(_)
                    | Argument::AsSymBool(_)
                    | Argument::AsSymFloat(_)
                    | Argument::AsInt(_)
                    | Argument::AsFloat(_)
                    | Argument::AsBool(_)
            )
        };
        if node.outputs.is_empty() || !node.outputs.iter().all(numeric) {
            return Ok(false);
        }
        let [output] = node.outputs.as_slice() else {
            return Err(ImportErrorKind::unsupported(format!("{op} with several numbers"), "compute them one by one"));
        };
        if matches!(op, "aten.item.default" | "aten._local_scalar_dense.default") {
            self.item(source, names, node, output, location)?;
            return Ok(true);
        }
        if !op.starts_with("py.") && !op.starts_with("aten.sym_") {
            return Err(ImportErrorKind::unsupported(
                format!("{op}, which makes a number of a tensor's contents,"),
                "keep the value in a tensor",
            ));
        }
        let of_floats = node.inputs.iter().filter_map(|i| name_of(&i.arg)).any(|name| names.contains_key(name));
        let makes_float = matches!(output, Argument::AsSymFloat(SymFloatArgument::AsName(_)));
        if of_floats || makes_float {
            self.arithmetic(source, names, node, op, output, location)?;
        }
        Ok(true)
    }

    /// Python arithmetic on floats.
    fn arithmetic(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        node: &Node,
        op: &str,
        output: &Argument,
        location: LocationId,
    ) -> Result<(), ImportErrorKind> {
        let function = op.rsplit('.').next().unwrap_or(op).trim_start_matches("_sym_");
        let known = FUNCTIONS.iter().find(|(name, _)| *name == function);
        let (_, tensor_op) = known.ok_or_else(|| {
            ImportErrorKind::unsupported(format!("{op} of a number that data decide"), "compute it on tensors")
        })?;
        let mut operands = Vec::new();
        for input in &node.inputs {
            operands.push(self.number_value(source, names, &input.arg, DType::F64, location)?);
        }
        let comparison = matches!(function, "eq" | "ne" | "lt" | "le" | "gt" | "ge");
        let logical = matches!(function, "and_" | "or_" | "sym_not" | "not_");
        let dtype = if comparison || logical { DType::Bool } else { DType::F64 };
        let result = self.simple(tensor_op, operands, dtype, location)?;
        match output {
            Argument::AsSymInt(SymIntArgument::AsName(name)) => {
                // An integer made of a float: a symbol of its own.
                let value = self.convert_scalar(result, DType::F64, DType::I64, location)?;
                let symbol = self.fresh_symbol();
                self.shared.expressions.name_int(name, source, Dim::sym(symbol.clone()));
                self.bind(value, &symbol, location)
            }
            other => match name_of(other) {
                Some(name) => self.name_scalar(names, name, result, dtype),
                None => Ok(()),
            },
        }
    }

    /// Gives a symbol the value of an expression.
    pub(super) fn bind_to(&mut self, size: &Dim, symbol: &Symbol, location: LocationId) -> Result<(), ImportErrorKind> {
        let value = self.int_value(size, DType::I64, location)?;
        self.bind(value, symbol, location)
    }

    /// Gives a symbol the value of a 0-d i64.
    pub(super) fn bind(
        &mut self,
        value: ValueId,
        symbol: &Symbol,
        location: LocationId,
    ) -> Result<(), ImportErrorKind> {
        self.shared.bound.insert(symbol.clone());
        let args = vec![Arg::Tensor(value), Arg::Int(Dim::sym(symbol.clone()))];
        let added = self.graph.add_call("prim.bind", args, "bind", Vec::new(), location);
        added.map(|_| ()).map_err(|error| ImportErrorKind::Undefined { name: error.to_string() })
    }

    /// A data-dependent symbol that the archive does not have.
    pub(super) fn fresh_symbol(&mut self) -> Symbol {
        let scope = &mut self.shared.facts.scope;
        let number = |s: &Symbol| s.as_str().strip_prefix('u')?.parse::<u64>().ok();
        let known = self.shared.expressions.symbols().filter_map(|s| number(&s)).max();
        let declared = scope.symbols().filter_map(|(s, _)| number(s)).max();
        let symbol = Symbol::from(format!("u{}", known.max(declared).map_or(0, |n| n + 1)).as_str());
        scope.declare(symbol.clone(), None, None);
        symbol
    }

    fn item(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        node: &Node,
        output: &Argument,
        location: LocationId,
    ) -> Result<(), ImportErrorKind> {
        let operand = node.inputs.first().map(|i| &i.arg);
        let Some(Argument::AsTensor(operand)) = operand else {
            return Err(ImportErrorKind::argument("self", "is no tensor"));
        };
        let missing = || ImportErrorKind::Undefined { name: operand.name.clone() };
        let fact = names.get(&operand.name).ok_or_else(missing)?.typed.fact.clone();
        let mut value = self.read(names, &operand.name, location)?;
        if fact.rank() > 0 {
            let args = vec![Arg::Tensor(value), Arg::Ints(Vec::new())];
            value = super::functionalize::add(
                &mut self.graph,
                "aten.reshape.default",
                args,
                "one",
                Fact::new(fact.dtype, Vec::<Dim>::new()),
                location,
            )?;
        }
        match output {
            Argument::AsSymInt(number) => {
                let dim = arguments::sym_int(number, source, &mut self.shared.expressions)?;
                let value = self.convert_scalar(value, fact.dtype, DType::I64, location)?;
                self.state(value, &dim, location)
            }
            Argument::AsSymBool(SymBoolArgument::AsName(name)) => {
                // `Eq(u0, 1)`: the symbol is 1 or 0.
                let value_int = self.convert_scalar(value, fact.dtype, DType::I64, location)?;
                let number = SymBoolArgument::AsName(name.clone());
                let symbols = arguments::sym_bool(&number, source, &mut self.shared.expressions)?.symbols();
                if let Some(symbol) = symbols.into_iter().find(Symbol::is_unbacked) {
                    self.bind(value_int, &symbol, location)?;
                }
                Ok(())
            }
            Argument::AsSymFloat(SymFloatArgument::AsName(name)) => {
                let value = self.convert_scalar(value, fact.dtype, DType::F64, location)?;
                self.name_scalar(names, name, value, DType::F64)
            }
            // The exporter knew it.
            _ => Ok(()),
        }
    }

    /// Says that a 0-d i64 is this expression: binds the symbol that it is, or checks it.
    fn state(&mut self, value: ValueId, dim: &Dim, location: LocationId) -> Result<(), ImportErrorKind> {
        if let Some(symbol) = dim.as_symbol().filter(|s| s.is_unbacked()) {
            return self.bind(value, symbol, location);
        }
        let known = self.int_value(dim, DType::I64, location)?;
        let same = self.simple("aten.eq.Tensor", vec![value, known], DType::Bool, location)?;
        self.check(same, &format!("a number found at run time is not {dim}, as the program says"), location)
    }

    /// A run-time check of a 0-d boolean.
    pub(super) fn check(
        &mut self,
        condition: ValueId,
        message: &str,
        location: LocationId,
    ) -> Result<(), ImportErrorKind> {
        let args = vec![Arg::Tensor(condition), Arg::Str(message.to_owned())];
        let added = self.graph.add_call("aten._assert_async.msg", args, "assert", Vec::new(), location);
        added.map(|_| ()).map_err(|error| ImportErrorKind::Undefined { name: error.to_string() })
    }

    /// Makes a 0-d tensor the value of a number's name.
    fn name_scalar(
        &mut self,
        names: &mut Names,
        name: &str,
        value: ValueId,
        dtype: DType,
    ) -> Result<(), ImportErrorKind> {
        let typed = Typed { fact: Fact::new(dtype, Vec::<Dim>::new()), strides: Vec::new() };
        let view = self.memories.allocate(value, typed, Owner::Intermediate);
        self.numbers.insert(name.to_owned());
        insert(names, name, view)
    }

    /// An integer expression as a 0-d tensor.
    fn int_value(&mut self, dim: &Dim, dtype: DType, location: LocationId) -> Result<ValueId, ImportErrorKind> {
        self.constant(Arg::Int(dim.clone()), dtype, location)
    }

    fn constant(&mut self, number: Arg, dtype: DType, location: LocationId) -> Result<ValueId, ImportErrorKind> {
        let args = vec![number, Arg::DType(dtype), Arg::None, Arg::None, Arg::None];
        let fact = Fact::new(dtype, Vec::<Dim>::new());
        super::functionalize::add(&mut self.graph, "aten.scalar_tensor.default", args, "number", fact, location)
    }

    /// The truth of a condition over symbols as a 0-d boolean.
    pub(super) fn truth(&mut self, pred: &Pred, location: LocationId) -> Result<ValueId, ImportErrorKind> {
        match pred {
            Pred::True | Pred::False => self.constant(Arg::Bool(*pred == Pred::True), DType::Bool, location),
            _ => {
                let number = Dim::where_(pred.clone(), Dim::ONE, Dim::ZERO);
                let number = self.int_value(&number, DType::I64, location)?;
                let zero = self.int_value(&Dim::ZERO, DType::I64, location)?;
                self.simple("aten.ne.Tensor", vec![number, zero], DType::Bool, location)
            }
        }
    }

    /// A number argument as a 0-d tensor: of `dtype`, unless it is a boolean.
    pub(super) fn number_value(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        argument: &Argument,
        dtype: DType,
        location: LocationId,
    ) -> Result<ValueId, ImportErrorKind> {
        if let Some(name) = name_of(argument)
            && let Some(view) = names.get(name)
        {
            let from = view.typed.fact.dtype;
            let value = self.read(names, name, location)?;
            return if from == DType::Bool { Ok(value) } else { self.convert_scalar(value, from, dtype, location) };
        }
        match argument {
            Argument::AsInt(value) => self.int_value(&Dim::int(*value), dtype, location),
            Argument::AsSymInt(value) => {
                let dim = arguments::sym_int(value, source, &mut self.shared.expressions)?;
                self.int_value(&dim, dtype, location)
            }
            Argument::AsFloat(value) => self.constant(Arg::Float(value.0), dtype, location),
            Argument::AsSymFloat(SymFloatArgument::AsFloat(value)) => {
                self.constant(Arg::Float(value.0), dtype, location)
            }
            Argument::AsBool(value) => self.constant(Arg::Bool(*value), DType::Bool, location),
            Argument::AsSymBool(value) => {
                let pred = arguments::sym_bool(value, source, &mut self.shared.expressions)?;
                self.truth(&pred, location)
            }
            other => Err(ImportErrorKind::argument("number", format!("is of kind {}", other.tag()))),
        }
    }

    /// A call of an operator on 0-d tensors, other arguments at their defaults.
    fn simple(
        &mut self,
        op: &str,
        operands: Vec<ValueId>,
        dtype: DType,
        location: LocationId,
    ) -> Result<ValueId, ImportErrorKind> {
        let schema = schemas::schema(op).ok_or_else(|| ImportErrorKind::Undefined { name: op.to_owned() })?;
        let mut args: Vec<Arg> = operands.into_iter().map(Arg::Tensor).collect();
        for param in schema.params.iter().skip(args.len()) {
            args.push(match &param.default {
                Some(default) => default.map(|never| match *never {}),
                None => Arg::None,
            });
        }
        let fact = Fact::new(dtype, Vec::<Dim>::new());
        super::functionalize::add(&mut self.graph, op, args, "number", fact, location)
    }

    fn convert_scalar(
        &mut self,
        value: ValueId,
        from: DType,
        to: DType,
        location: LocationId,
    ) -> Result<ValueId, ImportErrorKind> {
        let scalar = |dtype| Fact::new(dtype, Vec::<Dim>::new());
        self.convert(value, &scalar(from), &scalar(to), location)
    }

    /// Arguments in which numbers that are values of the graph are named as tensors.
    pub(super) fn with_values(inputs: &[NamedArgument], names: &Names) -> Vec<NamedArgument> {
        let tensor = |argument: &Argument| match name_of(argument) {
            Some(name) if names.contains_key(name) => {
                Argument::AsTensor(schema::TensorArgument { name: name.to_owned() })
            }
            _ => argument.clone(),
        };
        inputs.iter().map(|input| NamedArgument { arg: tensor(&input.arg), ..input.clone() }).collect()
    }

    /// Gives an operator whose schema wants a number, and that got a value, the form that takes a tensor.
    pub(super) fn take_tensors<'n>(
        &mut self,
        names: &mut Names,
        op: &'n str,
        args: &mut Vec<NamedArg>,
        result: Option<&Fact>,
        location: LocationId,
    ) -> Result<std::borrow::Cow<'n, str>, ImportErrorKind> {
        let Some(signature) = schemas::schema(op) else { return Ok(op.into()) };
        let is_number = |arg: &NamedArg| arg.as_tensor().is_some_and(|name| self.numbers.contains(name));
        let places: Vec<usize> = (0..args.len()).filter(|&i| args.get(i).is_some_and(is_number)).collect();
        if places.is_empty() {
            return Ok(op.into());
        }
        // A number does not decide the type that is computed in, unless it is a float among integers.
        let own = signature.params.iter().zip(args.iter()).enumerate().find_map(|(i, (_, arg))| {
            let view = names.get(arg.as_tensor().filter(|_| !places.contains(&i))?)?;
            Some(view.typed.fact.clone())
        });
        let result_dtype = result.map(|f| f.dtype).filter(|d| d.is_float());
        let dtype = match &own {
            Some(fact) if fact.dtype.is_float() => Some(fact.dtype),
            _ => result_dtype.or(own.is_some().then_some(DType::F32)),
        };
        for &place in &places {
            let Some(slot) = args.get_mut(place) else { continue };
            let Some(name) = slot.as_tensor().cloned() else { continue };
            let from = names.get(&name).map(|v| v.typed.fact.dtype);
            if let (Some(from), Some(to)) = (from, dtype)
                && from != DType::Bool
                && from != to
            {
                let value = self.read(names, &name, location)?;
                let value = self.convert_scalar(value, from, to, location)?;
                let typed = Typed { fact: Fact::new(to, Vec::<Dim>::new()), strides: Vec::new() };
                let view = self.memories.allocate(value, typed, Owner::Intermediate);
                // No archive has such a name.
                let converted = format!("{name} as {to}");
                names.insert(converted.clone(), view);
                *slot = Arg::Tensor(converted);
            }
        }
        if let Some((_, form)) = TAKING_TENSORS.iter().find(|(name, _)| *name == op) {
            for (i, arg) in args.iter_mut().enumerate() {
                if matches!(arg, Arg::Int(_) | Arg::Float(_) | Arg::Bool(_)) && !places.contains(&i) {
                    let number = match &*arg {
                        Arg::Int(d) => Arg::Int(d.clone()),
                        Arg::Bool(b) => Arg::Bool(*b),
                        other => Arg::Float(other.as_float().unwrap_or(0.0)),
                    };
                    let to = dtype.unwrap_or(DType::F32);
                    let value = self.constant(number, to, location)?;
                    let typed = Typed { fact: Fact::new(to, Vec::<Dim>::new()), strides: Vec::new() };
                    let view = self.memories.allocate(value, typed, Owner::Intermediate);
                    let name = format!("number {i} of {}", self.graph.len());
                    names.insert(name.clone(), view);
                    *arg = Arg::Tensor(name);
                }
            }
            return Ok((*form).into());
        }
        let takes = |i: &usize| signature.params.get(*i).is_some_and(|p| p.ty.base == BaseType::Tensor);
        if places.iter().all(takes) {
            return Ok(op.into());
        }
        // `full` and its kin: the number everywhere.
        if let (Some(fact), Some(name), true) = (
            result,
            places.first().and_then(|i| args.get(*i)).and_then(Arg::as_tensor).cloned(),
            matches!(schemas::aten_base(op), Some("full" | "full_like" | "new_full" | "scalar_tensor")),
        ) {
            let sizes = Arg::Ints(fact.shape.clone());
            let from = names.get(&name).map(|v| v.typed.fact.dtype);
            if from != Some(fact.dtype) {
                let value = self.read(names, &name, location)?;
                let value = self.convert_scalar(value, from.unwrap_or(DType::F64), fact.dtype, location)?;
                let typed = Typed { fact: Fact::new(fact.dtype, Vec::<Dim>::new()), strides: Vec::new() };
                let view = self.memories.allocate(value, typed, Owner::Intermediate);
                names.insert(format!("{name} of full"), view);
                *args = vec![Arg::Tensor(format!("{name} of full")), sizes, Arg::Bool(false)];
            } else {
                *args = vec![Arg::Tensor(name), sizes, Arg::Bool(false)];
            }
            return Ok("aten.expand_copy.default".into());
        }
        let form = op.strip_suffix(".Scalar").map(|base| format!("{base}.Tensor"));
        if let Some(form) = form.filter(|form| lookup(form).is_some()) {
            return Ok(form.into());
        }
        Err(ImportErrorKind::unsupported(
            format!("{op} with a number that data decide"),
            "keep the value in a tensor (do not call .item() on it)",
        ))
    }
}
