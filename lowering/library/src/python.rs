//! `NAME.py`: the library for Python: the program's own signature with types, classes as dataclasses. A layer over the
//! package `pt2c`, which calls the library.

use std::collections::BTreeMap;
use std::fmt::{Result, Write};

use crate::layout::dtype_code;
use crate::names::comment;
use crate::spec::{Leaf, LibrarySpec, Tree};

/// Words that Python keeps.
const WORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "self", "try", "while", "with", "yield",
];

/// The text of the file for the programs of the library `library`; of several, each has a class of its own.
pub fn python(library: &str, specs: &[&LibrarySpec]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_file(&mut out, library, specs);
    out
}

fn write_file(out: &mut String, library: &str, specs: &[&LibrarySpec]) -> Result {
    let first = specs.first().map_or_else(String::new, |spec| model_class(library, spec));
    writeln!(
        out,
        "\"\"\"{library}.py: the library of {library}.h for Python. Needs the package pt2c, and {library}.json and lib{library} \
         beside it.\n\n    import {library}\n    model = {library}.{first}()      # one context: serves one call at a \
         time\n\"\"\"\n\nfrom __future__ import annotations\n\nimport pathlib\nfrom dataclasses import dataclass\nfrom \
         typing import Any\n\nimport pt2c\n\nArray = Any  # of NumPy or PyTorch\n"
    )?;
    let mut classes = Classes::default();
    for spec in specs {
        let trees = [(&spec.forward.input_tree, &spec.inputs), (&spec.forward.output_tree, &spec.outputs)];
        for (tree, leaves) in trees {
            if let Some(tree) = tree {
                classes.collect(out, tree, leaves, &mut 0)?;
            }
        }
    }
    for spec in specs {
        model(out, library, spec, &classes)?;
    }
    Ok(())
}

/// `Model`, or of several programs the program's name in capitals (`Encoder`).
fn model_class(library: &str, spec: &LibrarySpec) -> String {
    let short = spec.name_in(library);
    let part = |part: &str| {
        let mut letters = part.chars();
        letters.next().map_or(String::new(), |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    match short {
        "" => "Model".to_owned(),
        short => short.split('_').map(part).collect(),
    }
}

/// A name that Python takes.
fn name(text: &str) -> String {
    let mut name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    if WORDS.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

/// The dataclasses written so far, by serialised type and fields.
#[derive(Default)]
struct Classes(BTreeMap<(String, Vec<String>), String>);

impl Classes {
    /// Writes the classes of a tree; those inside others come first. `next` is the position of the next leaf.
    fn collect(&mut self, out: &mut String, tree: &Tree, leaves: &[Leaf], next: &mut u32) -> Result {
        let Some(key) = key(tree) else {
            if tree.type_name.is_none() {
                *next += 1;
            }
            return tree.children.iter().try_for_each(|child| self.collect(out, child, leaves, next));
        };
        let mut kinds = Vec::new();
        for child in &tree.children {
            let leaf = leaves.iter().find(|leaf| leaf.position == *next && child.type_name.is_none());
            kinds.push(leaf.map(describe));
            self.collect(out, child, leaves, next)?;
        }
        if self.0.contains_key(&key) {
            return Ok(());
        }
        let mut class = name(key.0.rsplit('.').next().unwrap_or("Class"));
        while ["Array", "Any", "Model"].contains(&class.as_str()) || self.0.values().any(|known| *known == class) {
            class.push('_');
        }
        writeln!(out, "\n@dataclass\nclass {class}:\n    \"\"\"{}\"\"\"\n", comment(&key.0).replace('"', "'"))?;
        for ((field, child), kind) in key.1.iter().zip(&tree.children).zip(kinds) {
            let remark = kind.map_or_else(String::new, |kind| format!("  # {kind}"));
            writeln!(out, "    {}: {}{remark}", name(field), self.annotation(child))?;
        }
        writeln!(out)?;
        self.0.insert(key, class);
        Ok(())
    }

    fn of(&self, tree: &Tree) -> Option<&str> {
        self.0.get(&key(tree)?).map(String::as_str)
    }

    fn annotation(&self, tree: &Tree) -> String {
        match (self.of(tree), tree.type_name.as_deref()) {
            (Some(class), _) => class.to_owned(),
            (None, None) => "Array".to_owned(),
            (None, Some("builtins.tuple")) => {
                let parts: Vec<String> = tree.children.iter().map(|child| self.annotation(child)).collect();
                if parts.is_empty() { "tuple[()]".to_owned() } else { format!("tuple[{}]", parts.join(", ")) }
            }
            (None, Some("builtins.list")) => "list".to_owned(),
            (None, Some("builtins.dict" | "collections.OrderedDict" | "collections.defaultdict")) => "dict".to_owned(),
            _ => "Any".to_owned(),
        }
    }

    /// The expression that makes what the package returns one of the classes; `None` if it is that already.
    fn convert(&self, tree: &Tree, value: &str) -> Option<String> {
        let part = |index: usize, child: &Tree, access: String| {
            self.convert(child, &format!("{value}{access}"))
                .map_or((index, format!("{value}{access}"), false), |made| (index, made, true))
        };
        let parts = |access: &dyn Fn(usize) -> String| -> (Vec<String>, bool) {
            let made = tree.children.iter().enumerate().map(|(index, child)| part(index, child, access(index)));
            let made: Vec<_> = made.collect();
            let any = made.iter().any(|(_, _, changed)| *changed);
            (made.into_iter().map(|(_, text, _)| text).collect(), any)
        };
        if let Some(class) = self.of(tree) {
            let (parts, _) = parts(&|index| format!(".{}", tree.fields.get(index).map_or("", String::as_str)));
            return Some(format!("{class}({})", parts.join(", ")));
        }
        match tree.type_name.as_deref()? {
            "builtins.tuple" => {
                let (parts, any) = parts(&|index| format!("[{index}]"));
                any.then(|| format!("({},)", parts.join(", ")))
            }
            "builtins.list" => {
                let (parts, any) = parts(&|index| format!("[{index}]"));
                any.then(|| format!("[{}]", parts.join(", ")))
            }
            "builtins.dict" => {
                let keys: Vec<serde_json::Value> = serde_json::from_str(tree.context.as_deref()?).ok()?;
                let key = |index: usize| keys.get(index).map_or_else(|| "null".to_owned(), |key| key.to_string());
                let (parts, any) = parts(&|index| format!("[{}]", key(index)));
                let items = parts.iter().enumerate().map(|(index, part)| format!("{}: {part}", key(index)));
                any.then(|| format!("{{{}}}", items.collect::<Vec<_>>().join(", ")))
            }
            _ => None,
        }
    }
}

/// The serialised type and the fields of a class whose fields are known.
fn key(tree: &Tree) -> Option<(String, Vec<String>)> {
    let kind = tree.type_name.as_deref()?;
    let plain = |field: &String| name(field) == *field;
    let known = !tree.fields.is_empty() && tree.fields.len() == tree.children.len() && tree.fields.iter().all(plain);
    let own = kind != "collections.namedtuple" && !kind.starts_with("builtins.") && !kind.starts_with("collections.");
    (known && own).then(|| (kind.to_owned(), tree.fields.clone()))
}

fn describe(leaf: &Leaf) -> String {
    let sizes: Vec<String> = leaf.shape.iter().map(|size| comment(&size.to_string())).collect();
    match &leaf.value {
        Some(value) => format!("int {}", comment(&value.to_string())),
        None => format!("{} [{}]", dtype_code(leaf.dtype).name(), sizes.join(", ")),
    }
}

/// The class of a program.
fn model(out: &mut String, library: &str, spec: &LibrarySpec, classes: &Classes) -> Result {
    let class = model_class(library, spec);
    let about = spec.description.first().map_or_else(String::new, |line| comment(line).replace(['"', '\\'], "'"));
    writeln!(out, "\nclass {class}:\n    \"\"\"{about}\"\"\"\n")?;
    let short = spec.name_in(library);
    let entry = if short.is_empty() { String::new() } else { format!("entry=\"{short}\", ") };
    writeln!(
        out,
        "    def __init__(self, threads: int = 0):\n        interface = pathlib.Path(__file__).with_name(\"{library}.json\")\n        \
         self.model = pt2c.load(interface, {entry}threads=threads)\n"
    )?;
    let inputs = spec.forward.input_tree.as_ref().map(|tree| tree.children.as_slice());
    let Some([positional, keywords]) = inputs else {
        return writeln!(
            out,
            "    def __call__(self, *args: Any, **kwargs: Any) -> Any:\n        return self.model(*args, **kwargs)\n"
        );
    };
    let (mut parameters, mut passed) = (vec!["self".to_owned()], Vec::new());
    for (index, child) in positional.children.iter().enumerate() {
        let argument = spec.forward.arguments.get(index).map_or_else(|| format!("arg{index}"), |text| name(text));
        parameters.push(format!("{argument}: {}", classes.annotation(child)));
        passed.push(argument);
    }
    let keys: Vec<String> =
        keywords.context.as_deref().and_then(|context| serde_json::from_str(context).ok()).unwrap_or_default();
    if !keywords.children.is_empty() && keys.len() == keywords.children.len() {
        parameters.push("*".to_owned());
        for (key, child) in keys.iter().zip(&keywords.children) {
            // What the exporter fixed may be left out.
            parameters.push(format!("{}: {} = ...", name(key), classes.annotation(child)));
            passed.push(format!("**({{}} if {0} is ... else {{\"{key}\": {0}}})", name(key)));
        }
    }
    let output = spec.forward.output_tree.as_ref();
    let returned = output.map_or_else(|| "Any".to_owned(), |tree| classes.annotation(tree));
    writeln!(out, "    def __call__({}) -> {returned}:", parameters.join(", "))?;
    writeln!(out, "        result = self.model({})", passed.join(", "))?;
    let made = output.and_then(|tree| classes.convert(tree, "result"));
    writeln!(out, "        return {}\n", made.unwrap_or_else(|| "result".to_owned()))?;
    writeln!(
        out,
        "    def reset(self) -> None:\n        \"\"\"Every state buffer as exported.\"\"\"\n        self.model.reset()\n"
    )
}
