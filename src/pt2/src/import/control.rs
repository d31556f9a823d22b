//! Control flow of the archive as the primitives of control flow.
//!
//! | operator | becomes |
//! | --- | --- |
//! | `cond` | `prim.cond` |
//! | `while_loop` | `prim.while` |
//! | `scan`, `map_impl` | `prim.loop` |
//! | `associative_scan` | `prim.loop` behind the first element, and `cat` |
//!
//! Bodies take the operands in order. What a body returns twice, or returns of its operands, is computed by it, so
//! that every result has memory of its own.

use std::sync::Arc;

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact, Graph, LocationId, ValueId};

use super::error::{ImportError, ImportErrorKind};
use super::facts::Typed;
use super::functionalize::{Names, Owner, add};
use super::graph::{Builder, insert};
use crate::schema::{self, Argument, Node};

/// The arguments of a higher-order operator by what they are.
struct Parts<'a> {
    graphs: Vec<&'a schema::Graph>,
    /// Lists of operands, in order.
    lists: Vec<Vec<&'a str>>,
}

fn parts<'a>(node: &'a Node, skip: usize) -> Result<Parts<'a>, ImportErrorKind> {
    let mut parts = Parts { graphs: Vec::new(), lists: Vec::new() };
    for input in node.inputs.iter().skip(skip) {
        match &input.arg {
            Argument::AsGraph(inner) => parts.graphs.push(&inner.graph),
            Argument::AsTensors(tensors) => parts.lists.push(tensors.iter().map(|t| t.name.as_str()).collect()),
            // An empty list has the type of any.
            Argument::AsInts(list) if list.is_empty() => parts.lists.push(Vec::new()),
            other => {
                return Err(ImportErrorKind::unsupported(
                    format!("an operand of kind {} of control flow", other.tag()),
                    "pass tensors only",
                ));
            }
        }
    }
    Ok(parts)
}

impl Builder<'_> {
    /// Imports a higher-order operator.
    pub(super) fn control(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        node: &Node,
        op: &str,
        location: LocationId,
    ) -> Result<(), ImportError> {
        let malformed = || ImportErrorKind::argument("operands", "are not what the operator takes");
        let results = self.results(source, node)?;
        if op == "higher_order.associative_scan" {
            return self.associative_scan(names, node, results, location);
        }
        let facts: Vec<Fact> = results.iter().map(|(_, typed)| typed.fact.clone()).collect();
        let (name, args) = match op {
            "higher_order.cond" => {
                let pred = node.inputs.first().ok_or_else(malformed)?;
                let pred = match &pred.arg {
                    Argument::AsTensor(tensor) => {
                        let value = self.read(names, &tensor.name, location)?;
                        let fact = self.graph.fact(value).cloned().ok_or_else(malformed)?;
                        self.convert(value, &fact, &fact.with_dtype(DType::Bool), location)?
                    }
                    number => self.number_value(source, names, number, DType::Bool, location)?,
                };
                let parts = parts(node, 1)?;
                let ([then, otherwise], [operands]) = (parts.graphs.as_slice(), parts.lists.as_slice()) else {
                    return Err(malformed().into());
                };
                let operands = self.operands(names, operands, location)?;
                let (then, otherwise) = (self.own(then)?, self.own(otherwise)?);
                ("prim.cond", vec![Arg::Tensor(pred), then, otherwise, operands])
            }
            "higher_order.while_loop" => {
                let parts = parts(node, 0)?;
                let ([condition, body], [carried, captured]) = (parts.graphs.as_slice(), parts.lists.as_slice()) else {
                    return Err(malformed().into());
                };
                let (carried, captured) =
                    (self.operands(names, carried, location)?, self.operands(names, captured, location)?);
                ("prim.while", vec![self.own(condition)?, self.own(body)?, carried, captured])
            }
            "higher_order.scan" | "higher_order.map_impl" => {
                let parts = parts(node, 0)?;
                let (body, carried, scanned, captured) = match (parts.graphs.as_slice(), parts.lists.as_slice()) {
                    ([body], [carried, scanned, captured]) => (body, carried.as_slice(), scanned, captured),
                    ([body], [scanned, captured]) => (body, &[][..], scanned, captured),
                    _ => return Err(malformed().into()),
                };
                let sized = scanned.first().and_then(|name| names.get(*name));
                let size = sized.and_then(|view| view.typed.fact.shape.first()).cloned().ok_or_else(malformed)?;
                let lists = [carried, scanned, captured];
                let mut args = vec![self.own(body)?];
                for list in lists {
                    args.push(self.operands(names, list, location)?);
                }
                args.extend([Arg::Int(size), Arg::Bool(false)]);
                ("prim.loop", args)
            }
            _ => {
                return Err(ImportErrorKind::unsupported(
                    format!("the higher-order operator {}", op.trim_start_matches("higher_order.")),
                    "write it with cond, while_loop, scan or map",
                )
                .into());
            }
        };
        let id = self.graph.add_call(name, args, &super::graph::node_name(node), facts, location);
        let id = id.map_err(|error| ImportErrorKind::Undefined { name: error.to_string() })?;
        self.shared.bound.extend(results.iter().flat_map(|(_, t)| &t.fact.shape).flat_map(Dim::symbols));
        for (index, (result, typed)) in results.into_iter().enumerate() {
            let value = ValueId { node: id, index: index as u32 };
            let view = self.memories.allocate(value, typed, Owner::Intermediate);
            if let Some(result) = result {
                insert(names, &result, view)?;
            }
        }
        Ok(())
    }

    /// Every result begins with the first element of its operand; each next one is the body of the last and the next
    /// element. The order of the combinations is free, and this one needs the fewest.
    fn associative_scan(
        &mut self,
        names: &mut Names,
        node: &Node,
        results: Vec<(Option<String>, Typed)>,
        location: LocationId,
    ) -> Result<(), ImportError> {
        let malformed = || ImportErrorKind::argument("operands", "are not what the operator takes");
        let parts = parts(node, 0)?;
        let ([body], [scanned, captured @ ..]) = (parts.graphs.as_slice(), parts.lists.as_slice()) else {
            return Err(malformed().into());
        };
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        let mut size = None;
        for name in scanned {
            let x = self.read(names, name, location)?;
            let fact = self.graph.fact(x).cloned().ok_or_else(malformed)?;
            let (n, element) = fact.shape.split_first().ok_or_else(malformed)?;
            let (n, element) = (n.clone(), Fact::new(fact.dtype, element.to_vec()));
            let others = Fact::new(fact.dtype, [&[&n - 1], element.shape.as_slice()].concat());
            let at = |i: &Dim| Arg::Int(i.clone());
            let args = vec![Arg::Tensor(x), at(&Dim::ZERO), at(&Dim::ZERO)];
            first.push(add(&mut self.graph, "aten.select.int", args, "first", element, location)?);
            let args = vec![Arg::Tensor(x), at(&Dim::ZERO), at(&Dim::ONE), at(&n), at(&Dim::ONE)];
            rest.push(add(&mut self.graph, "aten.slice.Tensor", args, "rest", others, location)?);
            size = Some(n);
        }
        let size = size.ok_or_else(malformed)?;
        let mut body = self.own_graph(body)?;
        let outputs: Vec<ValueId> = body.output_values().collect();
        if outputs.len() != first.len() || results.len() != first.len() {
            return Err(malformed().into());
        }
        for value in outputs {
            let kept = copy(&mut body, value)?;
            body.outputs.push(Arg::Tensor(kept));
        }
        let list = |values: &[ValueId]| Arg::Tensors(values.iter().map(|v| Some(*v)).collect());
        let captured = self.operands(names, &captured.concat(), location)?;
        let args = vec![
            Arg::Graph(Arc::new(body)),
            list(&first),
            list(&rest),
            captured,
            Arg::Int(&size - 1),
            Arg::Bool(false),
        ];
        let facts = |values: &[ValueId]| values.iter().filter_map(|v| self.graph.fact(*v).cloned()).collect::<Vec<_>>();
        let facts = [facts(&first), facts(&rest)].concat();
        let id = self.graph.add_call("prim.loop", args, &super::graph::node_name(node), facts, location);
        let id = id.map_err(|error| ImportErrorKind::Undefined { name: error.to_string() })?;
        for (i, (head, (result, typed))) in first.iter().zip(results).enumerate() {
            let shape = [&[Dim::ONE], typed.fact.shape.get(1..).unwrap_or_default()].concat();
            let args = vec![Arg::Tensor(*head), Arg::Int(Dim::ZERO)];
            let fact = Fact::new(typed.fact.dtype, shape);
            let head = add(&mut self.graph, "aten.unsqueeze.default", args, "first", fact, location)?;
            let tail = ValueId { node: id, index: (first.len() + i) as u32 };
            let args = vec![list(&[head, tail]), Arg::Int(Dim::ZERO)];
            let whole = add(&mut self.graph, "aten.cat.default", args, "scanned", typed.fact.clone(), location)?;
            let view = self.memories.allocate(whole, typed, Owner::Intermediate);
            if let Some(result) = result {
                insert(names, &result, view)?;
            }
        }
        Ok(())
    }

    fn operands(&mut self, names: &mut Names, list: &[&str], location: LocationId) -> Result<Arg, ImportErrorKind> {
        let values = list.iter().map(|name| self.read(names, name, location).map(Some));
        values.collect::<Result<Vec<_>, _>>().map(Arg::Tensors)
    }

    /// A body that returns tensors, none of them one that it takes.
    fn own(&mut self, source: &schema::Graph) -> Result<Arg, ImportError> {
        self.own_graph(source).map(|graph| Arg::Graph(Arc::new(graph)))
    }

    fn own_graph(&mut self, source: &schema::Graph) -> Result<Graph, ImportError> {
        let mut graph = self.body(source)?;
        own_results(&mut graph)?;
        Ok(graph)
    }
}

/// Makes the outputs of a body tensors that are computed in it, each once.
///
/// # Errors
/// Outputs that are neither tensors nor integers.
pub(super) fn own_results(graph: &mut Graph) -> Result<(), ImportErrorKind> {
    let outputs = std::mem::take(&mut graph.outputs);
    let mut own: Vec<Arg> = Vec::with_capacity(outputs.len());
    for output in outputs {
        own.push(match output {
            Arg::Tensor(value) => {
                let taken = graph.inputs().any(|input| input == value) || own.contains(&Arg::Tensor(value));
                Arg::Tensor(if taken { copy(graph, value)? } else { value })
            }
            Arg::Int(dim) => Arg::Tensor(integer(graph, dim)?),
            other => {
                return Err(ImportErrorKind::unsupported(
                    format!("a body of control flow that returns {other:?}"),
                    "return tensors",
                ));
            }
        });
    }
    graph.outputs = own;
    Ok(())
}

fn copy(graph: &mut Graph, value: ValueId) -> Result<ValueId, ImportErrorKind> {
    let fact = graph.fact(value).cloned().ok_or_else(|| ImportErrorKind::Undefined { name: "a result".into() })?;
    let args = vec![Arg::Tensor(value), Arg::None];
    add(graph, "aten.clone.default", args, "result", fact, LocationId::UNKNOWN)
}

fn integer(graph: &mut Graph, dim: Dim) -> Result<ValueId, ImportErrorKind> {
    let args = vec![Arg::Int(dim), Arg::DType(DType::I64), Arg::None, Arg::None, Arg::None];
    let fact = Fact::new(DType::I64, Vec::<Dim>::new());
    add(graph, "aten.scalar_tensor.default", args, "number", fact, LocationId::UNKNOWN)
}
