//! Declarations of operators and the table of all of them.

use crate::{Call, Decomposition, OpError, Schema, Tensor, aten, prim};
use indexmap::IndexMap;
use pt2c_ir::dim::{Scope, Symbol};
use pt2c_ir::{Arg, Fact, Node};
use std::sync::OnceLock;

/// Properties of an operator that passes ask about. A set of flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tags(u16);

impl Tags {
    /// Nothing special.
    pub const NONE: Tags = Tags(0);
    /// Each output element depends on the operand elements at the same (broadcast) index only.
    pub const POINTWISE: Tags = Tags(1);
    /// PyTorch returns an alias of the first operand.
    pub const VIEW: Tags = Tags(2);
    /// Returns its first operand unchanged at inference (dropout, detach, contiguous, alias …).
    pub const IDENTITY: Tags = Tags(4);
    /// Draws random numbers: never merged, folded or duplicated.
    pub const RANDOM: Tags = Tags(8);
    /// Has no result but a check (assertions): never removed as dead.
    pub const EFFECT: Tags = Tags(16);
    /// Reduces over dimensions.
    pub const REDUCTION: Tags = Tags(32);
    /// May give sizes that depend on values; a size that is a symbol of its own is bound by the call.
    pub const LATE: Tags = Tags(64);
    /// Directs what runs instead of computing: control flow, binding of symbols. Legal at every stage, in no region.
    pub const CONTROL: Tags = Tags(128);

    /// Both sets.
    pub const fn with(self, other: Tags) -> Tags {
        Tags(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    pub const fn has(self, other: Tags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Facts of the outputs from facts of the operands.
pub type InferFn = fn(&Call<'_, Fact>) -> Result<Vec<Fact>, OpError>;
/// The outputs from the operands: plain and obvious, for use as an oracle. Shapes have been inferred already.
pub type EvalFn = fn(&Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError>;

/// The declaration of an operator, as written in the family files.
#[derive(Clone, Copy)]
pub struct OpDef {
    /// PyTorch's schema line without the namespace: `add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor`.
    pub schema: &'static str,
    /// Properties.
    pub tags: Tags,
    /// Inference.
    pub infer: InferFn,
    /// Reference evaluation.
    pub eval: EvalFn,
    /// The formula that the two follow, and decomposition too.
    pub formula: Option<Decomposition>,
    /// Why the operator is not compiled, and what to do instead.
    pub refusal: Option<&'static str>,
}

impl OpDef {
    /// A declaration without tags.
    pub const fn new(schema: &'static str, infer: InferFn, eval: EvalFn) -> OpDef {
        OpDef { schema, tags: Tags::NONE, infer, eval, formula: None, refusal: None }
    }

    /// An operator that is a formula over others.
    pub const fn formula(schema: &'static str, formula: Decomposition) -> OpDef {
        OpDef { formula: Some(formula), ..OpDef::new(schema, crate::formula::infer, crate::formula::eval) }
    }

    /// An operator that is known and not compiled.
    pub const fn refused(schema: &'static str, reason: &'static str) -> OpDef {
        OpDef { refusal: Some(reason), ..OpDef::new(schema, |c| Err(refusal(c)), |c| Err(refusal(c))) }
    }

    /// The name in the table. A schema that names its own namespace (`torchvision::nms(…)`) is in that.
    pub fn full_name(&self, namespace: &str, schema: &Schema) -> String {
        let own = self.schema.split_once("::").map(|(ns, _)| ns).filter(|ns| !ns.contains('('));
        match (own.unwrap_or(namespace), schema.overload.as_str()) {
            ("prim", _) => format!("prim.{}", schema.name),
            (ns, "") => format!("{ns}.{}.default", schema.name),
            (ns, overload) => format!("{ns}.{}.{overload}", schema.name),
        }
    }

    /// The same with tags added.
    pub const fn tagged(self, tags: Tags) -> OpDef {
        OpDef { tags: self.tags.with(tags), ..self }
    }
}

/// An operator of the table.
pub struct Op {
    /// Full name with namespace and overload: `aten.add.Tensor`, `aten.relu.default`, `prim.add`.
    pub name: String,
    /// The parsed schema.
    pub schema: Schema,
    /// The declaration.
    pub def: OpDef,
}

fn refusal<T>(c: &Call<'_, T>) -> OpError {
    OpError::Unsupported(c.op.def.refusal.unwrap_or("it is not compiled").to_string())
}

fn table() -> &'static IndexMap<String, Op> {
    static TABLE: OnceLock<IndexMap<String, Op>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let families = aten::FAMILIES.iter().map(|f| ("aten", *f)).chain(prim::FAMILIES.iter().map(|f| ("prim", *f)));
        let defs = families.flat_map(|(namespace, defs)| defs.iter().map(move |d| (namespace, d)));
        defs.filter_map(|(namespace, def)| {
            // Schemas are literals of this crate: a test parses every one of them.
            let schema = Schema::parse(def.schema).ok()?;
            let name = def.full_name(namespace, &schema);
            Some((name.clone(), Op { name, schema, def: *def }))
        })
        .collect()
    })
}

/// The operator of this full name.
pub fn lookup(name: &str) -> Option<&'static Op> {
    table().get(name)
}

/// Whether a call does something that nobody sees from its results: a check, or giving a symbol its value. Such a call
/// is never removed as dead.
pub fn has_effect(node: &Node) -> bool {
    let Some(op) = node.op().and_then(lookup) else { return false };
    let binds = || node.outputs.iter().flat_map(|f| &f.shape).any(|d| d.as_symbol().is_some_and(Symbol::is_unbacked));
    op.def.tags.has(Tags::EFFECT) || (op.def.tags.has(Tags::LATE) && binds())
}

/// All operators, in declaration order.
pub fn ops() -> impl Iterator<Item = &'static Op> {
    table().values()
}

/// Infers the facts of a call by name. `args` are in schema order, complete, with facts for tensors.
pub fn infer(name: &str, args: &[Arg<Fact>], scope: &Scope) -> Result<Vec<Fact>, OpError> {
    let op = lookup(name).ok_or_else(|| OpError::UnknownOperator(name.to_string()))?;
    (op.def.infer)(&Call { op, args, scope })
}

/// The functional operator behind one that changes its operand in place, and which arguments it changes:
/// `aten.add_.Tensor` is `aten.add.Tensor` whose result replaces argument 0. Both take the same arguments. The
/// result is to be converted to the dtype of the operand it replaces.
pub fn functional_of(op: &str) -> Option<(&'static Op, Vec<usize>)> {
    let (namespace, rest) = op.split_once('.')?;
    let (name, overload) = rest.split_once('.').unwrap_or((rest, "default"));
    // `__iand__` is the in-place `__and__`; other names end in one underscore.
    let functional = match name.strip_prefix("__i").and_then(|n| n.strip_suffix("__")) {
        Some(inner) => format!("__{inner}__"),
        None => name.strip_suffix('_').filter(|n| !n.ends_with('_'))?.to_string(),
    };
    Some((lookup(&format!("{namespace}.{functional}.{overload}"))?, vec![0]))
}
