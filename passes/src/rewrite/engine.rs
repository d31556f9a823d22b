//! The e-graph under construction: adds calls with their facts, decomposes them, unites classes, and remembers which
//! step added which node.

use super::analysis::{Known, agree, is_pure};
use super::language::{Attr, Head, HeadId, Heads, Node};
use crate::decompose::{Build, Builder, MAX_DEPTH, Val, decomposition_of, is_primitive};
use egg::{EGraph, Id, Language};
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{Arg, DType, Fact, LocationId, Program};
use pt2c_ops::{Call, OpError, Scalar, infer, lookup};
use std::collections::BTreeSet;

/// How a node came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is in the program.
    Import,
    /// An operator of the program, or of another decomposition, was decomposed.
    Decompose(String),
    /// A rule was applied.
    Rule(&'static str),
}

/// Where a node of the e-graph comes from. Records are numbered as egg numbers the nodes.
#[derive(Clone, Debug)]
pub struct Record {
    /// The step that added it.
    pub step: Step,
    /// The record of the node that the step was applied to.
    pub from: Option<usize>,
    /// The node of the program that it stands for, by position in [`Engine::origins`].
    pub origin: usize,
}

/// A node of the program.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its name.
    pub name: String,
    /// Its place in the user's program.
    pub location: LocationId,
    /// What it is, for explanations.
    pub what: String,
}

/// Two values that a rule equates, with facts that contradict each other: a mistake in the rule. The rule was not
/// applied.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("`{step}` equates {old} with {new}")]
pub struct Conflict {
    /// The rule.
    pub step: String,
    /// The fact of the value it was applied to.
    pub old: Fact,
    /// The fact of what it made.
    pub new: Fact,
}

/// The e-graph and its history.
pub struct Engine<'p> {
    /// The e-graph.
    pub egraph: EGraph<Node, Known<'p>>,
    /// One for each node ever added.
    pub records: Vec<Record>,
    /// The nodes of the program.
    pub origins: Vec<Origin>,
    /// Classes of effects, in program order.
    pub effects: Vec<Id>,
    /// Rules that went wrong.
    pub conflicts: Vec<Conflict>,
    /// What the next node is added by.
    pub context: Record,
    depth: usize,
    unique: u32,
}

/// The handle of a class.
pub fn val(id: Id) -> Val {
    Val(u32::try_from(usize::from(id)).unwrap_or(u32::MAX))
}

/// The class of a handle.
pub fn id(v: Val) -> Id {
    Id::from(v.0 as usize)
}

impl<'p> Engine<'p> {
    /// An empty e-graph for (a subgraph of) `program`.
    pub fn new(program: &'p Program, scope: &'p Scope) -> Engine<'p> {
        let known = Known { program, scope, heads: Heads::default(), pending: Vec::new(), round: 0 };
        Engine {
            egraph: EGraph::new(known),
            records: Vec::new(),
            origins: Vec::new(),
            effects: Vec::new(),
            conflicts: Vec::new(),
            context: Record { step: Step::Import, from: None, origin: 0 },
            depth: 0,
            unique: 0,
        }
    }

    /// What is known of the symbols.
    pub fn symbols(&self) -> &'p Scope {
        self.egraph.analysis.scope
    }

    /// A builder that adds to the e-graph.
    pub fn b(&mut self) -> Builder<'_> {
        Builder::new(self)
    }

    /// Adds a node unless there is one like it.
    fn add(&mut self, head: HeadId, children: Vec<Id>, facts: Vec<Fact>) -> Id {
        let before = self.egraph.nodes().len();
        self.egraph.analysis.pending = facts;
        let id = self.egraph.add(Node { head, children });
        self.egraph.analysis.pending.clear();
        if self.egraph.nodes().len() > before {
            self.records.push(self.context.clone());
        }
        id
    }

    /// Adds a leaf: a graph input or a tensor of the program.
    pub fn leaf(&mut self, head: Head, fact: Fact) -> Val {
        let head = self.egraph.analysis.heads.intern(head);
        val(self.add(head, Vec::new(), vec![fact]))
    }

    /// Adds a call whose facts are known, without decomposing it. Returns the class of the call and its outputs.
    pub fn append(&mut self, op: &str, args: &[Arg<Val>], facts: Option<Vec<Fact>>) -> Result<(Id, Vec<Val>), OpError> {
        let children: Vec<Id> =
            args.iter().flat_map(Arg::tensors).map(|v| self.known(*v)).collect::<Result<_, OpError>>()?;
        let attrs: Vec<Attr> = args.iter().map(|a| Attr(a.map(|_| ()))).collect();
        let found_late = facts.as_ref().is_some_and(|f| self.binds_symbols(f, args, &children));
        let unique = if is_pure(op) && !found_late {
            0
        } else {
            self.unique += 1;
            self.unique
        };
        let head = self.egraph.analysis.heads.intern(Head::Call { op: op.to_string(), attrs, unique });
        let node = Node { head, children };
        let call = match self.egraph.lookup(node.clone()) {
            Some(known) => known,
            None => {
                let facts = match facts {
                    Some(facts) => facts,
                    None => {
                        let operands: Vec<Arg<Fact>> = args.iter().map(|a| a.map(|&v| self.fact(v))).collect();
                        infer(op, &operands, self.symbols())?
                    }
                };
                let children = node.children.clone();
                let id = self.add(head, node.children, facts);
                if is_primitive(op) && !matches!(self.context.step, Step::Rule(_)) {
                    let used: BTreeSet<Id> = children.into_iter().map(|c| self.egraph.find(c)).collect();
                    for class in used {
                        self.egraph[class].data.uses += 1;
                    }
                }
                id
            }
        };
        Ok((call, self.outputs_of(call)))
    }

    /// The outputs of the class of a call: itself if there is one.
    fn outputs_of(&mut self, call: Id) -> Vec<Val> {
        let facts = self.egraph[call].data.facts.clone();
        if facts.len() == 1 {
            return vec![val(call)];
        }
        let mut outputs = Vec::with_capacity(facts.len());
        for (i, fact) in facts.into_iter().enumerate() {
            let head = self.egraph.analysis.heads.intern(Head::Output(i as u32));
            outputs.push(val(self.add(head, vec![call], vec![fact])));
        }
        outputs
    }

    /// Whether the call's outputs have sizes that nothing before it knows.
    fn binds_symbols(&self, facts: &[Fact], args: &[Arg<Val>], children: &[Id]) -> bool {
        let of = |shape: &[Dim]| shape.iter().flat_map(Dim::symbols).collect::<BTreeSet<Symbol>>();
        let made: BTreeSet<Symbol> = facts.iter().flat_map(|f| of(&f.shape)).collect();
        if made.is_empty() {
            return false;
        }
        let mut before: BTreeSet<Symbol> =
            children.iter().flat_map(|c| &self.egraph[*c].data.facts).flat_map(|f| of(&f.shape)).collect();
        for arg in args {
            match arg {
                Arg::Int(d) => before.extend(d.symbols()),
                Arg::Ints(ds) => before.extend(of(ds)),
                _ => {}
            }
        }
        made.iter().any(|s| s.is_unbacked() && !before.contains(s))
    }

    fn known(&self, v: Val) -> Result<Id, OpError> {
        if (v.0 as usize) < self.egraph.nodes().len() {
            Ok(self.egraph.find(id(v)))
        } else {
            Err(OpError::invalid("no such value"))
        }
    }

    /// Adds a call of the program and its decomposition. The outputs have the facts the program gives them.
    pub fn import_call(&mut self, op: &str, args: Vec<Arg<Val>>, facts: Vec<Fact>) -> Result<Vec<Val>, OpError> {
        if is_primitive(op) {
            let (call, outputs) = self.append(op, &args, Some(facts))?;
            self.note_effect(op, call);
            Ok(outputs)
        } else {
            self.decompose(op, args, Some(facts))
        }
    }

    fn note_effect(&mut self, op: &str, call: Id) {
        if lookup(op).is_some_and(|op| op.def.tags.has(pt2c_ops::Tags::EFFECT)) {
            self.effects.push(call);
        }
    }

    /// Adds a call that is no primitive together with its decomposition.
    fn decompose(&mut self, op: &str, args: Vec<Arg<Val>>, facts: Option<Vec<Fact>>) -> Result<Vec<Val>, OpError> {
        let known = lookup(op).ok_or_else(|| OpError::UnknownOperator(op.to_string()))?;
        let decomposition = decomposition_of(op)
            .ok_or_else(|| OpError::Unsupported(format!("`{op}` has no decomposition into primitives")))?;
        if self.depth >= MAX_DEPTH {
            return Err(OpError::Invalid(format!("the decomposition of `{op}` does not end")));
        }
        let scope = self.symbols();
        let before = self.egraph.nodes().len();
        let stated = facts.clone().unwrap_or_default();
        let (call, outputs) = self.append(op, &args, facts)?;
        if usize::from(call) < before && is_pure(op) {
            // An equal call has been decomposed already.
            return Ok(outputs);
        }
        let outer = self.context.clone();
        self.context.from = Some(usize::from(call));
        self.context.step = Step::Decompose(op.to_string());
        self.depth += 1;
        let result = decomposition(&mut Builder::of_call(self, stated), &Call { op: known, args: &args, scope });
        self.depth -= 1;
        self.context = outer;
        let result = result?;
        if result.len() < outputs.len() {
            return Err(OpError::Invalid(format!("the decomposition of `{op}` lacks an output")));
        }
        for (old, new) in outputs.iter().zip(&result) {
            let (old_fact, new_fact) = (self.fact(*old), self.fact(*new));
            if agree(scope, &old_fact, &new_fact) == Some(false) {
                return Err(OpError::Invalid(format!("the decomposition of `{op}` is {new_fact}, not {old_fact}")));
            }
            self.egraph.union(id(*old), id(*new));
        }
        Ok(outputs)
    }

    /// Makes two values one class, if their facts are proven to agree. Whether that was new.
    pub fn unite(&mut self, old: Val, new: Val) -> bool {
        let (a, b) = (self.egraph.find(id(old)), self.egraph.find(id(new)));
        if a == b {
            return false;
        }
        let (old, new) = (self.fact(old), self.fact(new));
        match agree(self.symbols(), &old, &new) {
            Some(true) => self.egraph.union(a, b),
            Some(false) => {
                let step = match &self.context.step {
                    Step::Rule(name) => name.to_string(),
                    _ => "decompose".into(),
                };
                self.conflicts.push(Conflict { step, old, new });
                false
            }
            None => false,
        }
    }
}

/// Questions that rules ask.
impl Engine<'_> {
    /// The calls of `op` in the class of `v` that do not use their own class.
    pub fn calls(&self, v: Val, op: &str) -> Vec<Vec<Arg<Val>>> {
        let class = self.egraph.find(id(v));
        let heads = &self.egraph.analysis.heads;
        let nodes = self.egraph[class].nodes.iter().filter(|n| heads.op(n) == Some(op));
        let sound = nodes.filter(|n| n.children().iter().all(|c| self.egraph.find(*c) != class));
        sound.map(|n| heads.args(n, |c| val(self.egraph.find(c)))).collect()
    }

    /// The tensor operands of the calls of `op`, an operator of two operands.
    pub fn pairs(&self, v: Val, op: &str) -> Vec<(Val, Val)> {
        let two = |args: &Vec<Arg<Val>>| Some((*args.first()?.as_tensor()?, *args.get(1)?.as_tensor()?));
        self.calls(v, op).iter().filter_map(two).collect()
    }

    /// The first operands of the calls of `op`.
    pub fn operands(&self, v: Val, op: &str) -> Vec<Val> {
        self.calls(v, op).iter().filter_map(|args| args.first()?.as_tensor().copied()).collect()
    }

    /// Whether two handles are of one class.
    pub fn same(&self, a: Val, b: Val) -> bool {
        self.egraph.find(id(a)) == self.egraph.find(id(b))
    }

    /// Whether the value depends on constants only.
    pub fn constant(&self, v: Val) -> bool {
        self.egraph[id(v)].data.constant
    }

    /// The number that every element of the value is.
    pub fn uniform(&self, v: Val) -> Option<Scalar> {
        self.egraph[id(v)].data.uniform
    }

    /// The real number that every element of the value is.
    pub fn number(&self, v: Val) -> Option<f64> {
        match self.uniform(v)? {
            Scalar::Complex(_) => None,
            number => Some(number.to_f64()),
        }
    }

    /// Whether at most one call of the program, as it was decomposed, uses the value.
    pub fn used_once(&self, v: Val) -> bool {
        self.egraph[id(v)].data.uses <= 1
    }

    /// Element type of a value.
    pub fn dtype(&self, v: Val) -> DType {
        self.egraph[id(v)].data.facts.first().map_or(DType::Bool, |f| f.dtype)
    }

    /// Sizes of a value.
    pub fn shape(&self, v: Val) -> &[Dim] {
        self.egraph[id(v)].data.facts.first().map_or(&[], |f| &f.shape)
    }

    /// Whether two sizes are proven equal.
    pub fn equal(&self, a: &Dim, b: &Dim) -> bool {
        a == b || self.symbols().prove_eq(a, b).is_yes()
    }

    /// Whether two shapes are proven equal.
    pub fn equal_shapes(&self, a: &[Dim], b: &[Dim]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.equal(a, b))
    }
}

impl Build for Engine<'_> {
    fn call(&mut self, op: &str, args: Vec<Arg<Val>>) -> Result<Vec<Val>, OpError> {
        if is_primitive(op) {
            let before = self.egraph.nodes().len();
            let (call, outputs) = self.append(op, &args, None)?;
            if usize::from(call) >= before {
                self.note_effect(op, call);
            }
            return Ok(outputs);
        }
        self.decompose(op, args, None)
    }

    fn fact(&self, v: Val) -> Fact {
        // A handle of another builder reads as an empty tensor.
        let known = self.known(v).ok().and_then(|id| self.egraph[id].data.facts.first().cloned());
        known.unwrap_or_else(|| Fact::of(DType::Bool, &[0]))
    }

    fn scope(&self) -> &Scope {
        self.egraph.analysis.scope
    }
}
