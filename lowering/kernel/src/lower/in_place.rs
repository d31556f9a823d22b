//! Buffers of the module and inputs that a call changes by writing some of their elements (a cache by `index_copy` or a
//! slice): written where they are instead of copied, where that is safe.
//!
//! A value may take the memory of the one it is made from if nothing reads that one later. A chain of such values from
//! the state to what it becomes takes the state's memory. Programs with sizes that data decide are left alone: a call
//! that fails because a result has no room must leave the state as it was.

use crate::{Body, Carried, Expr, Kernel, Stmt};
use pt2c_ir::{Arg, Graph, InputKind, Node, NodeId, NodeKind, OutputKind, Program, ValueId};
use std::collections::BTreeMap;

/// For the value before the call of everything that is changed in place: the values that take its memory.
pub fn find(program: &Program) -> BTreeMap<ValueId, Vec<ValueId>> {
    let graph = &program.graph;
    let mut found = BTreeMap::new();
    if graph.nodes().any(|(_, n)| n.op() == Some("prim.bind")) {
        return found;
    }
    for (spec, arg) in program.signature.outputs.iter().zip(&graph.outputs) {
        let old = match &spec.kind {
            OutputKind::BufferMutation(name) => tensor(graph, name),
            OutputKind::InputMutation(input) => tensor_input(program, *input),
            _ => None,
        };
        if let (Some(old), Arg::Tensor(new)) = (old, arg)
            && let Some(chain) = chain(graph, old, *new)
        {
            found.insert(old, chain);
        }
    }
    found
}

fn tensor(graph: &Graph, name: &str) -> Option<ValueId> {
    let mut nodes = graph.nodes().filter(|(_, n)| matches!(&n.kind, NodeKind::Tensor(t) if t == name));
    match (nodes.next(), nodes.next()) {
        (Some((node, _)), None) => Some(ValueId { node, index: 0 }),
        _ => None,
    }
}

fn tensor_input(program: &Program, input: usize) -> Option<ValueId> {
    let specs = program.signature.inputs.iter().take(input + 1);
    let before = specs.filter(|s| s.kind == InputKind::Tensor).count();
    program.graph.inputs().nth(before.checked_sub(1)?)
}

/// The values from `old` to `new`, each made from the one before by writing some of its elements.
fn chain(graph: &Graph, old: ValueId, new: ValueId) -> Option<Vec<ValueId>> {
    let mut values = Vec::new();
    let mut at = new;
    while at != old {
        values.push(at);
        let from = written(graph, at.node)?;
        let (a, b) = (graph.fact(at)?, graph.fact(from)?);
        let own = a.order.is_row_major() && b.order.is_row_major() && a.dtype == b.dtype && a.shape == b.shape;
        let place = graph.position(at.node)?;
        let later = graph.users(from.node).into_iter().any(|u| u != at.node && graph.position(u) > Some(place));
        if !own || later || graph.output_values().any(|o| o == from) {
            return None;
        }
        at = from;
    }
    (!values.is_empty()).then_some(values)
}

/// The operand of a region that only copies it and writes some of its elements.
fn written(graph: &Graph, region: NodeId) -> Option<ValueId> {
    let (operands, body) = region_of(graph.node(region))?;
    let root = root(body)?;
    let base = base(body, root)?;
    let mut operand = None;
    for (input, value) in body.inputs().zip(operands) {
        if input == base {
            operand = *value;
        }
    }
    let operand = operand?;
    let once = operands.iter().filter(|v| **v == Some(operand)).count() == 1;
    once.then_some(operand)
}

fn region_of(node: &Node) -> Option<(&[Option<ValueId>], &Graph)> {
    match (node.op(), node.args()) {
        (Some("prim.region"), [Arg::Tensors(operands), Arg::Graph(body), _]) => Some((operands, body)),
        _ => None,
    }
}

/// The node of a body that writes into its first operand, if that is all that the body gives.
pub fn root(body: &Graph) -> Option<NodeId> {
    let [Arg::Tensor(result)] = body.outputs.as_slice() else { return None };
    let op = body.node(result.node).op()?;
    matches!(op, "prim.scatter" | "prim.index_put" | "prim.update_slice").then_some(result.node)
}

/// The input of a body that its root writes into and that nothing else in it reads.
fn base(body: &Graph, root: NodeId) -> Option<ValueId> {
    let base = *body.node(root).args().first()?.as_tensor()?;
    let input = body.inputs().any(|i| i == base);
    let only = body.users(base.node) == [root] && body.node(root).operands().filter(|o| *o == base).count() == 1;
    (input && only).then_some(base)
}

/// The kernel without a parameter that it does not use; `None` if it uses it or is of another kind.
pub fn without_param(kernel: &Kernel, param: usize) -> Option<Kernel> {
    let mut kernel = kernel.clone();
    let Body::Loops(stmts) = &mut kernel.body else { return None };
    let mut renumber = Renumber { gone: param, used: false };
    renumber.stmts(stmts);
    if renumber.used || param >= kernel.params.len() {
        return None;
    }
    kernel.params.remove(param);
    Some(kernel)
}

struct Renumber {
    gone: usize,
    used: bool,
}

impl Renumber {
    fn param(&mut self, param: &mut usize) {
        self.used |= *param == self.gone;
        if *param > self.gone {
            *param -= 1;
        }
    }

    fn stmts(&mut self, stmts: &mut [Stmt]) {
        for stmt in stmts {
            match stmt {
                Stmt::Let { value, .. } | Stmt::Index { value, .. } => self.expr(value),
                Stmt::Store { param, value, .. } => {
                    self.param(param);
                    self.expr(value);
                }
                Stmt::For(f) => {
                    for Carried { init, next, .. } in &mut f.carried {
                        self.expr(init);
                        self.expr(next);
                    }
                    self.stmts(&mut f.body);
                }
                Stmt::If { condition, then } => {
                    self.expr(condition);
                    self.stmts(then);
                }
                Stmt::Check { condition, value, .. } => {
                    self.expr(condition);
                    value.iter_mut().for_each(|v| self.expr(v));
                }
            }
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Load { param, .. } => self.param(param),
            Expr::Guarded { condition, value, other } => {
                [condition, value, other].into_iter().for_each(|e| self.expr(e));
            }
            Expr::Select(a, b, c) => [a, b, c].into_iter().for_each(|e| self.expr(e)),
            Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => self.expr(a),
            Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => [a, b].into_iter().for_each(|e| self.expr(e)),
            Expr::Var(_) | Expr::Float(..) | Expr::Int(..) | Expr::Bool(_) | Expr::Index(_) => {}
        }
    }
}
