//! The verifier of programs with the operator table at hand: runs behind every phase.
//!
//! On top of what `pt2c_ir::verify` checks, of every call, in subgraphs too:
//! * the operator is in the table and legal at the stage ([`Stage`]);
//! * there is an argument for every parameter of its schema, of the parameter's type;
//! * the operator can be called with operands of these types, and its results are not proven to be of other types
//!   than the graph says;
//! * a region has an operand for every input of its body and a result for every output, of the same types.

use crate::{BaseType, Call, Op, OpError, Param, ParamType, Tags, lookup};
use pt2c_ir::verify::{about_node, as_error, difference};
use pt2c_ir::{Arg, Diagnostic, Fact, Graph, Node, NodeKind, Program, ValueId};

/// How far a program has come; says which operators are legal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// As imported: PyTorch's operators only.
    Imported,
    /// Nothing is mapped over slices: PyTorch's operators, and primitives where there was a `prim.vmap`.
    Batched,
    /// Without complex values: PyTorch's operators, and primitives where there were complex ones too.
    Real,
    /// Decomposed: primitives only.
    Primitives,
    /// Fused: regions only, with primitives inside.
    Fused,
}

impl Stage {
    /// The stages by name, in order.
    pub const ALL: [(&'static str, Stage); 5] = [
        ("imported", Stage::Imported),
        ("batched", Stage::Batched),
        ("real", Stage::Real),
        ("primitives", Stage::Primitives),
        ("fused", Stage::Fused),
    ];

    /// How far a program seems to have come: it has regions, primitives, or neither.
    pub fn of(program: &Program) -> Stage {
        let control = |op: &&str| lookup(op).is_some_and(|op| op.def.tags.has(Tags::CONTROL));
        let ops = || program.graph.nodes().filter_map(|(_, n)| n.op()).filter(|op| !control(op));
        if ops().any(|op| op == "prim.region") {
            Stage::Fused
        } else if ops().any(|op| op.starts_with("prim.")) {
            if ops().all(|op| op.starts_with("prim.")) { Stage::Primitives } else { Stage::Real }
        } else {
            Stage::Imported
        }
    }

    /// The stage of this name.
    pub fn named(name: &str) -> Option<Stage> {
        Stage::ALL.iter().find(|(n, _)| *n == name).map(|(_, s)| *s)
    }

    /// Why an operator is not legal, if it is not. `inside` says whether the call stands in a region.
    fn forbids(self, op: &str, inside: bool) -> Option<&'static str> {
        if op == "prim.vmap" && self != Stage::Imported {
            return Some("what is mapped has become operators or a loop");
        }
        if lookup(op).is_some_and(|op| op.def.tags.has(Tags::CONTROL)) {
            return inside.then_some("a region computes, it directs nothing");
        }
        if op == "prim.custom" && !matches!(self, Stage::Fused) {
            return None;
        }
        let (prim, region) = (op.starts_with("prim."), op == "prim.region");
        match self {
            Stage::Imported if prim => Some("an imported program has none of the compiler's primitives"),
            Stage::Primitives if !prim || region => Some("a decomposed program has primitives only"),
            Stage::Fused if !inside && !region => Some("a fused program has regions only"),
            Stage::Fused if inside && (!prim || region) => Some("a region has primitives only"),
            _ => None,
        }
    }
}

/// Everything that is wrong with a program; `stage` is where it should be.
pub fn verify(program: &Program, stage: Stage) -> Vec<Diagnostic> {
    let mut verifier = Verifier { program, stage, found: pt2c_ir::verify::verify(program) };
    verifier.graph(&program.graph, false);
    verifier.found
}

/// As [`verify`], as one error that lists everything; `phase` is what made the program.
///
/// # Errors
/// If anything is wrong.
pub fn check(program: &Program, stage: Stage, phase: &str) -> Result<(), Diagnostic> {
    as_error(verify(program, stage), phase)
}

/// Calls that mean something to PyTorch and cannot be compiled: of operators that are not in the table, or in ways that
/// inference says it does not support. One finding a call.
pub fn unsupported(program: &Program) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    unsupported_in(program, &program.graph, &mut found);
    found
}

fn unsupported_in(program: &Program, graph: &Graph, found: &mut Vec<Diagnostic>) {
    for (_, node) in graph.nodes() {
        let NodeKind::Call { op, args } = &node.kind else { continue };
        let Some(op) = lookup(op) else {
            if crate::prim::custom::is_custom(op) && crate::prim::custom::primitive(op, args, &node.outputs).is_ok() {
                continue;
            }
            let subject = format!("node `{}`", node.name);
            let message = format!("the operator `{op}` is not supported");
            found.push(Diagnostic::error(message).about(subject).at(program.locations.get(node.location)));
            continue;
        };
        for body in args.iter().filter_map(Arg::as_graph) {
            unsupported_in(program, body, found);
        }
        let facts = args.iter().map(|a| a.try_map(|v| graph.fact(*v).cloned().ok_or(()))).collect();
        let Ok(facts): Result<Vec<Arg<Fact>>, ()> = facts else { continue };
        if let Err(OpError::Unsupported(why)) = (op.def.infer)(&Call { op, args: &facts, scope: &program.scope }) {
            let subject = format!("node `{}`", node.name);
            let message = format!("`{}`: {why}", op.name);
            found.push(Diagnostic::error(message).about(subject).at(program.locations.get(node.location)));
        }
    }
}

/// Refuses a program with [`unsupported`] calls. All of them are listed.
///
/// # Errors
/// If there are such calls.
pub fn refuse_unsupported(program: &Program) -> Result<(), Diagnostic> {
    let mut found = unsupported(program).into_iter();
    let Some(mut refusal) = found.next() else { return Ok(()) };
    for other in found {
        let place = other.location.map_or(String::new(), |l| format!(" ({}:{})", l.file, l.line));
        refusal = refusal.note(format!("{}: {}{place}", other.subject.unwrap_or_default(), other.message));
    }
    Err(refusal)
}

struct Verifier<'p> {
    program: &'p Program,
    stage: Stage,
    found: Vec<Diagnostic>,
}

impl Verifier<'_> {
    fn report(&mut self, node: &Node, message: impl Into<String>) {
        self.found.push(about_node(self.program, node, message));
    }

    fn graph(&mut self, graph: &Graph, inside: bool) {
        for (_, node) in graph.nodes() {
            let NodeKind::Call { op, args } = &node.kind else { continue };
            for arg in args {
                if let Arg::Graph(body) = arg {
                    self.graph(body, op == "prim.region");
                }
            }
            if let Some(why) = self.stage.forbids(op, inside) {
                self.report(node, why);
            }
            if self.stage == Stage::Real && node.outputs.iter().any(|f| f.dtype.is_complex()) {
                self.report(node, "complex values have been taken apart");
            }
            match lookup(op) {
                Some(op) => self.call(graph, node, op, args),
                None => self.report(node, format!("`{op}` is not in the operator table")),
            }
        }
    }

    fn call(&mut self, graph: &Graph, node: &Node, op: &Op, args: &[Arg]) {
        let params = &op.schema.params;
        if params.len() != args.len() {
            let message = format!("{} arguments for `{}`", args.len(), op.def.schema);
            return self.report(node, message);
        }
        let before = self.found.len();
        for (param, arg) in params.iter().zip(args) {
            if !conforms(param.ty, arg) {
                let message = format!("argument `{}` must be {}, not {}", param.name, type_name(param), kind(arg));
                self.report(node, message);
            }
        }
        if self.found.len() > before {
            return;
        }
        // Operands that do not exist are reported by the structural verifier.
        let facts = args.iter().map(|a| a.try_map(|v: &ValueId| graph.fact(*v).cloned().ok_or(()))).collect();
        let Ok(facts): Result<Vec<Arg<Fact>>, ()> = facts else { return };
        let scope = &self.program.scope;
        let inferred = match (op.def.infer)(&Call { op, args: &facts, scope }) {
            Ok(inferred) => inferred,
            Err(e) => return self.report(node, e.to_string()),
        };
        if inferred.len() != node.outputs.len() {
            let message = format!("it has {} results, the operator gives {}", node.outputs.len(), inferred.len());
            return self.report(node, message);
        }
        for (i, (stated, inferred)) in node.outputs.iter().zip(&inferred).enumerate() {
            if let Some(how) = difference(scope, stated, inferred) {
                self.report(node, format!("result {i} is stated as {stated}, but is {inferred}: {how}"));
            }
        }
        if let [Arg::Tensors(_), Arg::Graph(body), _] = facts.as_slice()
            && op.name == "prim.region"
        {
            let operands = facts.first().into_iter().flat_map(Arg::tensors);
            for (i, (operand, input)) in operands.zip(body.inputs()).enumerate() {
                let Some(input) = body.fact(input) else { continue };
                if let Some(how) = difference(scope, operand, input) {
                    self.report(node, format!("operand {i} is {operand}, the body's input {input}: {how}"));
                }
            }
        }
    }
}

/// Whether an argument is of a parameter's type. Numbers stand for tensors, integers for floats and single values for
/// lists, as in PyTorch.
fn conforms(ty: ParamType, arg: &Arg) -> bool {
    if arg.is_none() {
        // `Tensor?[]` may hold None, and be omitted as a whole.
        return ty.optional;
    }
    let number = matches!(arg, Arg::Int(_) | Arg::Float(_) | Arg::Bool(_) | Arg::Complex(..));
    match (ty.base, ty.list) {
        (BaseType::Tensor, false) => number || matches!(arg, Arg::Tensor(_)),
        (BaseType::Tensor, true) => match arg {
            Arg::Tensors(vs) => ty.optional || vs.iter().all(Option::is_some),
            _ => false,
        },
        (BaseType::Scalar, false) => number,
        (BaseType::Scalar, true) => number || matches!(arg, Arg::Ints(_) | Arg::Floats(_) | Arg::Bools(_)),
        (BaseType::Int, false) => matches!(arg, Arg::Int(_)),
        (BaseType::Int, true) => matches!(arg, Arg::Int(_) | Arg::Ints(_)),
        (BaseType::Float, false) => matches!(arg, Arg::Float(_) | Arg::Int(_)),
        (BaseType::Float, true) => matches!(arg, Arg::Float(_) | Arg::Floats(_) | Arg::Ints(_)),
        (BaseType::Bool, false) => matches!(arg, Arg::Bool(_)),
        (BaseType::Bool, true) => matches!(arg, Arg::Bool(_) | Arg::Bools(_)),
        (BaseType::Str, _) => matches!(arg, Arg::Str(_)),
        // Integers are what archives hold for dtypes that only matter to PyTorch (`layout`, `memory_format` enums).
        (BaseType::DType, _) => matches!(arg, Arg::DType(_)),
        (BaseType::Opaque, _) => matches!(arg, Arg::Opaque(_) | Arg::Int(_) | Arg::Str(_)),
        (BaseType::Graph, _) => matches!(arg, Arg::Graph(_)),
    }
}

fn type_name(param: &Param) -> String {
    let base = match param.ty.base {
        BaseType::Tensor => "tensor",
        BaseType::Scalar => "number",
        BaseType::Int => "integer",
        BaseType::Float => "float",
        BaseType::Bool => "boolean",
        BaseType::Str => "string",
        BaseType::DType => "dtype",
        BaseType::Opaque => "device or format",
        BaseType::Graph => "graph",
    };
    let article = if base.starts_with('i') { "an" } else { "a" };
    let what = if param.ty.list { format!("a list of {base}s") } else { format!("{article} {base}") };
    if param.ty.optional { format!("{what} or none") } else { what }
}

fn kind(arg: &Arg) -> &'static str {
    match arg {
        Arg::None => "none",
        Arg::Tensor(_) => "a tensor",
        Arg::Tensors(_) => "a list of tensors",
        Arg::Int(_) => "an integer",
        Arg::Ints(_) => "a list of integers",
        Arg::Float(_) => "a float",
        Arg::Floats(_) => "a list of floats",
        Arg::Bool(_) => "a boolean",
        Arg::Bools(_) => "a list of booleans",
        Arg::Complex(..) => "a complex number",
        Arg::Str(_) => "a string",
        Arg::DType(_) => "a dtype",
        Arg::Opaque(_) => "a device or format",
        Arg::Graph(_) => "a graph",
    }
}
