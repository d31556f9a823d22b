//! Rewriting a program by a table of rules.

use super::eval::{Emit, Names, argument, eval, matches, same_type, truth};
use super::{Rule, Table};
use pt2c_ir::dim::Scope;
use pt2c_ir::{Arg, Diagnostic, Graph, LocationId, Node, NodeId, NodeKind, Program, ValueId};
use pt2c_ops::prim::custom;
use pt2c_ops::{Tags, infer, lookup};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rules that make calls of what they replace end here.
const MAX_DEPTH: usize = 64;

/// One use of a rule, for `--explain`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The node that was replaced.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The rule's file and line.
    pub rule: String,
}

/// Replaces operators by the rules of a table: PyTorch's `ExportedProgram.run_decompositions(table)`. Import has made
/// the program functional already. Tells which rules were used where.
///
/// # Errors
/// A rule whose result has another type than what it replaces, or that calls an operator in a way it cannot be called.
pub fn run_decompositions(program: &Program, table: &Table) -> Result<(Program, Vec<Applied>), Diagnostic> {
    let (graph, applied) = rewrite(program, &program.graph, table)?;
    Ok((Program { graph, ..program.clone() }, applied))
}

/// One graph of the program: its own or a body of control flow.
fn rewrite(program: &Program, graph: &Graph, table: &Table) -> Result<(Graph, Vec<Applied>), Diagnostic> {
    let mut rewriter = Rewriter {
        program,
        table,
        graph: Graph::new(),
        made: BTreeSet::new(),
        applied: Vec::new(),
        name: String::new(),
        location: LocationId::UNKNOWN,
        depth: 0,
    };
    let mut values: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for (id, node) in graph.nodes() {
        let results = match &node.kind {
            NodeKind::Input => vec![rewriter.graph.add_input(&node.name, fact(node, 0)?.clone())],
            NodeKind::Tensor(name) => vec![rewriter.graph.add_tensor(name, &node.name, fact(node, 0)?.clone())],
            NodeKind::Call { op, args } => {
                let args = args
                    .iter()
                    .map(|arg| arg.try_map(|value| mapped(&values, *value)))
                    .collect::<Result<Vec<_>, _>>()?;
                rewriter.name.clone_from(&node.name);
                rewriter.location = node.location;
                rewriter.node(node, op, args)?
            }
        };
        for (index, result) in results.into_iter().enumerate() {
            values.insert(ValueId { node: id, index: index as u32 }, result);
        }
    }
    let outputs = graph.outputs.iter().map(|arg| arg.try_map(|value| mapped(&values, *value)));
    rewriter.graph.outputs = outputs.collect::<Result<_, _>>()?;
    let Rewriter { graph: mut rewritten, applied, .. } = rewriter;
    rewritten.remove_dead(|node| node.op().and_then(lookup).is_some_and(|op| op.def.tags.has(Tags::EFFECT)));
    Ok((rewritten, applied))
}

fn fact(node: &Node, index: usize) -> Result<&pt2c_ir::Fact, Diagnostic> {
    node.outputs.get(index).ok_or_else(|| Diagnostic::error(format!("node `{}` has no type", node.name)))
}

fn mapped(values: &BTreeMap<ValueId, ValueId>, value: ValueId) -> Result<ValueId, Diagnostic> {
    values.get(&value).copied().ok_or_else(|| Diagnostic::error("a value is used before it is defined"))
}

struct Rewriter<'p> {
    program: &'p Program,
    table: &'p Table,
    graph: Graph,
    /// The nodes made for the node that is being replaced.
    made: BTreeSet<NodeId>,
    applied: Vec<Applied>,
    /// Of the node that is being replaced: what is made gets its name and place.
    name: String,
    location: LocationId,
    depth: usize,
}

impl<'p> Rewriter<'p> {
    /// A node of the program: replaced, or as it is.
    fn node(&mut self, node: &Node, op: &str, args: Vec<Arg>) -> Result<Vec<ValueId>, Diagnostic> {
        self.made.clear();
        if let Some((rule, results)) = self.replace(op, &args)? {
            let made = std::mem::take(&mut self.made);
            if results.len() != node.outputs.len() {
                let why = format!("it has {} results, the operator has {}", results.len(), node.outputs.len());
                return Err(self.wrong(rule, op, &why));
            }
            // Whoever knows the value by its name finds it still.
            if let [result] = results.as_slice()
                && made.contains(&result.node)
            {
                self.graph.rename(result.node, &node.name);
            }
            for (result, wanted) in results.iter().zip(&node.outputs) {
                let found = self.graph.fact(*result);
                let checked =
                    found.ok_or("it has no result".to_string()).and_then(|f| same_type(&self.program.scope, wanted, f));
                checked.map_err(|why| self.wrong(rule, op, &why))?;
            }
            return Ok(results);
        }
        let args = args.into_iter().map(|arg| self.body(arg)).collect::<Result<_, _>>()?;
        let name = self.name.clone();
        self.add(op, args, &name, node.outputs.clone())
    }

    /// Bodies of control flow are rewritten too.
    fn body(&mut self, arg: Arg) -> Result<Arg, Diagnostic> {
        let Arg::Graph(body) = arg else { return Ok(arg) };
        let (graph, applied) = rewrite(self.program, &body, self.table)?;
        self.applied.extend(applied);
        Ok(Arg::Graph(Arc::new(graph)))
    }

    fn add(
        &mut self,
        op: &str,
        args: Vec<Arg>,
        name: &str,
        facts: Vec<pt2c_ir::Fact>,
    ) -> Result<Vec<ValueId>, Diagnostic> {
        let count = facts.len();
        let id = self.graph.add_call(op, args, name, facts, self.location);
        let id = id.map_err(|error| Diagnostic::error(error.to_string()))?;
        self.made.insert(id);
        Ok((0..count).map(|index| ValueId { node: id, index: index as u32 }).collect())
    }

    /// The results of the first rule that fits.
    fn replace(&mut self, op: &str, args: &[Arg]) -> Result<Option<(&'p Rule, Vec<ValueId>)>, Diagnostic> {
        let table = self.table;
        // What a custom operator writes is among its results, and no argument that a rule names.
        let (args, _) = custom::written(args);
        for rule in table.rules_for(op) {
            let mut names = Names::new();
            if !matches(&self.graph, op, &rule.pattern, args, &mut names) {
                continue;
            }
            let mut holds = true;
            for guard in &rule.guards {
                let value = eval(guard, &names, self).and_then(truth);
                if !value.map_err(|why| self.wrong(rule, op, &why))? {
                    holds = false;
                    break;
                }
            }
            if !holds {
                continue;
            }
            self.applied.push(Applied { node: self.name.clone(), op: op.to_string(), rule: rule.place.clone() });
            for (name, step) in &rule.steps {
                let value = eval(step, &names, self).map_err(|why| self.wrong(rule, op, &why))?;
                names.insert(name.clone(), value);
            }
            let mut results = Vec::new();
            for result in &rule.results {
                let value = eval(result, &names, self).map_err(|why| self.wrong(rule, op, &why))?;
                match value {
                    super::eval::Val::Results(all) if rule.results.len() == 1 => results.extend(all),
                    one => match argument(one).map_err(|why| self.wrong(rule, op, &why))? {
                        Arg::Tensor(value) => results.push(value),
                        _ => return Err(self.wrong(rule, op, "a result is no tensor")),
                    },
                }
            }
            return Ok(Some((rule, results)));
        }
        Ok(None)
    }

    fn wrong(&self, rule: &Rule, op: &str, why: &str) -> Diagnostic {
        Diagnostic::error(format!("{}: the rule for {op} does not fit: {why}", rule.place))
            .about(format!("node `{}`", self.name))
            .at(self.program.locations.get(self.location))
    }
}

impl Emit for Rewriter<'_> {
    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn scope(&self) -> &Scope {
        &self.program.scope
    }

    fn emit(&mut self, op: &str, args: Vec<Arg>) -> Result<Vec<ValueId>, String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("rules make {op} again and again"));
        }
        self.depth += 1;
        let replaced = self.replace(op, &args).map(|found| found.map(|(_, results)| results));
        self.depth -= 1;
        if let Some(results) = replaced.map_err(|diagnostic| diagnostic.message)? {
            return Ok(results);
        }
        let facts = args
            .iter()
            .map(|arg| arg.try_map(|value| self.graph.fact(*value).cloned().ok_or("a value without a type")))
            .collect::<Result<Vec<_>, _>>()?;
        let inferred = infer(op, &facts, &self.program.scope).map_err(|error| format!("{op}: {error}"))?;
        // As PyTorch calls what its decompositions make: aten.add.Tensor is `add`.
        let name = op.split('.').nth(1).unwrap_or(op).to_owned();
        self.add(op, args, &name, inferred).map_err(|diagnostic| diagnostic.message)
    }
}
