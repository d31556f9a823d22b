//! Pytrees: how nested Python values were flattened into the program's inputs and outputs.
//!
//! A specification is a JSON document `[1, SPEC]` inside a string, `SPEC = {"type", "context", "children_spec"}`,
//! where type `null` is a leaf. No class is looked up: types that PyTorch itself could not load in a fresh
//! process (every `transformers` output) are opaque nodes with children, named by their context where it lists names.

use std::fmt;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use crate::limits;
use crate::schema::{NamedTupleDef, SchemaError, from_json};

/// The treespec protocol that torch writes.
const TREESPEC_VERSION: i64 = 1;

/// A node of a pytree.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeSpec {
    /// What the node is.
    pub kind: TreeKind,
    /// In flattening order.
    pub children: Vec<TreeSpec>,
}

/// What a pytree node is.
#[derive(Clone, Debug, PartialEq)]
pub enum TreeKind {
    /// One flat value.
    Leaf,
    /// `tuple`
    Tuple,
    /// `list`
    List,
    /// `dict`, `OrderedDict` or `defaultdict`: one key per child, in insertion order.
    Dict {
        /// The serialised type name.
        type_name: String,
        /// Keys as JSON values; almost always strings.
        keys: Vec<Value>,
        /// The context as written.
        context: Value,
    },
    /// A named tuple.
    NamedTuple {
        /// The serialised type name: `collections.namedtuple` (the class is the context) or a registered one.
        type_name: String,
        /// One per child; empty when the file does not say.
        fields: Vec<String>,
        /// The context as written.
        context: Value,
    },
    /// A registered class, such as a dataclass or a model's output class.
    Opaque {
        /// Its serialised name.
        type_name: String,
        /// One per child where the context lists them; else empty.
        fields: Vec<String>,
        /// The context as written.
        context: Value,
    },
}

/// One step from a pytree's root to a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStep {
    /// Position in a tuple or list.
    Index(usize),
    /// Key of a dict; text keys are without quotes here.
    Key(String),
    /// Attribute of a named tuple or class.
    Attr(String),
}

impl fmt::Display for PathStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathStep::Index(index) => write!(f, "[{index}]"),
            PathStep::Key(key) => write!(f, "[{key:?}]"),
            PathStep::Attr(name) => write!(f, ".{name}"),
        }
    }
}

#[derive(Deserialize)]
struct RawSpec {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    context: Value,
    #[serde(default)]
    children_spec: Vec<RawSpec>,
}

impl TreeSpec {
    /// A single leaf.
    pub fn leaf() -> TreeSpec {
        TreeSpec { kind: TreeKind::Leaf, children: Vec::new() }
    }

    /// Reads `[1, SPEC]`. `what` names the document in errors; `named_tuples` is the program's table of fields.
    ///
    /// # Errors
    /// [`SchemaError`] for a malformed document, another protocol version, or keys that do not match the children.
    pub fn parse(
        what: &str,
        text: &str,
        named_tuples: &IndexMap<String, NamedTupleDef>,
    ) -> Result<TreeSpec, SchemaError> {
        let (version, spec): (i64, RawSpec) = from_json(what, text.as_bytes())?;
        if version != TREESPEC_VERSION {
            return Err(SchemaError::value(
                what,
                "[0]",
                format!("treespec version {version}; only {TREESPEC_VERSION} is read"),
            ));
        }
        let mut budget = limits::MAX_TREE_NODES;
        build(what, spec, named_tuples, 0, &mut budget)
    }

    /// A tuple of these.
    pub fn tuple(children: Vec<TreeSpec>) -> TreeSpec {
        TreeSpec { kind: TreeKind::Tuple, children }
    }

    /// A list of these.
    pub fn list(children: Vec<TreeSpec>) -> TreeSpec {
        TreeSpec { kind: TreeKind::List, children }
    }

    /// A dict of these.
    pub fn dict(items: Vec<(String, TreeSpec)>) -> TreeSpec {
        let (keys, children): (Vec<Value>, Vec<TreeSpec>) =
            items.into_iter().map(|(key, child)| (Value::String(key), child)).unzip();
        let context = Value::String(Value::Array(keys.clone()).to_string());
        TreeSpec { kind: TreeKind::Dict { type_name: "builtins.dict".to_owned(), keys, context }, children }
    }

    /// The document `[1, SPEC]` that archives hold; [`TreeSpec::parse`] reads it back.
    pub fn to_text(&self) -> String {
        Value::Array(vec![Value::from(TREESPEC_VERSION), self.to_json()]).to_string()
    }

    fn to_json(&self) -> Value {
        let context = match &self.kind {
            TreeKind::Leaf => Value::Null,
            TreeKind::Tuple | TreeKind::List => Value::String("null".to_owned()),
            TreeKind::Dict { context, .. }
            | TreeKind::NamedTuple { context, .. }
            | TreeKind::Opaque { context, .. } => context.clone(),
        };
        let children: Vec<Value> = self.children.iter().map(TreeSpec::to_json).collect();
        serde_json::json!({"type": self.type_name(), "context": context, "children_spec": children})
    }

    /// A tree in the IR's terms, as import made it.
    pub(crate) fn from_ir(spec: &pt2c_ir::TreeSpec) -> TreeSpec {
        let children: Vec<TreeSpec> = spec.children.iter().map(TreeSpec::from_ir).collect();
        let Some(type_name) = &spec.kind else { return TreeSpec::leaf() };
        let context = Value::String(spec.context.clone().unwrap_or_else(|| "null".to_owned()));
        let kind = node_kind("pytree", type_name.clone(), context.clone(), children.len(), &IndexMap::new());
        let opaque = || TreeKind::Opaque { type_name: type_name.clone(), fields: Vec::new(), context };
        TreeSpec { kind: kind.unwrap_or_else(|_| opaque()), children }
    }

    /// The serialised type name; `None` for a leaf.
    pub fn type_name(&self) -> Option<&str> {
        match &self.kind {
            TreeKind::Leaf => None,
            TreeKind::Tuple => Some("builtins.tuple"),
            TreeKind::List => Some("builtins.list"),
            TreeKind::Dict { type_name, .. }
            | TreeKind::NamedTuple { type_name, .. }
            | TreeKind::Opaque { type_name, .. } => Some(type_name),
        }
    }

    /// The type's context as recorded: JSON text; `None` where the type has none.
    pub fn context_text(&self) -> Option<String> {
        match &self.kind {
            TreeKind::Leaf | TreeKind::Tuple | TreeKind::List => None,
            TreeKind::Dict { context, .. }
            | TreeKind::NamedTuple { context, .. }
            | TreeKind::Opaque { context, .. } => match context {
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            },
        }
    }

    /// Number of leaves.
    pub fn leaf_count(&self) -> usize {
        match self.kind {
            TreeKind::Leaf => 1,
            _ => self.children.iter().map(TreeSpec::leaf_count).sum(),
        }
    }

    /// The way from the root to every leaf, in flattening order.
    pub fn leaf_paths(&self) -> Vec<Vec<PathStep>> {
        let mut out = Vec::new();
        self.collect_paths(&mut Vec::new(), &mut out);
        out
    }

    fn collect_paths(&self, prefix: &mut Vec<PathStep>, out: &mut Vec<Vec<PathStep>>) {
        if self.kind == TreeKind::Leaf {
            out.push(prefix.clone());
            return;
        }
        for (index, child) in self.children.iter().enumerate() {
            prefix.push(self.step(index));
            child.collect_paths(prefix, out);
            prefix.pop();
        }
    }

    /// How the `index`th child is reached.
    pub fn step(&self, index: usize) -> PathStep {
        match &self.kind {
            TreeKind::Leaf | TreeKind::Tuple | TreeKind::List => PathStep::Index(index),
            TreeKind::Dict { keys, .. } => match keys.get(index) {
                Some(Value::String(key)) => PathStep::Key(key.clone()),
                Some(Value::Number(number)) => match number.as_u64() {
                    Some(number) => PathStep::Index(number as usize),
                    None => PathStep::Key(number.to_string()),
                },
                Some(other) => PathStep::Key(other.to_string()),
                None => PathStep::Index(index),
            },
            TreeKind::NamedTuple { fields, .. } | TreeKind::Opaque { fields, .. } => match fields.get(index) {
                Some(name) => PathStep::Attr(name.clone()),
                None => PathStep::Index(index),
            },
        }
    }

    /// Names of the flat outputs, such as `output`, `output[0]`, `output.logits`.
    pub fn output_names(&self) -> Vec<String> {
        self.leaf_paths().iter().map(|path| render("output", path)).collect()
    }

    /// Names of the flat inputs in the caller's words, such as `x` or `inputs["a"][0]`. The tree of inputs is
    /// always `(args, kwargs)`; `arg_names` are the parameter names of `forward`.
    pub fn input_names(&self, arg_names: &[String]) -> Vec<String> {
        self.leaf_paths()
            .iter()
            .map(|path| match path.as_slice() {
                [PathStep::Index(0), PathStep::Index(index), rest @ ..] => match arg_names.get(*index) {
                    Some(name) => render(name, rest),
                    None => render("args", path.get(1..).unwrap_or(&[])),
                },
                [PathStep::Index(1), PathStep::Key(name), rest @ ..] => render(name, rest),
                other => render("input", other),
            })
            .collect()
    }
}

fn render(base: &str, path: &[PathStep]) -> String {
    path.iter().fold(base.to_owned(), |mut name, step| {
        name.push_str(&step.to_string());
        name
    })
}

fn build(
    what: &str,
    spec: RawSpec,
    named_tuples: &IndexMap<String, NamedTupleDef>,
    depth: usize,
    budget: &mut usize,
) -> Result<TreeSpec, SchemaError> {
    let Some(left) = budget.checked_sub(1) else {
        return Err(SchemaError::value(what, "[1]", format!("more than {} pytree nodes", limits::MAX_TREE_NODES)));
    };
    *budget = left;
    if depth > limits::MAX_TREE_DEPTH {
        return Err(SchemaError::value(what, "[1]", format!("pytree nested deeper than {}", limits::MAX_TREE_DEPTH)));
    }
    let count = spec.children_spec.len();
    let kind = match spec.kind {
        None if count == 0 => TreeKind::Leaf,
        None => {
            return Err(SchemaError::value(what, "[1]", "a leaf with children"));
        }
        Some(type_name) => node_kind(what, type_name, spec.context, count, named_tuples)?,
    };
    let children = spec
        .children_spec
        .into_iter()
        .map(|child| build(what, child, named_tuples, depth + 1, budget))
        .collect::<Result<_, _>>()?;
    Ok(TreeSpec { kind, children })
}

fn node_kind(
    what: &str,
    type_name: String,
    raw_context: Value,
    children: usize,
    named_tuples: &IndexMap<String, NamedTupleDef>,
) -> Result<TreeKind, SchemaError> {
    // Most contexts are JSON in a string; those of types with a serialiser of their own can be anything.
    let context = match &raw_context {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| raw_context.clone()),
        other => other.clone(),
    };
    Ok(match type_name.as_str() {
        "builtins.tuple" => TreeKind::Tuple,
        "builtins.list" | "collections.deque" => TreeKind::List,
        "builtins.dict" | "collections.OrderedDict" | "collections.defaultdict" => {
            let listed = match &context {
                Value::Object(fields) => fields.get("dict_context"),
                other => Some(other),
            };
            let keys = match listed {
                Some(Value::Array(keys)) => keys.clone(),
                _ => Vec::new(),
            };
            if keys.len() != children {
                return Err(SchemaError::value(
                    what,
                    "[1]",
                    format!("a {type_name} has {} keys for {children} children", keys.len()),
                ));
            }
            TreeKind::Dict { type_name, keys, context: raw_context }
        }
        "collections.namedtuple" => {
            let name = match &context {
                Value::String(name) => name.clone(),
                _ => type_name.clone(),
            };
            let fields = named_tuples
                .get(&name)
                .map(|def| def.field_names.clone())
                .filter(|fields| fields.len() == children)
                .unwrap_or_default();
            TreeKind::NamedTuple { type_name, fields, context: raw_context }
        }
        _ => {
            if let Some(def) = named_tuples.get(&type_name)
                && def.field_names.len() == children
            {
                return Ok(TreeKind::NamedTuple { fields: def.field_names.clone(), type_name, context: raw_context });
            }
            TreeKind::Opaque { fields: field_names(&context, children), type_name, context: raw_context }
        }
    })
}

/// Field names from a registered class's context: a list of names (dict-like classes), or
/// `[[names], [names that are None]]` (dataclasses).
fn field_names(context: &Value, children: usize) -> Vec<String> {
    let names = |value: &Value| -> Option<Vec<String>> {
        let names: Vec<String> =
            value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?;
        (names.len() == children).then_some(names)
    };
    names(context).or_else(|| names(context.as_array()?.first()?)).unwrap_or_default()
}
