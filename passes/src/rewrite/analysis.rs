//! What is known of every class of the e-graph.

use super::language::{Head, Heads, Node};
use egg::{Analysis, DidMerge, EGraph, Id};
use pt2c_ir::dim::Scope;
use pt2c_ir::{Arg, Fact, Program};
use pt2c_ops::{Call, Scalar, Tags, Tensor, lookup, number};

/// Facts about one class.
#[derive(Clone, Debug)]
pub struct Data {
    /// One fact for each output; a class that is a value has one.
    pub facts: Vec<Fact>,
    /// The oldest node of the class: its facts are kept when classes merge.
    pub oldest: usize,
    /// Depends on constant tensors of known shapes only.
    pub constant: bool,
    /// Every element is this number.
    pub uniform: Option<Scalar>,
    /// How many calls of the program as it was decomposed (not as rules changed it) and outputs read this value.
    pub uses: u32,
    /// The round in which the class last changed.
    pub changed: u32,
}

/// The analysis: what it needs to know, and what is passed to it for the next node.
pub struct Known<'p> {
    /// For the constants among the tensors.
    pub program: &'p Program,
    /// What is known of the symbols.
    pub scope: &'p Scope,
    /// The interned heads.
    pub heads: Heads,
    /// Facts of the node that is being added.
    pub pending: Vec<Fact>,
    /// The present round.
    pub round: u32,
}

type Graph<'p> = EGraph<Node, Known<'p>>;

/// Whether two facts can be of one value: `Some(true)` proven, `None` not disproven.
pub fn agree(scope: &Scope, a: &Fact, b: &Fact) -> Option<bool> {
    if a.dtype != b.dtype || a.rank() != b.rank() {
        return Some(false);
    }
    let mut proven = Some(true);
    for (x, y) in a.shape.iter().zip(&b.shape) {
        let answer = if x == y { pt2c_ir::dim::Proof::Yes } else { scope.prove_eq(x, y) };
        if answer.is_no() {
            return Some(false);
        }
        if !answer.is_yes() {
            proven = None;
        }
    }
    proven
}

/// Whether a call computes the same whenever it is made.
pub fn is_pure(op: &str) -> bool {
    lookup(op).is_some_and(|op| !op.def.tags.has(Tags::RANDOM) && !op.def.tags.has(Tags::EFFECT))
}

fn is_static(arg: &Arg<()>) -> bool {
    match arg {
        Arg::Int(d) => d.is_int(),
        Arg::Ints(ds) => ds.iter().all(pt2c_ir::dim::Dim::is_int),
        Arg::Graph(_) => false,
        _ => true,
    }
}

/// Whether the node has only constant operands and no symbolic size.
pub fn is_constant(egraph: &Graph<'_>, node: &Node, facts: &[Fact]) -> bool {
    match egraph.analysis.heads.get(node) {
        Head::Input(_) => false,
        Head::Tensor(name) => {
            let program = egraph.analysis.program;
            program.is_constant(name) && program.tensors.get(name).is_some_and(|t| t.data.is_some())
        }
        Head::Call { op, attrs, unique } => {
            *unique == 0
                && op.starts_with("prim.")
                && is_pure(op)
                && attrs.iter().all(|a| is_static(&a.0))
                && facts.iter().all(|f| f.static_shape().is_some())
                && node.children.iter().all(|c| egraph[*c].data.constant)
        }
        Head::Output(_) => node.children.iter().all(|c| egraph[*c].data.constant),
    }
}

/// The number that every element is, where that follows from the operands.
fn uniform(egraph: &Graph<'_>, node: &Node) -> Option<Scalar> {
    let known = &egraph.analysis;
    let op = match known.heads.get(node) {
        Head::Tensor(name) if known.program.is_constant(name) => {
            let data = known.program.tensors.get(name)?.data.as_ref()?;
            let one = data.numel() == 1;
            return if one { Some(Tensor::from_data(data).ok()?.get(0)) } else { None };
        }
        Head::Call { op, unique: 0, .. } => op.as_str(),
        _ => return None,
    };
    let of = |id: &Id| egraph[*id].data.uniform;
    match op {
        "prim.constant" => {
            let args = known.heads.args(node, |_| ());
            let value = number(args.first()?)?;
            Some(Tensor::scalar(args.get(1)?.as_dtype()?, value).get(0))
        }
        "prim.reshape" | "prim.expand" | "prim.permute" | "prim.slice" => of(node.children.first()?),
        _ => {
            let table = lookup(op)?;
            if !table.def.tags.has(Tags::POINTWISE) || !op.starts_with("prim.") {
                return None;
            }
            let mut complete = true;
            let args = known.heads.args(node, |id| {
                let dtype = egraph[id].data.facts.first().map_or(pt2c_ir::DType::Bool, |f| f.dtype);
                let value = of(&id);
                complete &= value.is_some();
                Tensor::scalar(dtype, value.unwrap_or(Scalar::Bool(false)))
            });
            if !complete {
                return None;
            }
            let result = (table.def.eval)(&Call { op: table, args: &args, scope: known.scope }).ok()?;
            Some(result.first()?.get(0))
        }
    }
}

impl<'p> Analysis<Node> for Known<'p> {
    type Data = Data;

    fn make(egraph: &mut Graph<'p>, node: &Node, id: Id) -> Data {
        let facts = std::mem::take(&mut egraph.analysis.pending);
        let constant = is_constant(egraph, node, &facts);
        let uniform = uniform(egraph, node);
        Data { constant, uniform, facts, oldest: id.into(), uses: 0, changed: egraph.analysis.round }
    }

    fn remake(egraph: &mut Graph<'p>, node: &Node, id: Id) -> Data {
        let mut data = egraph[id].data.clone();
        data.uses = 0;
        data.constant |= is_constant(egraph, node, &data.facts);
        data.uniform = data.uniform.or_else(|| uniform(egraph, node));
        data
    }

    fn merge(&mut self, a: &mut Data, b: Data) -> DidMerge {
        let constant = a.constant || b.constant;
        let uniform = a.uniform.or(b.uniform);
        let better = |x: &Data| constant != x.constant || uniform.is_some() != x.uniform.is_some();
        let changed = DidMerge(better(a), better(&b));
        a.constant = constant;
        a.uniform = uniform;
        a.uses += b.uses;
        a.changed = self.round;
        if b.oldest < a.oldest {
            a.oldest = b.oldest;
            a.facts = b.facts;
        }
        changed
    }
}
