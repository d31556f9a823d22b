//! The structural verifier: everything about a program that can be checked without knowing what operators mean.
//!
//! [`verify`] lists everything it finds, not only the first:
//! * nodes: names are unique, inputs and tensors are one value, locations are in the table;
//! * operands exist in the graph and are computed before their use, graph outputs exist;
//! * facts: sizes are not negative, orders fit ranks, symbols are bound by an input or by a node that finds them out;
//! * tensors: nodes name tensors of the program and agree with their types, types are static, data fits them;
//! * the signature: as many tensor inputs and outputs as the graph has, mutations name buffers and tensor inputs and
//!   keep their types, trees have as many leaves as there are inputs and outputs;
//! * constraints speak of bound symbols;
//! * subgraphs in arguments: the same, with no tensors of the program in them.
//!
//! That calls fit their operators is checked by `pt2c_ops::verify`.

use crate::dim::{Dim, Proof, Scope, Symbol};
use crate::{
    Arg, Diagnostic, Fact, Graph, InputKind, LocationId, Node, NodeId, NodeKind, OutputKind, Program, TensorRole,
};
use std::collections::BTreeSet;

/// Everything that is wrong with the structure of a program, in the order of its text.
pub fn verify(program: &Program) -> Vec<Diagnostic> {
    let mut verifier = Verifier { program, found: Vec::new(), bound: bound_symbols(program) };
    verifier.tensors();
    verifier.signature();
    verifier.graph(&program.graph, true);
    verifier.constraints();
    verifier.found
}

/// Findings as one error that lists them all; `phase` is what made the program.
///
/// # Errors
/// If there are any.
pub fn as_error(found: Vec<Diagnostic>, phase: &str) -> Result<(), Diagnostic> {
    let count = match found.len() {
        0 => return Ok(()),
        1 => "one thing".to_string(),
        n => format!("{n} things"),
    };
    let mut all = Diagnostic::error(format!("after `{phase}` the program is malformed: {count} found"));
    all.location = found.first().and_then(|d| d.location.clone());
    for one in found {
        let mut note = one.message;
        if let Some(subject) = one.subject {
            note = format!("{subject}: {note}");
        }
        if let Some(l) = one.location {
            note = format!("{note} ({}:{})", l.file, l.line);
        }
        all = all.note(note);
    }
    Err(all)
}

/// A diagnostic about a node.
pub fn about_node(program: &Program, node: &Node, message: impl Into<String>) -> Diagnostic {
    let what = match &node.kind {
        NodeKind::Input => "input".to_string(),
        NodeKind::Tensor(name) => format!("tensor \"{name}\""),
        NodeKind::Call { op, .. } => op.clone(),
    };
    Diagnostic::error(message).about(format!("node `{}` ({what})", node.name)).at(program.locations.get(node.location))
}

/// Whether two types are proven to differ, and how.
pub fn difference(scope: &Scope, a: &Fact, b: &Fact) -> Option<String> {
    if a.dtype != b.dtype {
        return Some(format!("{} is not {}", a.dtype, b.dtype));
    }
    if a.rank() != b.rank() {
        return Some(format!("{} dimensions are not {}", a.rank(), b.rank()));
    }
    let differs = |(_, (x, y)): &(usize, (&Dim, &Dim))| x != y && scope.prove_eq(x, y) == Proof::No;
    let (d, (x, y)) = a.shape.iter().zip(&b.shape).enumerate().find(differs)?;
    Some(format!("size {d} is {x}, not {y}"))
}

/// Symbols that the caller's inputs give values.
fn bound_symbols(program: &Program) -> BTreeSet<Symbol> {
    let mut bound = BTreeSet::new();
    for input in &program.signature.inputs {
        if let InputKind::SymInt(s) = &input.kind {
            bound.insert(s.clone());
        }
    }
    for v in program.graph.inputs() {
        if let Some(fact) = program.graph.fact(v) {
            bound.extend(fact.shape.iter().flat_map(Dim::symbols));
        }
    }
    bound
}

struct Verifier<'p> {
    program: &'p Program,
    found: Vec<Diagnostic>,
    bound: BTreeSet<Symbol>,
}

impl Verifier<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    fn node(&mut self, node: &Node, message: impl Into<String>) {
        let diagnostic = about_node(self.program, node, message);
        self.report(diagnostic);
    }

    fn tensors(&mut self) {
        for (name, entry) in &self.program.tensors {
            let about = format!("tensor \"{name}\"");
            let Some(shape) = entry.fact.static_shape() else {
                self.report(Diagnostic::error(format!("its type {} is not static", entry.fact)).about(about));
                continue;
            };
            let Some(data) = &entry.data else { continue };
            let sizes: Vec<Option<i64>> = data.sizes().iter().map(|&n| i64::try_from(n).ok()).collect();
            if data.dtype() != entry.fact.dtype || sizes != shape.into_iter().map(Some).collect::<Vec<_>>() {
                let held = format!("its data is {}{:?}, its type {}", data.dtype(), data.sizes(), entry.fact);
                self.report(Diagnostic::error(held).about(about));
            }
        }
    }

    fn signature(&mut self) {
        let program = self.program;
        let (signature, graph) = (&program.signature, &program.graph);
        let tensors = signature.inputs.iter().filter(|i| i.kind == InputKind::Tensor).count();
        if tensors != graph.inputs().len() {
            let count = graph.inputs().len();
            self.report(Diagnostic::error(format!("the signature has {tensors} tensor inputs, the graph {count}")));
        }
        if signature.outputs.len() != graph.outputs.len() {
            let (s, g) = (signature.outputs.len(), graph.outputs.len());
            self.report(Diagnostic::error(format!("the signature has {s} outputs, the graph {g}")));
        }
        let results = signature
            .outputs
            .iter()
            .filter(|o| !matches!(o.kind, OutputKind::BufferMutation(_) | OutputKind::InputMutation(_)))
            .count();
        for (what, tree, leaves) in
            [("input", &signature.input_tree, signature.inputs.len()), ("output", &signature.output_tree, results)]
        {
            if let Some(tree) = tree
                && tree.leaves() != leaves
            {
                let n = tree.leaves();
                self.report(Diagnostic::error(format!("the {what} tree has {n} leaves, there are {leaves} {what}s")));
            }
        }
        let mut mutated: Vec<&OutputKind> = Vec::new();
        for (i, output) in signature.outputs.iter().enumerate() {
            let about = format!("output {i} \"{}\"", output.name);
            let result = graph.outputs.get(i);
            let new = result.and_then(Arg::as_tensor).and_then(|v| graph.fact(*v));
            let old = match &output.kind {
                OutputKind::User | OutputKind::Loss => continue,
                OutputKind::BufferMutation(name) => match program.tensors.get(name) {
                    Some(entry) if entry.role != TensorRole::Parameter => Ok(&entry.fact),
                    Some(_) => Err(format!("it mutates \"{name}\", which is a parameter")),
                    None => Err(format!("it mutates the buffer \"{name}\", which does not exist")),
                },
                OutputKind::GradientOfParameter(name) => match program.tensors.get(name) {
                    Some(entry) => Ok(&entry.fact),
                    None => Err(format!("it is the gradient of \"{name}\", which does not exist")),
                },
                OutputKind::InputMutation(at) | OutputKind::GradientOfInput(at) => {
                    let found = program.tensor_inputs().find(|(i, _, _)| i == at);
                    found.map(|(_, _, fact)| fact).ok_or_else(|| format!("input {at} is no tensor input"))
                }
            };
            match (old, new) {
                (Err(message), _) => self.report(Diagnostic::error(message).about(about.clone())),
                (Ok(_), None) => {
                    self.report(Diagnostic::error("it must be a tensor of the graph").about(about.clone()));
                }
                (Ok(old), Some(new)) => {
                    if let Some(how) = difference(&program.scope, new, old) {
                        let message = format!("its value is {new}, what it replaces is {old}: {how}");
                        self.report(Diagnostic::error(message).about(about.clone()));
                    }
                }
            }
            if mutated.contains(&&output.kind) {
                self.report(Diagnostic::error("an earlier output has the same target").about(about));
            }
            mutated.push(&output.kind);
        }
    }

    fn constraints(&mut self) {
        for c in &self.program.constraints {
            let free: Vec<Symbol> = c.pred.symbols().into_iter().filter(|s| !self.is_bound(s)).collect();
            if let Some(symbol) = free.first() {
                let message = format!("`{}` speaks of `{symbol}`, which no input binds", c.pred);
                self.report(Diagnostic::error(message).about(format!("constraint \"{}\"", c.rule)));
            }
        }
    }

    fn is_bound(&self, symbol: &Symbol) -> bool {
        symbol.is_unbacked() || self.bound.contains(symbol)
    }

    fn symbols(&mut self, node: &Node, what: &str, dims: &[&Dim]) {
        let all: BTreeSet<Symbol> = dims.iter().flat_map(|d| d.symbols()).collect();
        for symbol in all {
            if !self.is_bound(&symbol) {
                self.node(node, format!("{what} speaks of `{symbol}`, which no input binds"));
            }
        }
    }

    fn graph(&mut self, graph: &Graph, is_program: bool) {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        let inputs: BTreeSet<NodeId> = graph.inputs().map(|v| v.node).collect();
        for (at, (id, node)) in graph.nodes().enumerate() {
            if !names.insert(&node.name) {
                self.node(node, "another node has the same name");
            }
            if node.location != LocationId::UNKNOWN && self.program.locations.get(node.location).is_none() {
                self.node(node, "its location is not in the table");
            }
            match &node.kind {
                NodeKind::Input => {
                    if !inputs.contains(&id) {
                        self.node(node, "it is not among the graph's inputs");
                    }
                    if node.outputs.len() != 1 {
                        self.node(node, format!("an input is one value, this one is {}", node.outputs.len()));
                    }
                }
                NodeKind::Tensor(name) => self.tensor_node(node, name, is_program),
                NodeKind::Call { .. } => self.call(graph, at, node),
            }
            for fact in &node.outputs {
                self.fact(node, fact);
            }
        }
        for v in graph.output_values() {
            if graph.fact(v).is_none() {
                self.report(Diagnostic::error("the graph returns a value that does not exist in it"));
            }
        }
    }

    fn call(&mut self, graph: &Graph, at: usize, node: &Node) {
        for operand in node.operands() {
            if graph.fact(operand).is_none() {
                self.node(node, "an operand does not exist in the graph");
            } else if graph.position(operand.node).is_none_or(|p| p >= at) {
                self.node(node, format!("operand `%{}` is computed after its use", graph.value_name(operand)));
            }
        }
        for arg in node.args() {
            match arg {
                Arg::Int(d) => self.symbols(node, "an argument", &[d]),
                Arg::Ints(ds) => self.symbols(node, "an argument", &ds.iter().collect::<Vec<_>>()),
                Arg::Graph(body) => self.graph(body, false),
                _ => {}
            }
        }
    }

    fn tensor_node(&mut self, node: &Node, name: &str, is_program: bool) {
        if !is_program {
            return self.node(node, "a subgraph reads a tensor of the program");
        }
        let Some(entry) = self.program.tensors.get(name) else {
            return self.node(node, format!("the program has no tensor \"{name}\""));
        };
        match node.outputs.as_slice() {
            [fact] => {
                if let Some(how) = difference(&self.program.scope, fact, &entry.fact) {
                    self.node(node, format!("its type is {fact}, the tensor's {}: {how}", entry.fact));
                }
            }
            facts => self.node(node, format!("a tensor is one value, this one is {}", facts.len())),
        }
    }

    fn fact(&mut self, node: &Node, fact: &Fact) {
        for (d, size) in fact.shape.iter().enumerate() {
            if self.program.scope.prove_lt(size, &Dim::ZERO).is_yes() {
                self.node(node, format!("size {d} of {fact} is negative"));
            }
            // A size that is a new symbol by itself is found out by the node.
            if let Some(symbol) = size.as_symbol()
                && matches!(node.kind, NodeKind::Call { .. })
                && !self.is_bound(symbol)
            {
                self.bound.insert(symbol.clone());
            }
        }
        self.symbols(node, &format!("its type {fact}"), &fact.shape.iter().collect::<Vec<_>>());
        let dims = fact.order.dims(fact.rank());
        if !fact.order.is_row_major() && fact.order != crate::DimOrder::new(&dims).unwrap_or_default() {
            self.node(node, format!("the order of {fact} does not fit its rank"));
        }
    }
}
