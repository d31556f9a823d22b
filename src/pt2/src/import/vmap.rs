//! `torch.vmap`. The archive holds it as a region of the node list:
//!
//! ```text
//! _vmap_increment_nesting(size, randomness)
//! a = _add_batch_dim(x, dim, level)            one slice of x along dim
//! …                                            nodes whose types are those of one slice
//! y = _remove_batch_dim(r, level, size, dim)   all slices of r, stacked along dim
//! _vmap_decrement_nesting()
//! ```
//!
//! The nodes that depend on a slice become the body of a `prim.vmap`; those that do not are computed once, in front of it.
//! Nodes behind a `_remove_batch_dim` that stand in the region come behind it. Regions may nest.

use std::collections::BTreeSet;
use std::sync::Arc;

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, Fact, LocationId, ValueId};

use super::error::{ImportError, ImportErrorKind};
use super::facts::{Typed, typed};
use super::functionalize::{Names, Owner, add};
use super::graph::{Builder, insert, tensor_names};
use super::{arguments, location, numbers, schemas};
use crate::schema::{self, Argument, NamedArgument, Node, OptionalTensorArgument, SymIntArgument, TensorArgument};

const BEGIN: &str = "torch._functorch.predispatch._vmap_increment_nesting";
const END: &str = "torch._functorch.predispatch._vmap_decrement_nesting";
const SLICE: &str = "torch._functorch.predispatch._add_batch_dim";
const STACK: &str = "torch._functorch.predispatch._remove_batch_dim";

/// A node, or a whole region.
#[derive(Clone, Copy)]
enum Unit<'n> {
    Node(&'n Node),
    Region(&'n [&'n Node]),
}

impl<'n> Unit<'n> {
    /// Calls `see` with every node.
    fn each(self, see: &mut dyn FnMut(&'n Node)) {
        match self {
            Unit::Node(node) => see(node),
            Unit::Region(nodes) => nodes.iter().for_each(|node| see(node)),
        }
    }
}

/// The nodes of a list, regions taken together.
///
/// # Errors
/// Beginnings and ends that do not match.
fn units<'n>(nodes: &'n [&'n Node]) -> Result<Vec<Unit<'n>>, ImportErrorKind> {
    let unbalanced = || ImportErrorKind::argument("vmap", "begins and ends do not match");
    let mut units = Vec::new();
    let mut at = 0;
    while let Some(node) = nodes.get(at) {
        let mut end = at;
        if node.target == BEGIN {
            let mut depth = 0usize;
            for (i, node) in nodes.iter().enumerate().skip(at) {
                match node.target.as_str() {
                    BEGIN => depth += 1,
                    END => depth = depth.checked_sub(1).ok_or_else(unbalanced)?,
                    _ => {}
                }
                end = i;
                if depth == 0 {
                    break;
                }
            }
            if depth != 0 {
                return Err(unbalanced());
            }
            units.push(Unit::Region(nodes.get(at..=end).ok_or_else(unbalanced)?));
        } else if node.target == END {
            return Err(unbalanced());
        } else {
            units.push(Unit::Node(node));
        }
        at = end + 1;
    }
    Ok(units)
}

/// The values that a node takes, by name.
fn taken(node: &Node) -> Vec<&str> {
    let mut names = Vec::new();
    for input in &node.inputs {
        match &input.arg {
            Argument::AsOptionalTensor(OptionalTensorArgument::AsTensor(tensor)) => names.push(tensor.name.as_str()),
            Argument::AsOptionalTensors(tensors) => names.extend(tensors.iter().filter_map(|t| match t {
                OptionalTensorArgument::AsTensor(tensor) => Some(tensor.name.as_str()),
                OptionalTensorArgument::AsNone(_) => None,
            })),
            other => names.extend(tensor_names(other).into_iter().chain(numbers::name_of(other))),
        }
    }
    names
}

/// The values that a node gives, by name.
fn given(node: &Node) -> Vec<&str> {
    node.outputs.iter().flat_map(|output| tensor_names(output).into_iter().chain(numbers::name_of(output))).collect()
}

impl Builder<'_> {
    /// Imports nodes in order, regions of `vmap` as one.
    pub(super) fn list(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        nodes: &[&Node],
    ) -> Result<(), ImportError> {
        units(nodes)?.into_iter().try_for_each(|unit| self.unit(source, names, unit))
    }

    fn unit(&mut self, source: &schema::Graph, names: &mut Names, unit: Unit<'_>) -> Result<(), ImportError> {
        match unit {
            Unit::Node(node) => self.node_or_error(source, names, node),
            Unit::Region(nodes) => self.vmap(source, names, nodes),
        }
    }

    fn vmap(&mut self, source: &schema::Graph, names: &mut Names, region: &[&Node]) -> Result<(), ImportError> {
        let malformed = || ImportErrorKind::argument("vmap", "a region without its operands");
        let [begin, nodes @ .., _] = region else { return Err(malformed().into()) };
        let at = self.shared.locations.intern(location::of_node(begin));
        let size = match begin.inputs.first().map(|input| &input.arg) {
            Some(Argument::AsInt(size)) => Dim::int(*size),
            Some(Argument::AsSymInt(size)) => arguments::sym_int(size, source, &mut self.shared.expressions)?,
            _ => return Err(malformed().into()),
        };
        let randomness = match begin.inputs.get(1).map(|input| &input.arg) {
            Some(Argument::AsString(text)) => text.as_str(),
            _ => "error",
        };
        if randomness == "same"
            && let Some((source, nodes)) = self.drawn_once(source, names, nodes, at)?
        {
            let region: Vec<&Node> = [*begin].into_iter().chain(&nodes).chain(region.last().copied()).collect();
            return self.vmap(&source, names, &region);
        }

        // Which values depend on a slice, and which on what is stacked.
        let (mut sliced, mut stacked) = (BTreeSet::new(), BTreeSet::new());
        let (mut slices, mut stacks) = (Vec::new(), Vec::new());
        let (mut inside, mut behind) = (Vec::new(), Vec::new());
        for unit in units(nodes)? {
            let (mut on_slice, mut on_stack, mut random) = (false, false, false);
            let mut results = Vec::new();
            unit.each(&mut |node| {
                let names = taken(node);
                on_slice |= names.iter().any(|name| sliced.contains(name));
                on_stack |= names.iter().any(|name| stacked.contains(name));
                random |= schemas::is_random(&schemas::op_name(&node.target));
                results.extend(given(node));
            });
            match unit {
                Unit::Node(node) if node.target == SLICE => {
                    slices.push(node);
                    sliced.extend(results);
                }
                Unit::Node(node) if node.target == STACK => {
                    if !on_slice {
                        behind.push(unit);
                    } else {
                        stacks.push(node);
                    }
                    stacked.extend(results);
                }
                _ if on_stack && on_slice => {
                    return Err(ImportErrorKind::unsupported(
                        "a vmap that takes a slice together with the result of all slices",
                        "compute the one in a call of vmap of its own",
                    )
                    .into());
                }
                _ if on_stack => {
                    behind.push(unit);
                    stacked.extend(results);
                }
                _ if random && on_slice && randomness == "same" => {
                    return Err(ImportErrorKind::unsupported(
                        "vmap(randomness=\"same\") over random numbers that depend on the values of a slice",
                        "draw the numbers outside of the mapped function, or use randomness=\"different\"",
                    )
                    .into());
                }
                _ if on_slice || (random && randomness == "different") => {
                    inside.push(unit);
                    sliced.extend(results);
                }
                _ => self.unit(source, names, unit)?,
            }
        }
        self.map(source, names, &size, &Region { slices, inside, stacks }, at)?;
        for unit in behind {
            match unit {
                Unit::Node(node) if node.target == STACK => self.repeated(source, names, node, at)?,
                other => self.unit(source, names, other)?,
            }
        }
        Ok(())
    }

    /// The nodes of a region in which the random numbers that are as large as a slice are drawn once, for all slices: on
    /// ones of a slice's size instead of the slice. A dropout becomes a product with the dropout of ones. `None` if there
    /// is no such node; the graph has the types of the values that were added.
    fn drawn_once(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        nodes: &[&Node],
        at: LocationId,
    ) -> Result<Option<(schema::Graph, Vec<Node>)>, ImportError> {
        let mut new: Option<schema::Graph> = None;
        let mut result = Vec::new();
        for node in nodes {
            let op = schemas::op_name(&node.target);
            let name = schemas::aten_base(&op).unwrap_or("");
            let dropout =
                name == "dropout" && matches!(node.inputs.get(2).map(|input| &input.arg), Some(Argument::AsBool(true)));
            let like = name.ends_with("_like") && schemas::is_random(&op);
            let operand = node.inputs.first().and_then(|input| tensor_names(&input.arg).first().copied());
            let (Some(operand), Some(given), true) = (operand, given(node).first().copied(), dropout || like) else {
                result.push((*node).clone());
                continue;
            };
            let ones = format!("{given} ones");
            if operand.ends_with(" ones") {
                // It was replaced: no name of an archive has a space.
                return Ok(None);
            }
            let typed = typed(operand, source, &mut self.shared.expressions)?;
            let (shape, dtype) = (Arg::Ints(typed.fact.shape.clone()), Arg::DType(typed.fact.dtype));
            let args = vec![shape, Arg::Float(1.0), dtype, Arg::None, Arg::None, Arg::None];
            let value = add(&mut self.graph, "aten.full.default", args, "ones", typed.fact.clone(), at)?;
            let view = self.memories.allocate(value, typed, Owner::Intermediate);
            insert(names, &ones, view)?;
            let mut drawn = (*node).clone();
            if let Some(input) = drawn.inputs.first_mut() {
                input.arg = Argument::AsTensor(TensorArgument { name: ones });
            }
            if like {
                result.push(drawn);
                continue;
            }
            let mask = format!("{given} mask");
            let graph = new.get_or_insert_with(|| source.clone());
            if let Some(meta) = graph.tensor_values.get(given).cloned() {
                graph.tensor_values.insert(mask.clone(), meta);
            }
            drawn.outputs = vec![Argument::AsTensor(TensorArgument { name: mask.clone() })];
            drawn.name = Some(mask.clone());
            let factors = [("self", operand.to_owned()), ("other", mask)].map(|(name, tensor)| NamedArgument {
                name: name.to_owned(),
                arg: Argument::AsTensor(TensorArgument { name: tensor }),
                kind: None,
            });
            result.push(drawn);
            result.push(Node {
                target: "torch.ops.aten.mul.Tensor".to_owned(),
                inputs: factors.into(),
                ..(*node).clone()
            });
        }
        let changed = nodes.iter().zip(&result).any(|(old, new)| *old != new) || nodes.len() != result.len();
        Ok(changed.then(|| (new.unwrap_or_else(|| source.clone()), result)))
    }

    /// The `prim.vmap` of a region.
    fn map(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        size: &Dim,
        region: &Region<'_>,
        at: LocationId,
    ) -> Result<(), ImportError> {
        if region.stacks.is_empty() {
            return Ok(());
        }
        let malformed = || ImportErrorKind::argument("vmap", "a region without its operands");
        let mut scanned = Vec::new();
        // What the body takes: the slices, then what it captures.
        let mut inputs: Vec<(&str, Typed)> = Vec::new();
        for node in &region.slices {
            let (Some(operand), Some(result)) = (taken(node).first().copied(), given(node).first().copied()) else {
                return Err(malformed().into());
            };
            let x = self.read(names, operand, at)?;
            let fact = self.graph.fact(x).cloned().ok_or_else(malformed)?;
            let from = pt2c_ops::wrap_dim(integer(node, 1)?, fact.rank()).map_err(|_| malformed())?;
            scanned.push(Some(self.moved(x, &fact, from, 0, at)?));
            inputs.push((result, typed(result, source, &mut self.shared.expressions)?));
        }
        let mut own: BTreeSet<&str> = inputs.iter().map(|(name, _)| *name).collect();
        let mut names_taken = Vec::new();
        for unit in &region.inside {
            unit.each(&mut |node| {
                let outer = taken(node).into_iter().filter(|name| names.contains_key(*name));
                let outer: Vec<&str> = outer.filter(|name| own.insert(name)).collect();
                names_taken.extend(outer);
                own.extend(given(node));
            });
        }
        let mut captured = Vec::new();
        for name in names_taken {
            captured.push(Some(self.read(names, name, at)?));
            inputs.push((name, names.get(name).map(|view| view.typed.clone()).ok_or_else(malformed)?));
        }
        let (mut inner, numbers) = (Names::new(), self.numbers.clone());
        let mut body = self.nested();
        for (name, typed) in inputs {
            let value = body.graph.add_input(name, typed.fact.clone());
            let view = body.memories.allocate(value, typed, Owner::Operand);
            insert(&mut inner, name, view)?;
        }
        body.numbers = numbers;
        for unit in &region.inside {
            body.unit(source, &mut inner, *unit)?;
        }
        let mut facts = Vec::new();
        for node in &region.stacks {
            let result = taken(node).first().copied().ok_or_else(malformed)?;
            let value = body.read(&mut inner, result, at)?;
            let fact = body.graph.fact(value).cloned().ok_or_else(malformed)?;
            body.graph.outputs.push(Arg::Tensor(value));
            facts.push(Fact::new(fact.dtype, [&[size.clone()], fact.shape.as_slice()].concat()));
        }
        let mut graph = body.graph;
        super::control::own_results(&mut graph)?;
        graph.remove_dead(super::has_effect);
        let args =
            vec![Arg::Graph(Arc::new(graph)), Arg::Tensors(scanned), Arg::Tensors(captured), Arg::Int(size.clone())];
        let id = self.graph.add_call("prim.vmap", args, "vmap", facts.clone(), at);
        let id = id.map_err(|error| ImportErrorKind::Undefined { name: error.to_string() })?;
        for (index, (node, fact)) in region.stacks.iter().zip(facts).enumerate() {
            let result = given(node).first().copied().ok_or_else(malformed)?;
            let typed = typed(result, source, &mut self.shared.expressions)?;
            let to = pt2c_ops::wrap_dim(integer(node, 3)?, fact.rank()).map_err(|_| malformed())?;
            let value = self.moved(ValueId { node: id, index: index as u32 }, &fact, 0, to, at)?;
            let view = self.memories.allocate(value, typed, Owner::Intermediate);
            insert(names, result, view)?;
        }
        Ok(())
    }

    /// All slices of what does not depend on the slice.
    fn repeated(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        node: &Node,
        at: LocationId,
    ) -> Result<(), ImportError> {
        let malformed = || ImportErrorKind::argument("vmap", "a region without its operands");
        let (Some(operand), Some(result)) = (taken(node).first().copied(), given(node).first().copied()) else {
            return Err(malformed().into());
        };
        let x = self.read(names, operand, at)?;
        let fact = self.graph.fact(x).cloned().ok_or_else(malformed)?;
        let typed = typed(result, source, &mut self.shared.expressions)?;
        let to = pt2c_ops::wrap_dim(integer(node, 3)?, fact.rank() + 1).map_err(|_| malformed())?;
        let mut shape = fact.shape.clone();
        shape.insert(to, Dim::ONE);
        let args = vec![Arg::Tensor(x), Arg::Int(Dim::int(to as i64))];
        let one = Fact::new(fact.dtype, shape);
        let x = add(&mut self.graph, "aten.unsqueeze.default", args, "unsqueeze", one, at)?;
        let args = vec![Arg::Tensor(x), Arg::Ints(typed.fact.shape.clone()), Arg::Bool(false)];
        let x = add(&mut self.graph, "aten.expand.default", args, "expand", typed.fact.clone(), at)?;
        let view = self.memories.allocate(x, typed, Owner::Intermediate);
        Ok(insert(names, result, view)?)
    }

    /// The value with dimension `from` at position `to`.
    fn moved(
        &mut self,
        x: ValueId,
        fact: &Fact,
        from: usize,
        to: usize,
        at: LocationId,
    ) -> Result<ValueId, ImportErrorKind> {
        if from == to {
            return Ok(x);
        }
        let mut order: Vec<usize> = (0..fact.rank()).filter(|d| *d != from).collect();
        order.insert(to.min(order.len()), from);
        let shape: Vec<Dim> = order.iter().filter_map(|d| fact.shape.get(*d).cloned()).collect();
        let dims = order.iter().map(|&d| Dim::int(d as i64)).collect();
        let args = vec![Arg::Tensor(x), Arg::Ints(dims)];
        add(&mut self.graph, "aten.permute.default", args, "permute", Fact::new(fact.dtype, shape), at)
    }
}

/// The parts of a region that depend on its slices.
struct Region<'n> {
    slices: Vec<&'n Node>,
    inside: Vec<Unit<'n>>,
    stacks: Vec<&'n Node>,
}

/// An integer argument by position.
fn integer(node: &Node, at: usize) -> Result<i64, ImportErrorKind> {
    match node.inputs.get(at).map(|input| &input.arg) {
        Some(Argument::AsInt(i) | Argument::AsSymInt(SymIntArgument::AsInt(i))) => Ok(*i),
        _ => Err(ImportErrorKind::argument("dim", "is no integer")),
    }
}
