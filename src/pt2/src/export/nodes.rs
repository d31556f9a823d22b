//! Writes the nodes of IR graphs: operator calls as they are, control flow as PyTorch's higher-order operators with
//! nested graphs, and the symbols that data decide as `.item()` and sizes of results.
//!
//! | primitive | becomes |
//! | --- | --- |
//! | `prim.cond` | `cond` |
//! | `prim.while` | `while_loop` |
//! | `prim.loop` | `scan`, or `map_impl` where nothing is carried |
//! | `prim.vmap` | `map_impl`: archives have no other form that is one node |
//! | `prim.bind` | `item` |
//! | `prim.assert` | `_assert_async.msg` |
//!
//! A nested graph of an archive sees its operands only. A symbol that it speaks of and that is no size of an operand
//! comes in with an operand more, a tensor without elements that has the size.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{Arg, Constraint, DType, Fact, Graph, Location, Node, NodeKind, Program, ValueId};

use pt2c_ops::prim::custom;

use super::writer::Writer;
use super::{ExportError, metadata_of};
use crate::schema::{self, Argument, GraphArgument, TensorArgument};

/// Names of the values written so far.
pub type Names = BTreeMap<ValueId, String>;

/// What the graphs of a program share while they are written.
pub struct Nodes<'a> {
    program: &'a Program,
    /// The archive's own metadata of the places that nodes come from.
    metadata: &'a BTreeMap<Location, IndexMap<String, String>>,
    /// Names of the program's tensors.
    tensors: &'a BTreeMap<String, String>,
    /// Rules about symbols that have no value yet.
    pending: Vec<&'a Constraint>,
    /// Symbols that data decide and that have a value.
    bound: BTreeSet<Symbol>,
    /// Nested graphs so far.
    graphs: usize,
}

impl<'a> Nodes<'a> {
    /// Nothing written yet.
    pub fn new(
        program: &'a Program,
        metadata: &'a BTreeMap<Location, IndexMap<String, String>>,
        tensors: &'a BTreeMap<String, String>,
    ) -> Nodes<'a> {
        let late = |c: &&Constraint| c.pred.symbols().iter().any(Symbol::is_unbacked);
        let pending = program.constraints.iter().filter(late).collect();
        Nodes { program, metadata, tensors, pending, bound: BTreeSet::new(), graphs: 0 }
    }

    /// Writes the calls of a graph. `names` holds its inputs and receives its values.
    ///
    /// # Errors
    /// [`ExportError`] for what has no form in an archive.
    pub fn write(&mut self, graph: &Graph, writer: &mut Writer<'_>, names: &mut Names) -> Result<(), ExportError> {
        for (id, node) in graph.nodes() {
            match &node.kind {
                NodeKind::Input => {}
                NodeKind::Tensor(fqn) => {
                    let name = self.tensors.get(fqn).ok_or_else(|| ExportError::Undefined { name: fqn.clone() })?;
                    names.insert(ValueId { node: id, index: 0 }, name.clone());
                }
                NodeKind::Call { op, args } => {
                    let args = args
                        .iter()
                        .map(|arg| arg.try_map(|value| named(names, graph, *value)))
                        .collect::<Result<Vec<_>, _>>()?;
                    let place = self.program.locations.get(node.location);
                    writer.set_metadata(place.map_or_else(IndexMap::new, |place| {
                        self.metadata.get(place).cloned().unwrap_or_else(|| metadata_of(place))
                    }));
                    let used = |index: usize| {
                        let value = ValueId { node: id, index: u32::try_from(index).unwrap_or(u32::MAX) };
                        graph.use_count(value) > 0 || graph.output_values().any(|v| v == value)
                    };
                    let results = match op.strip_prefix("prim.") {
                        Some(primitive) => self.primitive(primitive, node, args, writer)?,
                        None if !custom::written(&args).1.is_empty() => {
                            return Err(ExportError::Argument {
                                op: op.clone(),
                                argument: "what it writes".to_owned(),
                                reason: "has no form without the operator's schema: put a program in its place"
                                    .to_owned(),
                            });
                        }
                        None => writer.call(op, &args, &node.name, &node.outputs, &used)?,
                    };
                    for (index, (name, fact)) in results.into_iter().zip(&node.outputs).enumerate() {
                        if fact.shape.iter().flat_map(Dim::symbols).any(|symbol| symbol.is_unbacked()) {
                            writer.bind_sizes(&name, &fact.shape);
                        }
                        names.insert(ValueId { node: id, index: u32::try_from(index).unwrap_or(u32::MAX) }, name);
                    }
                    self.rules(node, writer)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the rules about symbols of which the last has a value now.
    fn rules(&mut self, node: &Node, writer: &mut Writer<'_>) -> Result<(), ExportError> {
        let binds = node.binds();
        if binds.is_empty() || self.pending.is_empty() || writer.is_nested() {
            return Ok(());
        }
        self.bound.extend(binds);
        let ready = |c: &&Constraint| c.pred.symbols().iter().all(|s| !s.is_unbacked() || self.bound.contains(s));
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending).into_iter().partition(ready);
        self.pending = later;
        now.into_iter().try_for_each(|constraint| writer.assert(&constraint.pred, &constraint.rule))
    }

    fn primitive(
        &mut self,
        op: &str,
        node: &Node,
        args: Vec<Arg<String>>,
        writer: &mut Writer<'_>,
    ) -> Result<Vec<String>, ExportError> {
        let hop = |name: &str| format!("torch.ops.higher_order.{name}");
        let facts = &node.outputs;
        match (op, args.as_slice()) {
            ("bind", [Arg::Tensor(value), Arg::Int(symbol)]) => {
                writer.item(value, symbol)?;
                Ok(Vec::new())
            }
            ("assert", [Arg::Tensor(_), Arg::Str(_)]) => {
                writer.call("aten._assert_async.msg", &args, &node.name, facts, &|_| false)
            }
            ("cond", [Arg::Tensor(pred), Arg::Graph(then), Arg::Graph(otherwise), Arg::Tensors(operands)]) => {
                let carriers = self.carriers(&[then, otherwise], writer)?;
                let inputs = vec![
                    Argument::AsTensor(TensorArgument { name: pred.clone() }),
                    self.body(then, "true", false, &carriers, writer)?,
                    self.body(otherwise, "false", false, &carriers, writer)?,
                    tensors(operands, &carriers),
                ];
                writer.control(hop("cond"), inputs, &node.name, facts)
            }
            ("while", [Arg::Graph(condition), Arg::Graph(body), Arg::Tensors(carried), Arg::Tensors(captured)]) => {
                let carriers = self.carriers(&[condition, body], writer)?;
                let inputs = vec![
                    self.body(condition, "while_loop_cond", true, &carriers, writer)?,
                    self.body(body, "while_loop_body", false, &carriers, writer)?,
                    tensors(carried, &[]),
                    tensors(captured, &carriers),
                ];
                writer.control(hop("while_loop"), inputs, &node.name, facts)
            }
            (
                "loop",
                [
                    Arg::Graph(body),
                    Arg::Tensors(carried),
                    Arg::Tensors(scanned),
                    Arg::Tensors(captured),
                    _,
                    Arg::Bool(false),
                ],
            ) if !scanned.is_empty() => {
                let carriers = self.carriers(&[body], writer)?;
                let (name, prefix) = if carried.is_empty() { ("map_impl", "body") } else { ("scan", "scan_combine") };
                let mut inputs = vec![self.body(body, prefix, false, &carriers, writer)?];
                if !carried.is_empty() {
                    inputs.push(tensors(carried, &[]));
                }
                inputs.extend([tensors(scanned, &[]), tensors(captured, &carriers)]);
                writer.control(hop(name), inputs, &node.name, facts)
            }
            ("vmap", [Arg::Graph(body), Arg::Tensors(scanned), Arg::Tensors(captured), _]) if !scanned.is_empty() => {
                let carriers = self.carriers(&[body], writer)?;
                let body = self.body(body, "body", false, &carriers, writer)?;
                let inputs = vec![body, tensors(scanned, &[]), tensors(captured, &carriers)];
                writer.control(hop("map_impl"), inputs, &node.name, facts)
            }
            _ => Err(ExportError::Primitive { op: format!("prim.{op}") }),
        }
    }

    /// Operands that bring in the symbols which the bodies speak of and no operand of theirs has as a size.
    fn carriers(&mut self, bodies: &[&Graph], writer: &mut Writer<'_>) -> Result<Vec<Carrier>, ExportError> {
        let mut wanted = BTreeSet::new();
        for body in bodies {
            let given = body.inputs().filter_map(|input| body.fact(input)).flat_map(|fact| fact.shape.clone());
            let given: Vec<Dim> = given.collect();
            wanted.extend(spoken_of(body).into_iter().filter(|symbol| !given.iter().any(|size| solves(size, symbol))));
        }
        wanted.into_iter().map(|symbol| self.carrier(symbol, writer)).collect()
    }

    fn carrier(&self, symbol: Symbol, writer: &mut Writer<'_>) -> Result<Carrier, ExportError> {
        let size = Dim::sym(symbol);
        let name = format!("size_{}", super::identifier(&size.to_string()));
        let is_size = self.program.scope.prove_le(&Dim::ZERO, &size).is_yes();
        let (op, args, fact) = match is_size {
            true => (
                "aten.zeros.default",
                vec![Arg::Ints(vec![size.clone(), Dim::ZERO]), Arg::None, Arg::None, Arg::None, Arg::None],
                Fact::new(DType::F32, vec![size.clone(), Dim::ZERO]),
            ),
            false => (
                "aten.scalar_tensor.default",
                vec![Arg::Int(size.clone()), Arg::DType(DType::I64), Arg::None, Arg::None, Arg::None],
                Fact::new(DType::I64, Vec::<Dim>::new()),
            ),
        };
        let results = writer.call(op, &args, &name, std::slice::from_ref(&fact), &|_| true)?;
        let name = results.into_iter().next().unwrap_or_default();
        Ok(Carrier { name, fact, symbol: size })
    }

    /// A nested graph. `single` returns a bare tensor.
    fn body(
        &mut self,
        body: &Graph,
        prefix: &str,
        single: bool,
        carriers: &[Carrier],
        outside: &Writer<'_>,
    ) -> Result<Argument, ExportError> {
        let name = format!("{prefix}_graph_{}", self.graphs);
        self.graphs += 1;
        let mut graph = schema::Graph { is_single_tensor_return: single, ..schema::Graph::default() };
        let mut writer = Writer::nested(&mut graph, outside.hints().clone());
        let mut names = Names::new();
        let operands = body.inputs().map(|value| (Some(value), body.value_name(value), body.fact(value).cloned()));
        let carried = carriers.iter().map(|c| (None, c.name.clone(), Some(c.fact.clone())));
        let mut values = Vec::new();
        let mut inputs = Vec::new();
        for (value, name, fact) in operands.chain(carried) {
            let fact = fact.ok_or_else(|| ExportError::Undefined { name: name.clone() })?;
            let name = writer.unique(&super::identifier(&name));
            writer.declare(&name, &fact)?;
            writer.bind_sizes(&name, &fact.shape);
            inputs.push(Argument::AsTensor(TensorArgument { name: name.clone() }));
            match value {
                Some(value) => drop(names.insert(value, name)),
                None => values.push(name),
            }
        }
        writer.graph().inputs = inputs;
        for (carrier, name) in carriers.iter().zip(values) {
            if carrier.fact.rank() == 0 {
                writer.item(&name, &carrier.symbol)?;
            }
        }
        self.write(body, &mut writer, &mut names)?;
        let mut outputs = Vec::new();
        for output in &body.outputs {
            let Arg::Tensor(value) = output else {
                return Err(ExportError::Argument {
                    op: "control flow".to_owned(),
                    argument: name,
                    reason: "returns something that is no tensor".to_owned(),
                });
            };
            outputs.push(Argument::AsTensor(TensorArgument { name: named(&names, body, *value)? }));
        }
        graph.outputs = outputs;
        Ok(Argument::AsGraph(Box::new(GraphArgument { name, graph })))
    }
}

/// A tensor that brings a symbol into a nested graph.
struct Carrier {
    name: String,
    fact: Fact,
    symbol: Dim,
}

fn tensors(list: &[Option<String>], carriers: &[Carrier]) -> Argument {
    let names = list.iter().flatten().chain(carriers.iter().map(|carrier| &carrier.name));
    Argument::AsTensors(names.map(|name| TensorArgument { name: name.clone() }).collect())
}

/// The name of a value.
///
/// # Errors
/// [`ExportError::Undefined`].
pub fn named(names: &Names, graph: &Graph, value: ValueId) -> Result<String, ExportError> {
    names.get(&value).cloned().ok_or_else(|| ExportError::Undefined { name: graph.value_name(value) })
}

/// Whether a size tells what the symbol is.
fn solves(size: &Dim, symbol: &Symbol) -> bool {
    let linear = size.coefficient_of(symbol);
    linear.is_some_and(|(by, offset)| by.as_int().is_some_and(|by| by != 0) && offset.is_int())
}

/// The symbols in the arguments of a graph's calls that the graph does not bind.
fn spoken_of(graph: &Graph) -> BTreeSet<Symbol> {
    let mut found = BTreeSet::new();
    let mut bound = BTreeSet::new();
    for (_, node) in graph.nodes() {
        for arg in node.args() {
            match arg {
                Arg::Int(dim) => found.extend(dim.symbols()),
                Arg::Ints(dims) => found.extend(dims.iter().flat_map(Dim::symbols)),
                Arg::Graph(body) => found.extend(spoken_of(body)),
                _ => {}
            }
        }
        bound.extend(node.binds());
    }
    found.retain(|symbol| !bound.contains(symbol));
    found
}
