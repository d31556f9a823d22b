//! Writes operator calls into a graph of the archive's schema.
//!
//! The opposite of import's argument reading: arguments in schema order become named ones with the defaults left
//! out, facts become tensor metadata, and a size that is an expression becomes a value of the graph, computed by
//! `sym_size` and Python's integer operators just as the exporter does.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use pt2c_ir::dim::{Dim, Func, Kind, Symbol};
use pt2c_ir::{Arg, DType, Fact};
use pt2c_ops::{BaseType, Param, Schema};

use super::ExportError;
use super::expr::srepr;
use crate::import::schemas;
use crate::schema::{
    Argument, ArgumentKind, ComplexValue, Device, Float, Graph, Layout, MemoryFormat, NamedArgument, Node,
    OptionalTensorArgument, ScalarType, SymExpr, SymExprHint, SymInt, SymIntArgument, TensorArgument, TensorMeta,
};

/// Example values of symbols: PyTorch stores one with every expression.
pub type Hints = BTreeMap<Symbol, i64>;

/// Where a size can be read at run time: dimension number `dim` of a graph input.
#[derive(Clone, Debug)]
struct Source {
    tensor: String,
    dim: usize,
    size: Dim,
}

/// Adds nodes to a graph, at a position that moves along.
pub struct Writer<'g> {
    pub(super) graph: &'g mut Graph,
    /// Where the next node goes.
    position: usize,
    pub(super) names: BTreeSet<String>,
    hints: Hints,
    sources: Vec<Source>,
    /// Symbolic ints that are values already, defined before `position`.
    pub(super) known: BTreeMap<Dim, String>,
    /// What every new node gets.
    pub(super) metadata: IndexMap<String, String>,
    /// The graph belongs to a node of another.
    nested: bool,
}

impl<'g> Writer<'g> {
    /// A writer at the end of a graph. The graph's inputs must be there already: they bind the symbols.
    pub fn new(graph: &'g mut Graph, hints: Hints) -> Writer<'g> {
        let names = names_of(graph);
        let position = graph.nodes.len();
        let (sources, known, metadata) = (Vec::new(), BTreeMap::new(), IndexMap::new());
        Writer { graph, position, names, hints, sources, known, metadata, nested: false }
    }

    /// A writer of an empty graph that belongs to a node of another.
    pub fn nested(graph: &'g mut Graph, hints: Hints) -> Writer<'g> {
        Writer { nested: true, ..Writer::new(graph, hints) }
    }

    /// Whether the graph belongs to a node of another.
    pub fn is_nested(&self) -> bool {
        self.nested
    }

    /// The example values of the symbols.
    pub fn hints(&self) -> &Hints {
        &self.hints
    }

    /// Moves in front of the node of this index. Sizes computed behind it are not used in front of it.
    pub fn at(mut self, position: usize) -> Self {
        self.position = position.min(self.graph.nodes.len());
        self.known.clear();
        self
    }

    /// The graph as it is by now.
    pub fn graph(&mut self) -> &mut Graph {
        self.graph
    }

    /// What the nodes from here on carry as metadata (`nn_module_stack`, `stack_trace`).
    pub fn set_metadata(&mut self, metadata: IndexMap<String, String>) {
        self.metadata = metadata;
    }

    /// Says that the sizes of a tensor that is a graph input are these.
    pub fn bind_sizes(&mut self, tensor: &str, shape: &[Dim]) {
        for (dim, size) in shape.iter().enumerate().filter(|(_, size)| !size.is_int()) {
            self.sources.push(Source { tensor: tensor.to_owned(), dim, size: size.clone() });
        }
    }

    /// Finds the sizes that the nodes in front of the position compute already.
    pub fn remember_sizes(&mut self) {
        for node in self.graph.nodes.iter().take(self.position) {
            for output in &node.outputs {
                if let Argument::AsSymInt(SymIntArgument::AsName(name)) = output
                    && let Some(SymInt::AsExpr(expr)) = self.graph.sym_int_values.get(name)
                    && let Ok(dim) = crate::import::dim_of(&expr.expr_str)
                {
                    self.known.entry(dim).or_insert_with(|| name.clone());
                }
            }
        }
    }

    /// Says that an integer input is this symbol.
    pub fn bind_input(&mut self, name: &str, symbol: &Symbol) {
        self.known.insert(Dim::sym(symbol.clone()), name.to_owned());
    }

    /// A name that no value has yet.
    pub fn unique(&mut self, base: &str) -> String {
        let base = if base.is_empty() { "value" } else { base };
        let mut name = base.to_owned();
        let mut count = 0u32;
        while !self.names.insert(name.clone()) {
            count += 1;
            name = format!("{base}_{count}");
        }
        name
    }

    /// Adds a tensor to the value table.
    ///
    /// # Errors
    /// A dtype or size without a written form.
    pub fn declare(&mut self, name: &str, fact: &Fact) -> Result<(), ExportError> {
        let meta = self.meta(fact)?;
        self.graph.tensor_values.insert(name.to_owned(), meta);
        Ok(())
    }

    /// A fact as the archive's tensor metadata: on the CPU, dense in its order.
    ///
    /// # Errors
    /// A dtype or size without a written form.
    pub fn meta(&self, fact: &Fact) -> Result<TensorMeta, ExportError> {
        let ints = |dims: &[Dim]| dims.iter().map(|dim| self.sym_int(dim)).collect::<Result<Vec<_>, _>>();
        // PyTorch's strides of an empty dimension are those of a dimension of one.
        let at_least_one: Vec<Dim> =
            fact.shape.iter().map(|size| if size.is_zero() { Dim::int(1) } else { size.clone() }).collect();
        Ok(TensorMeta {
            dtype: ScalarType::from(fact.dtype),
            sizes: ints(&fact.shape)?,
            requires_grad: false,
            device: Device { kind: "cpu".to_owned(), index: None },
            strides: ints(&fact.order.strides(&at_least_one))?,
            storage_offset: SymInt::AsInt(0),
            layout: Layout::Strided,
        })
    }

    /// An expression as it stands in the value tables.
    pub(super) fn sym_int(&self, dim: &Dim) -> Result<SymInt, ExportError> {
        if let Some(value) = dim.as_int() {
            return Ok(SymInt::AsInt(value));
        }
        let expr_str = srepr(dim).ok_or(ExportError::Size { size: dim.to_string() })?;
        let hint = dim.eval(&|symbol| self.hints.get(symbol).copied()).ok().map(SymExprHint::AsInt);
        Ok(SymInt::AsExpr(SymExpr { expr_str, hint }))
    }

    /// Adds a call. `args` are in schema order, complete; tensors are names of values. The results are named after
    /// `name`; those whose `used` is false only fill their place.
    ///
    /// # Errors
    /// [`ExportError`] for operators and arguments that the archive cannot express.
    pub fn call(
        &mut self,
        op: &str,
        args: &[Arg<String>],
        name: &str,
        facts: &[Fact],
        used: &dyn Fn(usize) -> bool,
    ) -> Result<Vec<String>, ExportError> {
        let schema = schemas::schema(op).filter(|_| !op.starts_with("prim."));
        let inputs = match schema {
            Some(schema) => self.named(op, schema, args)?,
            None if op.starts_with("prim.") => return Err(ExportError::Primitive { op: op.to_owned() }),
            None => self.unnamed(op, args)?,
        };
        let name = self.unique(name);
        let list = schema.is_some_and(|schema| schema.returns.first().is_some_and(|ty| ty.contains("[]")));
        let single = !list && facts.len() == 1;
        let results: Vec<String> = (0..facts.len())
            .map(|index| match (single, used(index)) {
                (true, _) => name.clone(),
                (false, true) => self.unique("getitem"),
                (false, false) => self.unique(&format!("{name}_unused_{index}")),
            })
            .collect();
        for (result, fact) in results.iter().zip(facts) {
            self.declare(result, fact)?;
        }
        let tensors = || results.iter().map(|name| TensorArgument { name: name.clone() });
        let outputs = if list {
            vec![Argument::AsTensors(tensors().collect())]
        } else {
            tensors().map(Argument::AsTensor).collect()
        };
        let hop = op.starts_with("higher_order.").then_some(false);
        self.push(Node {
            target: format!("torch.ops.{op}"),
            inputs,
            outputs,
            metadata: self.metadata.clone(),
            is_hop_single_tensor_return: hop,
            name: Some(name),
        });
        Ok(results)
    }

    /// Adds a higher-order operator, its arguments by position. The results are named after `name`.
    ///
    /// # Errors
    /// A dtype or size without a written form.
    pub fn control(
        &mut self,
        target: String,
        inputs: Vec<Argument>,
        name: &str,
        facts: &[Fact],
    ) -> Result<Vec<String>, ExportError> {
        let name = self.unique(name);
        let results: Vec<String> = facts.iter().map(|_| self.unique("getitem")).collect();
        for (result, fact) in results.iter().zip(facts) {
            self.declare(result, fact)?;
        }
        let positional = |arg| NamedArgument { name: String::new(), arg, kind: Some(ArgumentKind::Positional) };
        self.push(Node {
            target,
            inputs: inputs.into_iter().map(positional).collect(),
            outputs: results.iter().map(|name| Argument::AsTensor(TensorArgument { name: name.clone() })).collect(),
            metadata: self.metadata.clone(),
            is_hop_single_tensor_return: Some(false),
            name: Some(name),
        });
        Ok(results)
    }

    pub(super) fn push(&mut self, node: Node) {
        self.graph.nodes.insert(self.position, node);
        self.position += 1;
    }

    /// Arguments under their schema's names, those equal to their defaults left out where that is unambiguous.
    fn named(&mut self, op: &str, schema: &Schema, args: &[Arg<String>]) -> Result<Vec<NamedArgument>, ExportError> {
        if args.len() != schema.params.len() {
            let reason = format!("has {} arguments for {} parameters", args.len(), schema.params.len());
            return Err(ExportError::Argument { op: op.to_owned(), argument: String::new(), reason });
        }
        let is_default = |param: &Param, arg: &Arg<String>| match &param.default {
            Some(default) => default.map(|never| match *never {}) == *arg,
            None => false,
        };
        // Positional ones up to the last that says something.
        let positional = schema.params.iter().zip(args).enumerate();
        let last = positional.filter(|(_, (p, a))| !p.keyword_only && !is_default(p, a)).map(|(i, _)| i + 1).last();
        let mut inputs = Vec::new();
        for (index, (param, arg)) in schema.params.iter().zip(args).enumerate() {
            let wanted = match param.keyword_only {
                true => !is_default(param, arg),
                false => index < last.unwrap_or(0),
            };
            if wanted {
                let kind = if param.keyword_only { ArgumentKind::Keyword } else { ArgumentKind::Positional };
                let arg = self.argument(op, Some(param), arg)?;
                inputs.push(NamedArgument { name: param.name.clone(), arg, kind: Some(kind) });
            }
        }
        Ok(inputs)
    }

    /// Arguments of operators without a schema: by position.
    fn unnamed(&mut self, op: &str, args: &[Arg<String>]) -> Result<Vec<NamedArgument>, ExportError> {
        args.iter()
            .map(|arg| {
                let arg = self.argument(op, None, arg)?;
                Ok(NamedArgument { name: String::new(), arg, kind: Some(ArgumentKind::Positional) })
            })
            .collect()
    }

    fn argument(&mut self, op: &str, param: Option<&Param>, arg: &Arg<String>) -> Result<Argument, ExportError> {
        let wrong = |reason: &str| ExportError::Argument {
            op: op.to_owned(),
            argument: param.map(|p| p.name.clone()).unwrap_or_default(),
            reason: reason.to_owned(),
        };
        let tensor = |name: &String| TensorArgument { name: name.clone() };
        Ok(match arg {
            Arg::None => Argument::AsNone(true),
            Arg::Tensor(name) => Argument::AsTensor(tensor(name)),
            Arg::Tensors(names) => {
                let optional = names.iter().any(Option::is_none) || param.is_some_and(|p| p.ty.optional);
                match names.iter().map(|name| name.as_ref().map(tensor)).collect::<Option<Vec<_>>>() {
                    Some(all) if !optional => Argument::AsTensors(all),
                    _ => Argument::AsOptionalTensors(
                        names
                            .iter()
                            .map(|name| match name {
                                Some(name) => OptionalTensorArgument::AsTensor(tensor(name)),
                                None => OptionalTensorArgument::AsNone(true),
                            })
                            .collect(),
                    ),
                }
            }
            Arg::Int(dim) => match dim.as_int() {
                Some(value) => Argument::AsInt(value),
                None => Argument::AsSymInt(SymIntArgument::AsName(self.size(dim)?)),
            },
            Arg::Ints(dims) => match dims.iter().map(Dim::as_int).collect::<Option<Vec<_>>>() {
                Some(values) => Argument::AsInts(values),
                None => Argument::AsSymInts(
                    dims.iter()
                        .map(|dim| match dim.as_int() {
                            Some(value) => Ok(SymIntArgument::AsInt(value)),
                            None => self.size(dim).map(SymIntArgument::AsName),
                        })
                        .collect::<Result<_, _>>()?,
                ),
            },
            Arg::Float(value) => Argument::AsFloat(Float(*value)),
            Arg::Floats(values) => Argument::AsFloats(values.iter().map(|&value| Float(value)).collect()),
            Arg::Bool(value) => Argument::AsBool(*value),
            Arg::Bools(values) => Argument::AsBools(values.clone()),
            Arg::Complex(real, imag) => Argument::AsComplex(ComplexValue { real: Float(*real), imag: Float(*imag) }),
            Arg::Str(text) => Argument::AsString(text.clone()),
            Arg::DType(dtype) => Argument::AsScalarType(ScalarType::from(*dtype)),
            Arg::Opaque(text) => {
                let name = param.filter(|p| p.ty.base == BaseType::Opaque).map(|p| p.name.as_str());
                opaque(name.unwrap_or(""), text).ok_or_else(|| wrong("is of a kind that archives do not have"))?
            }
            Arg::Graph(_) => return Err(wrong("is a nested graph of the compiler's own form")),
        })
    }

    /// The name of a symbolic int's value, computed here if it is not there yet.
    ///
    /// # Errors
    /// A symbol that no input carries, or an expression without operators in Python.
    pub fn size(&mut self, dim: &Dim) -> Result<String, ExportError> {
        if let Some(name) = self.known.get(dim) {
            return Ok(name.clone());
        }
        let unknown = || ExportError::Size { size: dim.to_string() };
        // A size that some input has as a whole needs no arithmetic.
        let whole = self.sources.iter().find(|source| source.size == *dim);
        if let Some((tensor, index)) = whole.map(|source| (source.tensor.clone(), source.dim)) {
            return self.sym_size(dim, &tensor, index);
        }
        match dim.kind() {
            Kind::Int(_) => Err(unknown()),
            Kind::Symbol(symbol) => {
                // A size that is linear in the symbol alone: 2*s0 + 1.
                let symbol = symbol.clone();
                let linear = self.sources.iter().find_map(|Source { size, .. }| {
                    let (coefficient, offset) = size.coefficient_of(&symbol)?;
                    Some((size.clone(), coefficient.as_int().filter(|&c| c != 0)?, offset.as_int()?))
                });
                let (size, coefficient, offset) = linear.ok_or_else(unknown)?;
                let from = self.size(&size)?;
                let shifted = self.binary(&(&size - &Dim::int(offset)), "_operator.sub", from.into(), offset.into())?;
                self.binary(dim, "_operator.floordiv", shifted.into(), coefficient.into())
            }
            Kind::Sum(sum) => {
                let (sum, mut total) = (sum.clone(), None::<(Dim, Operand)>);
                for term in &sum.terms {
                    let mut product = None::<(Dim, Operand)>;
                    for (factor, power) in &term.factors {
                        for _ in 0..*power {
                            let next = (factor.clone(), self.operand(factor)?);
                            product = Some(self.fold(product, next, "_operator.mul", |a, b| a * b)?);
                        }
                    }
                    if term.coeff != 1 {
                        let next = (Dim::int(term.coeff), term.coeff.into());
                        product = Some(self.fold(product, next, "_operator.mul", |a, b| a * b)?);
                    }
                    if let Some(product) = product {
                        total = Some(self.fold(total, product, "_operator.add", |a, b| a + b)?);
                    }
                }
                if sum.constant != 0 {
                    let next = (Dim::int(sum.constant), sum.constant.into());
                    total = Some(self.fold(total, next, "_operator.add", |a, b| a + b)?);
                }
                match total {
                    Some((_, Operand::Name(name))) => {
                        self.known.insert(dim.clone(), name.clone());
                        Ok(name)
                    }
                    _ => Err(unknown()),
                }
            }
            Kind::Func(func) => {
                let func = func.clone();
                let two = |op| Some((op, func.args()));
                let (op, args) = match &func {
                    Func::FloorDiv(..) => two("_operator.floordiv"),
                    Func::Mod(..) => two("_operator.mod"),
                    Func::Max(args) if args.len() == 2 => two("torch.sym_max"),
                    Func::Min(args) if args.len() == 2 => two("torch.sym_min"),
                    Func::Pow(..) => two("_operator.pow"),
                    Func::Max(args) => return self.chain(dim, args, "torch.sym_max", |a, b| a.max(b)),
                    Func::Min(args) => return self.chain(dim, args, "torch.sym_min", |a, b| a.min(b)),
                    Func::Where(pred, then, otherwise) => {
                        let condition = self.condition(pred)?;
                        let (then, otherwise) = (self.operand(then)?.argument(), self.operand(otherwise)?.argument());
                        let inputs = [("b", condition), ("t", then), ("f", otherwise)].map(|(name, arg)| {
                            NamedArgument { name: name.to_owned(), arg, kind: Some(ArgumentKind::Positional) }
                        });
                        return self.symbolic(dim, "torch.sym_ite", "sym_ite", inputs.to_vec());
                    }
                    Func::RawAdd(..) => two("_operator.add"),
                    Func::RawMul(..) => two("_operator.mul"),
                    Func::TooLarge(_) => None,
                }
                .ok_or_else(unknown)?;
                let &[a, b] = args.as_slice() else { return Err(unknown()) };
                let (a, b) = (self.operand(a)?, self.operand(b)?);
                self.binary(dim, op, a, b)
            }
        }
    }

    fn chain(&mut self, dim: &Dim, args: &[Dim], op: &str, f: fn(&Dim, &Dim) -> Dim) -> Result<String, ExportError> {
        let mut total = None;
        for arg in args {
            let next = (arg.clone(), self.operand(arg)?);
            total = Some(self.fold(total, next, op, f)?);
        }
        match total {
            Some((_, Operand::Name(name))) => Ok(name),
            _ => Err(ExportError::Size { size: dim.to_string() }),
        }
    }

    pub(super) fn operand(&mut self, dim: &Dim) -> Result<Operand, ExportError> {
        match dim.as_int() {
            Some(value) => Ok(Operand::Int(value)),
            None => self.size(dim).map(Operand::Name),
        }
    }

    fn fold(
        &mut self,
        total: Option<(Dim, Operand)>,
        (dim, operand): (Dim, Operand),
        op: &str,
        f: impl Fn(&Dim, &Dim) -> Dim,
    ) -> Result<(Dim, Operand), ExportError> {
        let Some((before, left)) = total else { return Ok((dim, operand)) };
        let whole = f(&before, &dim);
        if let Some(name) = self.known.get(&whole) {
            return Ok((whole, Operand::Name(name.clone())));
        }
        let name = self.binary(&whole, op, left, operand)?;
        Ok((whole, Operand::Name(name)))
    }

    fn sym_size(&mut self, dim: &Dim, tensor: &str, index: usize) -> Result<String, ExportError> {
        let argument =
            |name: &str, arg| NamedArgument { name: name.to_owned(), arg, kind: Some(ArgumentKind::Positional) };
        let inputs = vec![
            argument("self", Argument::AsTensor(TensorArgument { name: tensor.to_owned() })),
            argument("dim", Argument::AsInt(i64::try_from(index).unwrap_or(0))),
        ];
        self.symbolic(dim, "torch.ops.aten.sym_size.int", "sym_size_int", inputs)
    }

    fn binary(&mut self, dim: &Dim, op: &str, a: Operand, b: Operand) -> Result<String, ExportError> {
        let argument = |name: &str, operand: Operand| NamedArgument {
            name: name.to_owned(),
            arg: operand.argument(),
            kind: Some(ArgumentKind::Positional),
        };
        let base = op.rsplit('.').next().unwrap_or("sym").to_owned();
        self.symbolic(dim, op, &base, vec![argument("a", a), argument("b", b)])
    }

    pub(super) fn symbolic(
        &mut self,
        dim: &Dim,
        target: &str,
        base: &str,
        inputs: Vec<NamedArgument>,
    ) -> Result<String, ExportError> {
        let name = self.unique(base);
        let value = self.sym_int(dim)?;
        self.graph.sym_int_values.insert(name.clone(), value);
        self.push(Node {
            target: target.to_owned(),
            inputs,
            outputs: vec![Argument::AsSymInt(SymIntArgument::AsName(name.clone()))],
            metadata: self.metadata.clone(),
            is_hop_single_tensor_return: None,
            name: Some(name.clone()),
        });
        self.known.insert(dim.clone(), name.clone());
        Ok(name)
    }
}

/// An operand of integer arithmetic.
pub(super) enum Operand {
    Int(i64),
    Name(String),
}

impl Operand {
    pub(super) fn argument(self) -> Argument {
        match self {
            Operand::Int(value) => Argument::AsInt(value),
            Operand::Name(name) => Argument::AsSymInt(SymIntArgument::AsName(name)),
        }
    }
}

impl From<i64> for Operand {
    fn from(value: i64) -> Operand {
        Operand::Int(value)
    }
}

impl From<String> for Operand {
    fn from(name: String) -> Operand {
        Operand::Name(name)
    }
}

/// Every name that is taken in a graph.
fn names_of(graph: &Graph) -> BTreeSet<String> {
    let tables = graph
        .tensor_values
        .keys()
        .chain(graph.sym_int_values.keys())
        .chain(graph.sym_bool_values.keys())
        .chain(graph.sym_float_values.keys())
        .chain(graph.custom_obj_values.keys());
    tables.chain(graph.nodes.iter().filter_map(|node| node.name.as_ref())).cloned().collect()
}

/// A device, layout, memory format or generator as import wrote it down.
fn opaque(param: &str, text: &str) -> Option<Argument> {
    Some(match (param, text) {
        ("memory_format", "contiguous_format") => Argument::AsMemoryFormat(MemoryFormat::Contiguous),
        ("memory_format", "channels_last") => Argument::AsMemoryFormat(MemoryFormat::ChannelsLast),
        ("memory_format", "channels_last_3d") => Argument::AsMemoryFormat(MemoryFormat::ChannelsLast3d),
        ("memory_format", "preserve_format") => Argument::AsMemoryFormat(MemoryFormat::Preserve),
        ("layout", "strided") => Argument::AsLayout(Layout::Strided),
        ("layout", "sparse_coo") => Argument::AsLayout(Layout::SparseCoo),
        ("layout", _) | ("memory_format", _) | ("generator", _) => return None,
        _ => {
            let (kind, index) = match text.split_once(':') {
                Some((kind, index)) => (kind, Some(index.parse().ok()?)),
                None => (text, None),
            };
            Argument::AsDevice(Device { kind: kind.to_owned(), index })
        }
    })
}

impl From<DType> for ScalarType {
    fn from(dtype: DType) -> ScalarType {
        match dtype {
            DType::U8 => ScalarType::Byte,
            DType::I8 => ScalarType::Char,
            DType::I16 => ScalarType::Short,
            DType::I32 => ScalarType::Int,
            DType::I64 => ScalarType::Long,
            DType::F16 => ScalarType::Half,
            DType::F32 => ScalarType::Float,
            DType::F64 => ScalarType::Double,
            DType::C32 => ScalarType::ComplexHalf,
            DType::C64 => ScalarType::ComplexFloat,
            DType::C128 => ScalarType::ComplexDouble,
            DType::Bool => ScalarType::Bool,
            DType::BF16 => ScalarType::BFloat16,
            DType::U16 => ScalarType::UInt16,
            DType::U32 => ScalarType::UInt32,
            DType::U64 => ScalarType::UInt64,
            DType::F8E4M3FN => ScalarType::Float8E4M3Fn,
            DType::F8E5M2 => ScalarType::Float8E5M2,
        }
    }
}
