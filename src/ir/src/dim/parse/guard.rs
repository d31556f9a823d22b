//! Guards: Python conditions over the program's inputs.

use std::collections::BTreeMap;
use std::fmt;

use super::ParseError;
use super::lower::Lowering;
use super::syntax::{Ast, parse};
use crate::dim::{Dim, Pred, Symbol};

/// One step of the way from the arguments to a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathStep {
    /// `['name']`
    Key(String),
    /// `[3]`
    Index(i64),
    /// `.name`
    Attr(String),
}

/// What a guard asks of an input.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InputProperty {
    /// The input itself, an integer.
    Value,
    /// `.size()[i]`; a negative index counts from the end.
    Size(i64),
    /// `.stride()[i]`; a negative index counts from the end.
    Stride(i64),
    /// `.storage_offset()`
    StorageOffset,
    /// `.dim()` or `.ndim`
    Rank,
    /// `.item()`: the value of a one-element tensor.
    Item,
}

/// A leaf of a guard: a property of one input, named by the path that follows `L`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputRef {
    /// The way from the arguments, starting with the parameter's name.
    pub path: Vec<PathStep>,
    /// What of it.
    pub what: InputProperty,
}

/// A parsed guard: a predicate over the inputs' properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    refs: Vec<InputRef>,
    /// Over one symbol per property, named by the property's text.
    pred: Pred,
    text: String,
}

impl Guard {
    /// Reads a guard.
    ///
    /// # Errors
    /// As for [`super::parse_guard`].
    pub fn parse(text: &str) -> Result<Guard, ParseError> {
        let ast = parse(text)?;
        let mut refs: Vec<InputRef> = Vec::new();
        let mut leaf = |ast: &Ast| {
            let Some(found) = input_ref(ast)? else {
                return Ok(None);
            };
            let symbol = Symbol::from(found.to_string());
            if !refs.contains(&found) {
                refs.push(found);
            }
            Ok(Some(Dim::sym(symbol)))
        };
        let pred = Lowering { leaf: &mut leaf, float_division: true }.pred(&ast)?;
        Ok(Guard { refs, pred, text: text.to_owned() })
    }

    /// Whether the guard states an equality.
    pub fn equates(&self) -> bool {
        matches!(self.pred, Pred::Eq(..))
    }

    /// The inputs' properties that the guard reads, without repetition, in order of appearance.
    pub fn refs(&self) -> &[InputRef] {
        &self.refs
    }

    /// The text as recorded.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The predicate that the guard states, given an expression for each input property.
    ///
    /// # Errors
    /// A property for which the resolver has no expression, by its text.
    pub fn to_pred(&self, resolve: &dyn Fn(&InputRef) -> Option<Dim>) -> Result<Pred, ParseError> {
        let mut map = BTreeMap::new();
        for found in &self.refs {
            let dim = resolve(found)
                .ok_or_else(|| ParseError::Unsupported(format!("the guard reads {found}, which is not known")))?;
            map.insert(Symbol::from(found.to_string()), dim);
        }
        Ok(self.pred.subs(&map))
    }
}

/// Reads a leaf: `L[…]…` with a property at the end. `None` for anything that does not start with `L`.
fn input_ref(ast: &Ast) -> Result<Option<InputRef>, ParseError> {
    if !starts_at_locals(ast) {
        return Ok(None);
    }
    let (base, what) = match ast {
        Ast::Index(base, index) => match (base.as_ref(), integer(index)) {
            (Ast::Call { callee, args, .. }, Some(axis)) if args.is_empty() => match callee.as_ref() {
                Ast::Attr(base, name) if name == "size" => (base, InputProperty::Size(axis)),
                Ast::Attr(base, name) if name == "stride" => (base, InputProperty::Stride(axis)),
                _ => return Err(unknown()),
            },
            (Ast::Attr(base, name), Some(axis)) if name == "shape" => (base, InputProperty::Size(axis)),
            _ => return Ok(Some(value_of(ast)?)),
        },
        Ast::Call { callee, args, .. } => {
            let Ast::Attr(base, name) = callee.as_ref() else {
                return Err(unknown());
            };
            let what = match (name.as_str(), args.as_slice()) {
                ("size", [axis]) => InputProperty::Size(integer(axis).ok_or_else(unknown)?),
                ("stride", [axis]) => InputProperty::Stride(integer(axis).ok_or_else(unknown)?),
                ("storage_offset", []) => InputProperty::StorageOffset,
                ("dim", []) => InputProperty::Rank,
                ("item", []) => InputProperty::Item,
                _ => return Err(unknown()),
            };
            (base, what)
        }
        Ast::Attr(base, name) if name == "ndim" => (base, InputProperty::Rank),
        _ => return Ok(Some(value_of(ast)?)),
    };
    let mut path = Vec::new();
    read_path(base, &mut path)?;
    Ok(Some(InputRef { path, what }))
}

fn unknown() -> ParseError {
    ParseError::Unsupported("an input's property of unknown form".to_owned())
}

fn value_of(ast: &Ast) -> Result<InputRef, ParseError> {
    let mut path = Vec::new();
    read_path(ast, &mut path)?;
    Ok(InputRef { path, what: InputProperty::Value })
}

fn integer(ast: &Ast) -> Option<i64> {
    match ast {
        Ast::Int(value) => i64::try_from(*value).ok(),
        _ => None,
    }
}

/// Whether the chain of attributes, elements and calls begins with `L`.
fn starts_at_locals(ast: &Ast) -> bool {
    let mut at = ast;
    loop {
        at = match at {
            Ast::Name(name) => return name == "L",
            Ast::Attr(base, _) | Ast::Index(base, _) => base,
            Ast::Call { callee, args, .. } => match (callee.as_ref(), args.first()) {
                (Ast::Name(name), Some(base)) if name == "getattr" => base,
                _ => callee,
            },
            _ => return false,
        };
    }
}

fn read_path(ast: &Ast, path: &mut Vec<PathStep>) -> Result<(), ParseError> {
    match ast {
        Ast::Name(name) if name == "L" => Ok(()),
        Ast::Index(base, index) => {
            read_path(base, path)?;
            path.push(match index.as_ref() {
                Ast::Str(key) => PathStep::Key(key.clone()),
                index => PathStep::Index(integer(index).ok_or_else(unknown)?),
            });
            Ok(())
        }
        Ast::Attr(base, name) => {
            read_path(base, path)?;
            path.push(PathStep::Attr(name.clone()));
            Ok(())
        }
        Ast::Call { callee, args, .. } => match (callee.as_ref(), args.as_slice()) {
            (Ast::Name(getter), [base, Ast::Str(name)]) if getter == "getattr" => {
                read_path(base, path)?;
                path.push(PathStep::Attr(name.clone()));
                Ok(())
            }
            _ => Err(unknown()),
        },
        _ => Err(unknown()),
    }
}

impl fmt::Display for InputRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L")?;
        for step in &self.path {
            match step {
                PathStep::Key(key) => {
                    write!(f, "['{}']", key.replace('\\', "\\\\").replace('\'', "\\'"))?;
                }
                PathStep::Index(index) => write!(f, "[{index}]")?,
                PathStep::Attr(name) => write!(f, ".{name}")?,
            }
        }
        match &self.what {
            InputProperty::Value => Ok(()),
            InputProperty::Size(i) => write!(f, ".size()[{i}]"),
            InputProperty::Stride(i) => write!(f, ".stride()[{i}]"),
            InputProperty::StorageOffset => write!(f, ".storage_offset()"),
            InputProperty::Rank => write!(f, ".dim()"),
            InputProperty::Item => write!(f, ".item()"),
        }
    }
}
