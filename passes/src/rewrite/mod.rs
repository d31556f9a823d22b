//! `rewrite`: decomposition and algebra in one e-graph.
//!
//! Precondition: a verified program. Postcondition: only primitives.
//!
//! Every call is added together with its decomposition ([`import`]), rules add equal forms until nothing changes
//! ([`saturate`], [`rules`]), and the cheapest form that lowering understands becomes the program ([`choose`],
//! [`extract`]). Facts (dtype, symbolic shape, constants) are the e-graph's analysis; every rule is guarded by them,
//! and two values become one only if their facts are proven to agree. Equal calls are merged on the way, except
//! random numbers and effects.
//!
//! Limits are on rounds and nodes, never on time; the same program gives the same result.

mod analysis;
mod choose;
mod cost;
mod engine;
mod extract;
mod import;
mod language;
mod rules;
mod saturate;

pub use engine::Conflict;
pub use extract::Explanation;
pub use saturate::Saturation;

use engine::{Engine, id};
use import::Failure;
use pt2c_ir::dim::Scope;
use pt2c_ir::{Arg, Diagnostic, Graph, Program};

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Stop after this many applications of rules, to find by bisection the one that goes wrong. Decompositions do
    /// not count.
    pub stop_after: Option<usize>,
    /// Rounds over all nodes.
    pub max_rounds: u32,
    /// Nodes of the e-graph; programs that are large from the start may grow eightfold.
    pub max_nodes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { stop_after: None, max_rounds: 24, max_nodes: 50_000 }
    }
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// For every call of the result, in order, the steps that made it.
    pub explanations: Vec<Explanation>,
    /// How often rules were applied.
    pub saturation: Saturation,
    /// Nodes of the e-graph in the end.
    pub nodes: usize,
    /// Rules that contradicted the facts and were not applied: mistakes of the compiler.
    pub conflicts: Vec<Conflict>,
}

/// Rewrites a program.
pub fn rewrite(program: &Program) -> Result<Program, Diagnostic> {
    rewrite_with_log(program, &Options::default()).map(|(program, _)| program)
}

/// Rewrites a program and tells how.
pub fn rewrite_with_log(program: &Program, options: &Options) -> Result<(Program, Log), Diagnostic> {
    let (graph, log) = rewrite_graph(program, &program.scope, &program.graph, options).map_err(|failure| {
        let location = program.locations.get(failure.location);
        Diagnostic::error(failure.error.to_string())
            .at(location)
            .about(format!("node \"{}\" ({})", failure.node, failure.op))
    })?;
    Ok((Program { graph, ..program.clone() }, log))
}

/// One line for every call of the rewritten program: the rules that made it, back to the node of the program.
pub fn explain(log: &Log) -> Vec<String> {
    log.explanations.iter().map(ToString::to_string).collect()
}

/// The names of all rules with what they do, for the documentation and `--help`.
pub fn rules() -> impl Iterator<Item = (&'static str, &'static str)> {
    rules::RULES.iter().copied().flatten().map(|r| (r.name, r.about))
}

fn rewrite_graph(
    program: &Program,
    scope: &Scope,
    graph: &Graph,
    options: &Options,
) -> Result<(Graph, Log), Box<Failure>> {
    let mut engine = Engine::new(program, scope);
    let outputs = import::import(&mut engine, graph, options)?;
    let saturation = saturate::saturate(&mut engine, options);
    let roots = outputs.iter().flat_map(Arg::tensors).map(|v| id(*v)).chain(engine.effects.iter().copied());
    let roots: Vec<egg::Id> = roots.collect();
    let choice = choose::choose(&engine, &roots);
    let (graph, explanations) = extract::extract(&engine, &choice, graph, &outputs)?;
    let nodes = engine.egraph.nodes().len();
    Ok((graph, Log { explanations, saturation, nodes, conflicts: engine.conflicts }))
}
