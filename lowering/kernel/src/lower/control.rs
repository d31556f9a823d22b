//! Control flow and binding of symbols: lists of steps.
//!
//! Bodies are lowered into lists of their own, over buffers of the same program. What a loop carries lives in one
//! buffer for each tensor; an iteration computes the next values beside them, then they are copied.

use super::{LowerError, Lowering, lower_region, nest};
use crate::{Body, Bound, BufferId, BufferKind, Kernel, Step, Stmt};
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{Arg, DType, Diagnostic, Fact, Graph, LocationId, Node, NodeId, ValueId};
use std::mem::replace;

/// What a body returns: the buffer of each tensor and its type.
type Results = Vec<(BufferId, Fact)>;

impl Lowering<'_> {
    /// A node that directs what runs.
    pub(super) fn control(&mut self, graph: &Graph, id: NodeId, node: &Node) -> Result<(), Diagnostic> {
        match (node.op(), node.args()) {
            (Some("prim.bind"), [Arg::Tensor(value), Arg::Int(symbol)]) => self.bind(node, *value, symbol),
            (
                Some("prim.cond"),
                [Arg::Tensor(pred), Arg::Graph(then), Arg::Graph(otherwise), Arg::Tensors(operands)],
            ) => {
                let pred = self.buffer(node, pred)?;
                let operands = self.buffer_list(node, operands)?;
                self.cond(graph, id, pred, [then, otherwise], &operands)
            }
            (
                Some("prim.while"),
                [Arg::Graph(condition), Arg::Graph(body), Arg::Tensors(carried), Arg::Tensors(captured)],
            ) => {
                let (carried, captured) = (self.buffer_list(node, carried)?, self.buffer_list(node, captured)?);
                self.repeat(graph, id, [condition, body], &carried, &captured)
            }
            (
                Some("prim.loop"),
                [
                    Arg::Graph(body),
                    Arg::Tensors(carried),
                    Arg::Tensors(scanned),
                    Arg::Tensors(captured),
                    Arg::Int(size),
                    Arg::Bool(reverse),
                ],
            ) => {
                let carried = self.buffer_list(node, carried)?;
                let facts: Option<Vec<Fact>> = scanned.iter().flatten().map(|v| graph.fact(*v).cloned()).collect();
                let facts = facts.ok_or_else(|| self.fail(node, LowerError::Malformed("an operand without a type")))?;
                let scanned = self.buffer_list(node, scanned)?.into_iter().zip(facts).collect::<Results>();
                let captured = self.buffer_list(node, captured)?;
                self.iterate(graph, id, body, (&carried, &scanned, &captured), size, *reverse)
            }
            _ => {
                let op = node.op().unwrap_or_default();
                Err(self.fail(node, LowerError::NotScalar { op: op.to_string() }))
            }
        }
    }

    fn buffer(&self, node: &Node, value: &ValueId) -> Result<BufferId, Diagnostic> {
        let known = self.buffers.get(value).copied();
        known.ok_or_else(|| self.fail(node, LowerError::Malformed("an operand without a buffer")))
    }

    fn buffer_list(&self, node: &Node, values: &[Option<ValueId>]) -> Result<Vec<BufferId>, Diagnostic> {
        values.iter().flatten().map(|v| self.buffer(node, v)).collect()
    }

    fn bind(&mut self, node: &Node, value: ValueId, symbol: &Dim) -> Result<(), Diagnostic> {
        let buffer = self.buffer(node, &value)?;
        let name = symbol.as_symbol().ok_or_else(|| self.fail(node, LowerError::Malformed("no symbol to bind")))?;
        if self.bound.insert(name.clone()) {
            self.steps.push(Step::Bind { symbol: name.clone(), value: Bound::Element(buffer) });
            return Ok(());
        }
        let internal = |e: pt2c_ir::GraphError| Diagnostic::error(e.to_string());
        let mut check = Graph::new();
        let one = |dtype| vec![Fact::new(dtype, Vec::<Dim>::new())];
        let x = check.add_input("value", Fact::new(DType::I64, Vec::<Dim>::new()));
        let at = LocationId::UNKNOWN;
        let args = vec![Arg::Int(symbol.clone()), Arg::DType(DType::I64)];
        let known = check.add_call("prim.constant", args, "known", one(DType::I64), at).map_err(internal)?;
        let args = vec![Arg::Tensor(x), Arg::Tensor(ValueId { node: known, index: 0 })];
        let same = check.add_call("prim.eq", args, "same", one(DType::Bool), at).map_err(internal)?;
        let message = format!("two sizes that the program calls {name} differ");
        let args = vec![Arg::Tensor(ValueId { node: same, index: 0 }), Arg::Str(message)];
        check.add_call("prim.assert", args, "check", Vec::new(), at).map_err(internal)?;
        let scope = self.result.scope.clone();
        for lowered in lower_region(&check, &node.name, &scope, &|_| false).map_err(|e| self.fail(node, e))? {
            self.call(lowered.kernel, vec![buffer], node.location);
        }
        Ok(())
    }

    /// Lowers a body over these buffers into a list of its own. Symbols that it binds are forgotten behind it.
    fn body(&mut self, body: &Graph, operands: &[BufferId]) -> Result<(Vec<Step>, Results), Diagnostic> {
        let outside = replace(&mut self.buffers, body.inputs().zip(operands.iter().copied()).collect());
        let steps = replace(&mut self.steps, Vec::new());
        let bound = self.bound.clone();
        let lowered = self.nodes(body);
        let results = body.output_values().map(|v| Some((*self.buffers.get(&v)?, body.fact(v)?.clone()))).collect();
        self.buffers = outside;
        self.bound = bound;
        let own = replace(&mut self.steps, steps);
        lowered?;
        let results: Option<Results> = results;
        Ok((own, results.ok_or_else(|| Diagnostic::error("a body returns what it does not compute"))?))
    }

    /// Appends what `write` does to a list.
    pub(super) fn append(
        &mut self,
        list: &mut Vec<Step>,
        write: impl FnOnce(&mut Self) -> Result<(), Diagnostic>,
    ) -> Result<(), Diagnostic> {
        std::mem::swap(list, &mut self.steps);
        let written = write(self);
        std::mem::swap(list, &mut self.steps);
        written
    }

    /// The buffers of a node's results, made where they have no place yet.
    fn result_buffers(&mut self, graph: &Graph, id: NodeId) -> Vec<BufferId> {
        let values: Vec<ValueId> = graph.values(id).collect();
        let mut buffers = Vec::with_capacity(values.len());
        for value in values {
            let fact = graph.fact(value).cloned().unwrap_or_else(|| Fact::of(DType::Bool, &[0]));
            let buffer = match self.buffers.get(&value) {
                Some(placed) => *placed,
                None => self.add_buffer(&graph.value_name(value), &fact, BufferKind::Arena(Dim::ZERO)),
            };
            self.buffers.insert(value, buffer);
            buffers.push(buffer);
        }
        buffers
    }

    fn cond(
        &mut self,
        graph: &Graph,
        id: NodeId,
        condition: BufferId,
        branches: [&Graph; 2],
        operands: &[BufferId],
    ) -> Result<(), Diagnostic> {
        let targets = self.result_buffers(graph, id);
        let facts: Vec<Fact> = graph.values(id).filter_map(|v| graph.fact(v).cloned()).collect();
        let mut lists = Vec::with_capacity(2);
        let mut found: Vec<Symbol> = Vec::new();
        for branch in branches {
            let (mut steps, results) = self.body(branch, operands)?;
            // Sizes that only the branch knows.
            let mut here = Vec::new();
            for (stated, (_, own)) in facts.iter().zip(&results) {
                for (size, value) in stated.shape.iter().zip(&own.shape) {
                    if let Some(symbol) = size.as_symbol()
                        && symbol.is_unbacked()
                        && !self.bound.contains(symbol)
                        && !here.contains(symbol)
                    {
                        here.push(symbol.clone());
                        steps.push(Step::Bind { symbol: symbol.clone(), value: Bound::Size(value.clone()) });
                    }
                }
            }
            found.extend(here);
            let copies: Vec<_> = results.into_iter().zip(targets.iter().copied()).collect();
            self.append(&mut steps, |s| copies.into_iter().try_for_each(|((from, fact), to)| s.copy(&fact, from, to)))?;
            lists.push(steps);
        }
        self.bound.extend(found);
        let (otherwise, then) = (lists.pop().unwrap_or_default(), lists.pop().unwrap_or_default());
        self.steps.push(Step::If { condition, then, otherwise });
        Ok(())
    }

    fn while_results(&mut self, graph: &Graph, id: NodeId, initial: &[BufferId]) -> Result<Vec<BufferId>, Diagnostic> {
        let targets = self.result_buffers(graph, id);
        let facts: Vec<Fact> = graph.values(id).filter_map(|v| graph.fact(v).cloned()).collect();
        for ((from, to), fact) in initial.iter().zip(&targets).zip(&facts) {
            self.copy(fact, *from, *to)?;
        }
        Ok(targets)
    }

    /// Copies what an iteration computed to where the next one reads it.
    fn advance(&mut self, steps: &mut Vec<Step>, next: Results, carried: &[BufferId]) -> Result<(), Diagnostic> {
        let mut copies = Vec::new();
        self.append(steps, |s| {
            for ((mut from, fact), &to) in next.into_iter().zip(carried) {
                if from == to {
                    continue;
                }
                if carried.contains(&from) {
                    // Exchanged with another: that one must not be overwritten first.
                    let aside = s.add_buffer("aside", &fact, BufferKind::Arena(Dim::ZERO));
                    s.copy(&fact, from, aside)?;
                    from = aside;
                }
                copies.push((fact, from, to));
            }
            copies.iter().try_for_each(|(fact, from, to)| s.copy(fact, *from, *to))
        })
    }

    fn repeat(
        &mut self,
        graph: &Graph,
        id: NodeId,
        bodies: [&Graph; 2],
        initial: &[BufferId],
        captured: &[BufferId],
    ) -> Result<(), Diagnostic> {
        let carried = self.while_results(graph, id, initial)?;
        let operands = [carried.as_slice(), captured].concat();
        let [condition, body] = bodies;
        let (before, holds) = self.body(condition, &operands)?;
        let holds = holds.first().map(|(buffer, _)| *buffer);
        let holds = holds.ok_or_else(|| Diagnostic::error("a loop without a condition"))?;
        let (mut steps, next) = self.body(body, &operands)?;
        self.advance(&mut steps, next, &carried)?;
        self.steps.push(Step::While { before, condition: holds, body: steps });
        Ok(())
    }

    /// A symbol for the number of an iteration.
    fn counter(&mut self) -> Symbol {
        let symbol = counter_in(&self.result.scope);
        self.result.scope.declare(symbol.clone(), Some(0), None);
        symbol
    }

    fn iterate(
        &mut self,
        graph: &Graph,
        id: NodeId,
        body: &Graph,
        (initial, scanned, captured): (&[BufferId], &[(BufferId, Fact)], &[BufferId]),
        size: &Dim,
        reverse: bool,
    ) -> Result<(), Diagnostic> {
        let internal = |e: LowerError| Diagnostic::error(e.to_string());
        let targets = self.while_results(graph, id, initial)?;
        let (carried, stacked) = targets.split_at(initial.len().min(targets.len()));
        let symbol = self.counter();
        let count = Dim::sym(symbol.clone());
        let at = if reverse { size - &count - Dim::ONE } else { count.clone() };
        let mut steps = Vec::new();
        let mut operands = carried.to_vec();
        for (from, fact) in scanned {
            let slice = slice(fact, &at)?;
            let own = Fact::new(fact.dtype, fact.shape.get(1..).unwrap_or(&[]).to_vec());
            let to = self.add_buffer("slice", &own, BufferKind::Arena(Dim::ZERO));
            let kernel = nest::lower(&slice, "slice", &self.result.scope).map_err(internal)?;
            self.append(&mut steps, |s| {
                s.call(kernel, vec![*from, to], LocationId::UNKNOWN);
                Ok(())
            })?;
            operands.push(to);
        }
        operands.extend(captured);
        let (own, mut results) = self.body(body, &operands)?;
        steps.extend(own);
        let slices = results.split_off(carried.len().min(results.len()));
        for ((from, fact), to) in slices.into_iter().zip(stacked) {
            let mut kernel = self.copy_kernel(&fact)?;
            kernel.name = "stack".to_string();
            shift(&mut kernel, 1, &(&at * &fact.numel()));
            self.append(&mut steps, |s| {
                s.call(kernel, vec![from, *to], LocationId::UNKNOWN);
                Ok(())
            })?;
        }
        self.advance(&mut steps, results, carried)?;
        self.times(symbol, size, steps)
    }

    /// Runs steps so many times; the symbol is the number of the iteration.
    pub(super) fn times(&mut self, symbol: Symbol, size: &Dim, mut steps: Vec<Step>) -> Result<(), Diagnostic> {
        let internal = |e: LowerError| Diagnostic::error(e.to_string());
        let count = Dim::sym(symbol.clone());
        self.steps.push(Step::Bind { symbol: symbol.clone(), value: Bound::Size(Dim::ZERO) });
        // Whether there is another iteration.
        let one = Fact::new(DType::Bool, Vec::<Dim>::new());
        let condition = self.add_buffer(&format!("{symbol}.more"), &one, BufferKind::Arena(Dim::ZERO));
        let mut before = Vec::new();
        let more = more(&count, size)?;
        let kernel = nest::lower(&more, "more", &self.result.scope).map_err(internal)?;
        self.append(&mut before, |s| {
            s.call(kernel, vec![condition], LocationId::UNKNOWN);
            Ok(())
        })?;
        steps.push(Step::Bind { symbol, value: Bound::Size(count + Dim::ONE) });
        self.steps.push(Step::While { before, condition, body: steps });
        Ok(())
    }
}

/// A name for the number of an iteration that the scope does not know yet.
pub(super) fn counter_in(scope: &Scope) -> Symbol {
    let number = |s: &Symbol| s.as_str().strip_prefix('u')?.parse::<u64>().ok();
    let last = scope.symbols().filter_map(|(s, _)| number(s)).max();
    Symbol::from(format!("u{}", last.map_or(0, |n| n + 1)).as_str())
}

/// `count < size`.
fn more(count: &Dim, size: &Dim) -> Result<Graph, Diagnostic> {
    let internal = |e: pt2c_ir::GraphError| Diagnostic::error(e.to_string());
    let mut graph = Graph::new();
    let fact = |dtype| vec![Fact::new(dtype, Vec::<Dim>::new())];
    let mut operands = Vec::new();
    for dim in [count, size] {
        let args = vec![Arg::Int(dim.clone()), Arg::DType(DType::I64)];
        let node = graph.add_call("prim.constant", args, "n", fact(DType::I64), LocationId::UNKNOWN);
        operands.push(Arg::Tensor(ValueId { node: node.map_err(internal)?, index: 0 }));
    }
    let less = graph.add_call("prim.lt", operands, "more", fact(DType::Bool), LocationId::UNKNOWN).map_err(internal)?;
    graph.outputs = vec![Arg::Tensor(ValueId { node: less, index: 0 })];
    Ok(graph)
}

/// `x[at]`.
fn slice(x: &Fact, at: &Dim) -> Result<Graph, Diagnostic> {
    let internal = |e: pt2c_ir::GraphError| Diagnostic::error(e.to_string());
    let mut graph = Graph::new();
    let input = graph.add_input("x", x.clone());
    let rest = x.shape.get(1..).unwrap_or(&[]).to_vec();
    let size = [&[Dim::ONE], rest.as_slice()].concat();
    let mut start = vec![Dim::ZERO; size.len()];
    if let Some(first) = start.first_mut() {
        first.clone_from(at);
    }
    let step = Arg::Ints(vec![Dim::ONE; size.len()]);
    let args = vec![Arg::Tensor(input), Arg::Ints(start), Arg::Ints(size.clone()), step];
    let facts = vec![Fact::new(x.dtype, size)];
    let part = graph.add_call("prim.slice", args, "part", facts, LocationId::UNKNOWN).map_err(internal)?;
    let args = vec![Arg::Tensor(ValueId { node: part, index: 0 }), Arg::Ints(rest.clone())];
    let facts = vec![Fact::new(x.dtype, rest)];
    let row = graph.add_call("prim.reshape", args, "row", facts, LocationId::UNKNOWN).map_err(internal)?;
    graph.outputs = vec![Arg::Tensor(ValueId { node: row, index: 0 })];
    Ok(graph)
}

/// Moves everything that a kernel stores to a parameter by an offset.
fn shift(kernel: &mut Kernel, param: usize, offset: &Dim) {
    fn walk(stmts: &mut [Stmt], which: usize, offset: &Dim) {
        for stmt in stmts {
            match stmt {
                Stmt::Store { param, address, .. } if *param == which => *address = &*address + offset,
                Stmt::For(f) => walk(&mut f.body, which, offset),
                Stmt::If { then, .. } => walk(then, which, offset),
                _ => {}
            }
        }
    }
    if let Body::Loops(stmts) = &mut kernel.body {
        walk(stmts, param, offset);
    }
}
