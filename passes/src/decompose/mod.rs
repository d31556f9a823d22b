//! `decompose`: every PyTorch operator as primitives. One file per family of the operator table.
//!
//! A decomposition sees only the [`Builder`], so the same code expands a graph in a straight line
//! ([`decompose_program`]) and adds alternatives to the e-graph.

mod activation;
mod assert;
mod attention;
mod binary;
mod compare;
mod composite;
mod conv;
mod conv_transpose;
mod creation;
mod dft;
mod distance;
mod dtype;
mod dynamic;
mod einsum;
mod embedding_bag;
mod fft;
mod grid;
mod index;
mod linear;
mod loss;
mod movement;
mod norm;
mod pool;
mod quantized;
mod random;
mod reduction;
mod resample;
mod rnn;
mod scan;
mod scatter;
mod softmax;
mod sort;
mod statistics;
mod stft;
mod ternary;
mod unary;

pub use pt2c_ops::{Build, Builder, Decomposition, Val, int, int_list, tensor_list};

use pt2c_ops::formula::common;

use indexmap::IndexMap;
use pt2c_ir::dim::Scope;
use pt2c_ir::{Arg, Diagnostic, Fact, Graph, LocationId, Node, NodeKind, Program, ValueId};
use pt2c_ops::movement::movement_of;
use pt2c_ops::{Call, OpError, has_effect, infer, lookup};
use std::sync::{Arc, OnceLock};

/// All families, one a line; views, slices and joins follow their plans, formulas themselves in the operator table.
#[rustfmt::skip]
const FAMILIES: &[&[(&str, Decomposition)]] = &[
    activation::TABLE,
    assert::TABLE,
    attention::TABLE,
    binary::TABLE,
    compare::TABLE,
    composite::TABLE,
    conv::TABLE,
    creation::TABLE,
    distance::TABLE,
    dtype::TABLE,
    dynamic::TABLE,
    einsum::TABLE,
    embedding_bag::TABLE,
    fft::TABLE,
    grid::TABLE,
    index::TABLE,
    linear::TABLE,
    loss::TABLE,
    norm::TABLE,
    pool::TABLE,
    quantized::TABLE,
    random::TABLE,
    reduction::TABLE,
    resample::TABLE,
    rnn::TABLE,
    scan::TABLE,
    scatter::TABLE,
    softmax::TABLE,
    sort::TABLE,
    statistics::TABLE,
    stft::TABLE,
    ternary::TABLE,
    unary::TABLE,
];

/// How deep decompositions may go through other PyTorch operators: far more than any does.
pub(crate) const MAX_DEPTH: usize = 64;

/// The decomposition of an operator by full name.
pub fn decomposition_of(op: &str) -> Option<Decomposition> {
    static TABLE: OnceLock<IndexMap<&'static str, Decomposition>> = OnceLock::new();
    let table = TABLE.get_or_init(|| FAMILIES.iter().flat_map(|f| f.iter().copied()).collect());
    let movement = || movement_of(op).map(|_| movement::decompose as Decomposition);
    let formula = || lookup(op).and_then(|o| o.def.formula);
    table.get(op).copied().or_else(movement).or_else(formula)
}

/// Whether lowering understands an operator, so that it stays as it is.
pub fn is_primitive(op: &str) -> bool {
    op.starts_with("prim.")
}

/// Straight-line expansion: replaces every call by its decomposition until only primitives remain. Precondition: a
/// verified program. Operators without decomposition are errors that name the node.
pub fn decompose_program(program: &Program) -> Result<Program, Diagnostic> {
    let graph = decompose_graph(&program.graph, &program.scope).map_err(|failure| {
        let location = program.locations.get(failure.location);
        Diagnostic::error(failure.error.to_string())
            .at(location)
            .about(format!("node \"{}\" ({})", failure.node, failure.op))
    })?;
    Ok(Program { graph, ..program.clone() })
}

/// Which node could not be decomposed, and why.
pub(crate) struct Failure {
    pub(crate) node: String,
    pub(crate) op: String,
    pub(crate) location: LocationId,
    pub(crate) error: OpError,
}

pub(crate) fn decompose_graph(graph: &Graph, scope: &Scope) -> Result<Graph, Failure> {
    let mut build = GraphBuild {
        graph: Graph::new(),
        scope,
        values: Vec::new(),
        name: String::new(),
        location: LocationId::UNKNOWN,
        depth: 0,
    };
    let mut map: IndexMap<ValueId, Val> = IndexMap::new();
    for (id, node) in graph.nodes() {
        build.name.clone_from(&node.name);
        build.location = node.location;
        let outputs = decompose_node(&mut build, node, &map).map_err(|error| Failure {
            node: node.name.clone(),
            op: node.op().unwrap_or("input").to_string(),
            location: node.location,
            error,
        })?;
        map.extend(graph.values(id).zip(outputs));
    }
    let mut result = build.graph;
    let outputs: Result<Vec<Arg>, OpError> =
        graph.outputs.iter().map(|a| a.try_map(|v| value_of(&build.values, *lookup_val(&map, v)?))).collect();
    result.outputs = outputs.map_err(|error| Failure {
        node: "output".into(),
        op: "output".into(),
        location: LocationId::UNKNOWN,
        error,
    })?;
    result.remove_dead(has_effect);
    Ok(result)
}

fn decompose_node(build: &mut GraphBuild<'_>, node: &Node, map: &IndexMap<ValueId, Val>) -> Result<Vec<Val>, OpError> {
    match &node.kind {
        NodeKind::Input | NodeKind::Tensor(_) => {
            let fact = node.outputs.first().cloned().ok_or_else(|| OpError::invalid("a node without a value"))?;
            let value = match &node.kind {
                NodeKind::Tensor(tensor) => build.graph.add_tensor(tensor, &node.name, fact),
                _ => build.graph.add_input(&node.name, fact),
            };
            Ok(vec![build.value(value)])
        }
        NodeKind::Call { op, args } => {
            let args =
                args.iter().map(|a| a.try_map(|v| lookup_val(map, v).copied())).collect::<Result<Vec<_>, _>>()?;
            if is_primitive(op) {
                // The facts are kept: they may name symbols that this node binds.
                let args = args.into_iter().map(|a| build.with_decomposed_body(a)).collect::<Result<Vec<_>, _>>()?;
                build.append(op, args, node.outputs.clone())
            } else {
                build.expand(op, args, node.outputs.clone())
            }
        }
    }
}

fn lookup_val<'m>(map: &'m IndexMap<ValueId, Val>, v: &ValueId) -> Result<&'m Val, OpError> {
    map.get(v).ok_or_else(|| OpError::invalid("an operand has no value: the graph is out of order"))
}

fn value_of(values: &[ValueId], v: Val) -> Result<ValueId, OpError> {
    values.get(v.0 as usize).copied().ok_or_else(|| OpError::invalid("no such value"))
}

/// Expansion into a graph: every call that is not a primitive is decomposed at once.
struct GraphBuild<'a> {
    graph: Graph,
    scope: &'a Scope,
    values: Vec<ValueId>,
    /// Name and place of the node being decomposed.
    name: String,
    location: LocationId,
    depth: usize,
}

impl GraphBuild<'_> {
    fn value(&mut self, value: ValueId) -> Val {
        self.values.push(value);
        Val(self.values.len() as u32 - 1)
    }

    fn append(&mut self, op: &str, args: Vec<Arg<Val>>, facts: Vec<Fact>) -> Result<Vec<Val>, OpError> {
        let args = args.iter().map(|a| a.try_map(|v| value_of(&self.values, *v))).collect::<Result<Vec<_>, _>>()?;
        let node = self
            .graph
            .add_call(op, args, &self.name, facts, self.location)
            .map_err(|e| OpError::Invalid(e.to_string()))?;
        Ok(self.graph.values(node).map(|v| self.value(v)).collect())
    }

    /// Decomposes a call whose results the program states to be of these types.
    fn expand(&mut self, op: &str, args: Vec<Arg<Val>>, stated: Vec<Fact>) -> Result<Vec<Val>, OpError> {
        let known = lookup(op).ok_or_else(|| OpError::UnknownOperator(op.to_string()))?;
        let decomposition = decomposition_of(op)
            .ok_or_else(|| OpError::Unsupported(format!("`{op}` has no decomposition into primitives")))?;
        if self.depth >= MAX_DEPTH {
            return Err(OpError::Invalid(format!("the decomposition of `{op}` does not end")));
        }
        self.depth += 1;
        let scope = self.scope;
        let result = decomposition(&mut Builder::of_call(self, stated), &Call { op: known, args: &args, scope });
        self.depth -= 1;
        result
    }

    /// Bodies of control flow and regions are decomposed too.
    fn with_decomposed_body(&self, arg: Arg<Val>) -> Result<Arg<Val>, OpError> {
        match arg {
            Arg::Graph(body) => match decompose_graph(&body, self.scope) {
                Ok(body) => Ok(Arg::Graph(Arc::new(body))),
                Err(f) => Err(OpError::Invalid(format!("in node \"{}\" ({}) of its body: {}", f.node, f.op, f.error))),
            },
            other => Ok(other),
        }
    }
}

impl Build for GraphBuild<'_> {
    fn call(&mut self, op: &str, args: Vec<Arg<Val>>) -> Result<Vec<Val>, OpError> {
        if is_primitive(op) {
            let facts: Vec<Arg<Fact>> = args.iter().map(|a| a.map(|&v| self.fact(v))).collect();
            let facts = infer(op, &facts, self.scope)?;
            return self.append(op, args, facts);
        }
        self.expand(op, args, Vec::new())
    }

    fn fact(&self, v: Val) -> Fact {
        let value = self.values.get(v.0 as usize);
        // A handle of another builder reads as an empty tensor.
        value.and_then(|v| self.graph.fact(*v)).cloned().unwrap_or_else(|| Fact::of(pt2c_ir::DType::Bool, &[0]))
    }

    fn scope(&self) -> &Scope {
        self.scope
    }
}
