//! A typed writer of MLIR text: every kernel and the main function are written through it.
//!
//! A [`Func`] names values, keeps indentation, and hoists constants and stack buffers to the function's entry, each
//! constant once. Types come from the operands; a mismatch is found by MLIR's own verifier when the text is parsed
//! (a typed error, see [`crate::mlir`]). Operations are in [`ops`](self) by dialect; control flow comes as closures
//! ([`Func::for_loop`], [`Func::if_else`], [`Func::while_loop`]) and, for writers that can fail half-way, as
//! `begin_*`/`end_*` pairs.
//!
//! Conventions: all functions are `func.func`. A kernel's body takes flat buffers ([`Type::buffer`], passed as bare
//! pointers, `llvm.noalias`) and `index` values. Everything is internal but the functions marked public.

mod constants;
mod control;
mod half;
mod memory;
mod ops;
mod types;
mod vector;

pub use control::Scope;
pub use half::Format;
pub use ops::{FloatPredicate, IntPredicate};
pub use types::{BUFFER_ELEMENTS, Elem, Type, Val};
pub use vector::Reduction;

use crate::target::Target;
use indexmap::IndexMap;
use std::fmt::Write;

/// A module under construction: functions in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Module {
    functions: Vec<String>,
}

impl Module {
    /// An empty module.
    pub fn new() -> Module {
        Module::default()
    }

    /// Adds a finished function.
    pub fn add(&mut self, function: Func<'_>) {
        self.functions.push(function.finish());
    }

    /// Declares a function that is defined elsewhere (the runtime).
    pub fn declare(&mut self, name: &str, params: &[Type], results: &[Type]) {
        self.functions.push(format!("  func.func private @{name}({}) -> ({})\n", list(params), list(results)));
    }

    /// Adds the text of a function as [`Func::finish`] returned it.
    pub fn add_text(&mut self, text: String) {
        self.functions.push(text);
    }

    /// The module's MLIR text.
    pub fn finish(self) -> String {
        let mut out = String::from("module {\n");
        for f in &self.functions {
            out.push_str(f);
        }
        out.push_str("}\n");
        out
    }
}

/// A function under construction.
#[derive(Clone, Debug)]
pub struct Func<'t> {
    /// What the code is for: lanes, registers, whether there is FMA.
    pub target: &'t Target,
    name: String,
    public: bool,
    inline: Inline,
    params: Vec<(Val, bool)>,
    results: Vec<Type>,
    /// Constants by their text, in order of first use; then stack buffers.
    constants: IndexMap<String, Val>,
    entry: String,
    body: String,
    indent: usize,
    next: u32,
}

/// What LLVM's inliner may do with a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inline {
    /// As it sees fit.
    #[default]
    Auto,
    /// Never: one copy shared by all callers.
    Never,
}

impl<'t> Func<'t> {
    /// An internal function without results yet.
    pub fn new(target: &'t Target, name: impl Into<String>) -> Func<'t> {
        Func {
            target,
            name: name.into(),
            public: false,
            inline: Inline::Auto,
            params: Vec::new(),
            results: Vec::new(),
            constants: IndexMap::new(),
            entry: String::new(),
            body: String::new(),
            indent: 2,
            next: 0,
        }
    }

    /// Makes it visible to the other members of the archive (hidden visibility: never exported from a program).
    pub fn public(mut self) -> Func<'t> {
        self.public = true;
        self
    }

    /// Sets what the inliner may do.
    pub fn inline(mut self, inline: Inline) -> Func<'t> {
        self.inline = inline;
        self
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a parameter. Buffers are taken to alias nothing else (`llvm.noalias`).
    pub fn param(&mut self, ty: Type) -> Val {
        let v = self.fresh(ty);
        self.params.push((v, matches!(ty, Type::Memory(..))));
        v
    }

    /// Adds a parameter that may alias another one.
    pub fn param_may_alias(&mut self, ty: Type) -> Val {
        let v = self.fresh(ty);
        self.params.push((v, false));
        v
    }

    /// Declares the result types; end the body with [`Func::ret`].
    pub fn returns(&mut self, results: &[Type]) {
        self.results = results.to_vec();
    }

    /// Ends the body. Every function needs exactly one, last.
    pub fn ret(&mut self, values: &[Val]) {
        if values.is_empty() {
            self.stmt("return");
        } else {
            let text = format!("return {} : {}", list(values), types(values));
            self.stmt(&text);
        }
    }

    /// The function's MLIR text. It depends only on the calls made, not on the name given to another function, so
    /// equal kernels have equal text once they bear equal names.
    pub fn finish(self) -> String {
        let mut out = String::new();
        let params: Vec<String> = self
            .params
            .iter()
            .map(|(v, noalias)| format!("{v}: {}{}", v.ty, if *noalias { " {llvm.noalias}" } else { "" }))
            .collect();
        let results = if self.results.is_empty() { String::new() } else { format!(" -> ({})", list(&self.results)) };
        let attributes = match self.inline {
            Inline::Auto => "",
            Inline::Never => " attributes {passthrough = [\"noinline\"]}",
        };
        let visibility = if self.public { "" } else { "private " };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  func.func {visibility}@{}({}){results}{attributes} {{", self.name, params.join(", "));
        for (text, v) in &self.constants {
            let _ = writeln!(out, "    {v} = {text}");
        }
        out.push_str(&self.entry);
        out.push_str(&self.body);
        out.push_str("  }\n");
        out
    }

    /// Writes one operation without results.
    pub fn stmt(&mut self, text: &str) {
        for _ in 0..self.indent {
            self.body.push_str("  ");
        }
        self.body.push_str(text);
        self.body.push('\n');
    }

    /// Writes one operation with one result of type `ty`; `text` is what follows the `=`.
    pub fn op(&mut self, ty: Type, text: impl std::fmt::Display) -> Val {
        let v = self.fresh(ty);
        for _ in 0..self.indent {
            self.body.push_str("  ");
        }
        let _ = writeln!(self.body, "{v} = {text}");
        v
    }

    /// Writes one operation with several results.
    pub fn op_many(&mut self, tys: &[Type], text: impl std::fmt::Display) -> Vec<Val> {
        let (head, vals) = self.fresh_many(tys);
        self.stmt(&format!("{head}{text}"));
        vals
    }

    /// A new value name.
    fn fresh(&mut self, ty: Type) -> Val {
        let id = self.next;
        self.next += 1;
        Val { id, part: None, ty }
    }

    /// Names for several results and the text before the operation (`%v3:2 = `).
    fn fresh_many(&mut self, tys: &[Type]) -> (String, Vec<Val>) {
        let id = self.next;
        self.next += 1;
        match tys {
            [] => (String::new(), Vec::new()),
            [ty] => (format!("%v{id} = "), vec![Val { id, part: None, ty: *ty }]),
            _ => {
                let vals = (0u32..).zip(tys).map(|(k, ty)| Val { id, part: Some(k), ty: *ty }).collect();
                (format!("%v{id}:{} = ", tys.len()), vals)
            }
        }
    }
}

/// `a, b, c`.
pub(crate) fn list<T: std::fmt::Display>(items: &[T]) -> String {
    let mut out = String::new();
    for (k, item) in items.iter().enumerate() {
        if k > 0 {
            out.push_str(", ");
        }
        let _ = write!(out, "{item}");
    }
    out
}

/// The types of `values`, as `a, b, c`.
pub(crate) fn types(values: &[Val]) -> String {
    list(&values.iter().map(|v| v.ty).collect::<Vec<_>>())
}
