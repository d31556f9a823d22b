//! Nested arguments and results as types: every container of the Python signature that is not flat (a registered class, a
//! dict, a tuple, a list) is a struct whose members lie in memory as the flat leaves do.
//!
//! A class keeps its name; other containers are named by the way to them (`arguments_options`). Equal containers of one
//! class are one type. Leaves that the exporter fixed have no member.

pub mod c;
pub mod cpp;
pub mod rust;

use std::collections::BTreeSet;

use crate::names::identifier;
use crate::spec::{Leaf, LibrarySpec, Tree};

/// Names that the flat interface has in one of the languages.
const TAKEN: &[&str] = &[
    "Arguments",
    "Clone",
    "Debug",
    "Default",
    "Drop",
    "Err",
    "Error",
    "Inputs",
    "Model",
    "None",
    "Ok",
    "Option",
    "Outputs",
    "Result",
    "Results",
    "Send",
    "Some",
    "String",
    "Tensor",
    "Vec",
    "View",
    "ViewMut",
    "arguments",
    "context",
    "create",
    "destroy",
    "error",
    "inputs",
    "model",
    "options",
    "output_shapes",
    "outputs",
    "reserve",
    "reset",
    "results",
    "run",
    "state",
    "status",
];

/// The types of arguments and results of a program.
#[derive(Clone, Debug)]
pub struct Nested {
    /// Those that others use come first.
    pub types: Vec<Type>,
    /// What the call takes.
    pub arguments: usize,
    /// What it returns.
    pub results: usize,
}

/// A struct.
#[derive(Clone, Debug)]
pub struct Type {
    /// Without the library's prefix.
    pub name: String,
    /// What it is in Python.
    pub python: String,
    /// Whether its leaves are outputs.
    pub output: bool,
    pub members: Vec<Member>,
}

/// A member of a struct.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    pub name: String,
    pub place: Place,
}

/// What a member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Of this index among the inputs or the outputs of the library.
    Leaf(usize),
    /// Of this index in [`Nested::types`].
    Type(usize),
}

impl Nested {
    /// The types of a program; `None` if everything is flat, or the archive does not tell.
    pub fn of(spec: &LibrarySpec) -> Option<Nested> {
        let (inputs, outputs) = (spec.forward.input_tree.as_ref()?, spec.forward.output_tree.as_ref()?);
        let [positional, keywords] = inputs.children.as_slice() else { return None };
        let mut builder = Builder::default();
        // What the flat interface has.
        builder.names.extend(TAKEN.iter().map(|name| (*name).to_owned()));
        let name = |index: usize| spec.forward.arguments.get(index).cloned().unwrap_or_else(|| format!("arg{index}"));
        let children = positional.children.iter().enumerate().map(|(index, child)| (name(index), child));
        let children: Vec<(String, &Tree)> = children.chain(members(keywords)).collect();
        let arguments =
            builder.container("arguments", "The arguments of `forward`.", false, &spec.inputs, &children)?;
        builder.all_seen(&spec.inputs)?;
        let children = match outputs.type_name {
            None => vec![("output".to_owned(), outputs)],
            Some(_) => members(outputs).collect(),
        };
        let python = format!("What `forward` returns: {}.", python_name(outputs));
        let results = builder.container("results", &python, true, &spec.outputs, &children)?;
        builder.all_seen(&spec.outputs)?;
        let has_type = |index: usize| {
            let of = builder.types.get(index);
            of.is_some_and(|of| of.members.iter().any(|member| matches!(member.place, Place::Type(_))))
        };
        let named =
            outputs.type_name.as_deref().is_some_and(|name| !matches!(name, "builtins.tuple" | "builtins.list"));
        (has_type(arguments) || has_type(results) || named).then_some(Nested {
            types: builder.types,
            arguments,
            results,
        })
    }

    /// The way from the whole to each leaf, as names of members.
    pub fn paths(&self, whole: usize) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        for member in self.types.get(whole).map_or(&[][..], |of| &of.members) {
            match member.place {
                Place::Leaf(_) => paths.push(vec![member.name.clone()]),
                Place::Type(inner) => paths.extend(
                    self.paths(inner)
                        .into_iter()
                        .map(|rest| std::iter::once(member.name.clone()).chain(rest).collect()),
                ),
            }
        }
        paths
    }
}

#[derive(Default)]
struct Builder {
    types: Vec<Type>,
    /// What each type is made of, and the class it is of.
    keys: Vec<String>,
    names: BTreeSet<String>,
    /// Leaves of the tree so far, fixed ones included.
    position: u32,
    /// Those of the library so far.
    seen: usize,
}

impl Builder {
    /// All leaves of the library are in the tree; the next tree begins.
    fn all_seen(&mut self, leaves: &[Leaf]) -> Option<()> {
        self.position = 0;
        (std::mem::take(&mut self.seen) == leaves.len()).then_some(())
    }

    /// A struct of these members.
    fn container(
        &mut self,
        name: &str,
        python: &str,
        output: bool,
        leaves: &[Leaf],
        children: &[(String, &Tree)],
    ) -> Option<usize> {
        let mut used = BTreeSet::new();
        let mut members = Vec::new();
        for (child_name, child) in children {
            let own = identifier(child_name, "item", &mut used);
            if let Some(place) = self.child(&format!("{name}_{own}"), output, leaves, child)? {
                members.push(Member { name: own, place });
            }
        }
        Some(self.add(Type { name: name.to_owned(), python: python.to_owned(), output, members }))
    }

    fn add(&mut self, of: Type) -> usize {
        self.types.push(of);
        self.keys.push(String::new());
        self.types.len() - 1
    }

    /// `Some(None)` for what has no leaves; `None` if the tree is not the library's.
    fn child(&mut self, way: &str, output: bool, leaves: &[Leaf], tree: &Tree) -> Option<Option<Place>> {
        if tree.type_name.is_none() {
            let position = self.position;
            self.position += 1;
            return match leaves.iter().position(|leaf| leaf.position == position) {
                Some(index) if index == self.seen => {
                    self.seen += 1;
                    Some(Some(Place::Leaf(index)))
                }
                Some(_) => None,
                None => Some(None),
            };
        }
        let first = self.seen;
        let children: Vec<(String, &Tree)> = members(tree).collect();
        let before = self.types.len();
        let index = self.container(way, &format!("{}.", python_name(tree)), output, leaves, &children)?;
        if self.types.get(index)?.members.is_empty() {
            self.types.truncate(before);
            self.keys.truncate(before);
            return Some(None);
        }
        // Another one of the class, of the same leaves, is of the same type; its members lead to its own leaves all the
        // same, since only their order counts.
        let class = class_name(tree);
        let of = leaves.get(first..self.seen)?;
        let leaf = |leaf: &Leaf| format!("{:?} {:?} {} {}", leaf.kind, leaf.dtype, leaf.shape.len(), leaf.mutated);
        let kinds: Vec<String> = of.iter().map(leaf).collect();
        let member = |member: &Member| match member.place {
            Place::Leaf(_) => member.name.clone(),
            Place::Type(inner) => format!("{} {{{}}}", member.name, self.keys.get(inner).map_or("", String::as_str)),
        };
        let members: Vec<String> = self.types.get(index)?.members.iter().map(member).collect();
        let key = format!("{class:?} {output} {} {}", members.join(","), kinds.join(","));
        if class.is_some()
            && let Some(known) = self.keys.iter().position(|known| *known == key)
        {
            self.types.truncate(before);
            self.keys.truncate(before);
            return Some(Some(Place::Type(known)));
        }
        let name = match &class {
            Some(class) if output && self.names.contains(class) => format!("{class}_result"),
            Some(class) => class.clone(),
            None => way.to_owned(),
        };
        let name = identifier(&name, "item", &mut self.names);
        if let (Some(of), Some(known)) = (self.types.get_mut(index), self.keys.get_mut(index)) {
            of.name = name;
            *known = key;
        }
        Some(Some(Place::Type(index)))
    }
}

/// The children of a container with the names of their members.
fn members(tree: &Tree) -> impl Iterator<Item = (String, &Tree)> {
    let keys: Vec<serde_json::Value> = match (tree.type_name.as_deref(), &tree.context) {
        (Some("builtins.dict" | "collections.OrderedDict"), Some(context)) => {
            serde_json::from_str(context).unwrap_or_default()
        }
        (Some("collections.defaultdict"), Some(context)) => {
            let context: Vec<serde_json::Value> = serde_json::from_str(context).unwrap_or_default();
            context.last().and_then(|keys| keys.as_array()).cloned().unwrap_or_default()
        }
        _ => Vec::new(),
    };
    tree.children.iter().enumerate().map(move |(index, child)| {
        let key = keys.get(index).map(|key| key.as_str().map_or_else(|| key.to_string(), str::to_owned));
        let name = key.or_else(|| tree.fields.get(index).cloned()).unwrap_or_else(|| format!("item{index}"));
        (name, child)
    })
}

/// The name of a registered class or named tuple.
fn class_name(tree: &Tree) -> Option<String> {
    let name = match tree.type_name.as_deref()? {
        "collections.namedtuple" => serde_json::from_str::<String>(tree.context.as_deref()?).ok()?,
        name if name.starts_with("builtins.") || name.starts_with("collections.") => return None,
        name => name.to_owned(),
    };
    name.rsplit('.').next().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// What the container is in Python.
fn python_name(tree: &Tree) -> String {
    match tree.type_name.as_deref() {
        None => "a tensor or number".to_owned(),
        Some(name) => crate::names::comment(name.strip_prefix("builtins.").unwrap_or(name)),
    }
}
