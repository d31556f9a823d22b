//! PyTorch's operator schema language, as far as names, types and defaults of arguments go.

use pt2c_ir::Arg;
use pt2c_ir::dim::Dim;

/// A parsed schema.
#[derive(Clone, PartialEq, Debug)]
pub struct Schema {
    /// Name without namespace and overload.
    pub name: String,
    /// Overload, empty for the default one.
    pub overload: String,
    /// Parameters in order.
    pub params: Vec<Param>,
    /// Types of the returns, as written.
    pub returns: Vec<String>,
}

/// One parameter.
#[derive(Clone, PartialEq, Debug)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: ParamType,
    /// The value of an omitted argument, if it may be omitted.
    pub default: Option<Arg<std::convert::Infallible>>,
    /// Behind the `*`.
    pub keyword_only: bool,
    /// Annotated `(a!)`: the operator writes to it.
    pub mutated: bool,
}

/// What a parameter takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParamType {
    /// The base type.
    pub base: BaseType,
    /// A list of it.
    pub list: bool,
    /// May be None (for a list of tensors: its elements may).
    pub optional: bool,
}

/// Base types of the schema language.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BaseType {
    Tensor,
    Scalar,
    Int,
    Float,
    Bool,
    Str,
    DType,
    /// Device, layout, memory format, generator: no meaning to the compiler.
    Opaque,
    /// A subgraph (ours, for higher-order operators and regions).
    Graph,
}

/// The text is not a schema.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is not an operator schema: {why}")]
pub struct SchemaError {
    text: String,
    why: &'static str,
}

impl Schema {
    /// Parses `name.overload(Type param=default, *, …) -> Type` (with or without `aten::` before it).
    pub fn parse(text: &str) -> Result<Schema, SchemaError> {
        let fail = |why| SchemaError { text: text.to_string(), why };
        let body = text.split_once("::").filter(|(ns, _)| !ns.contains('(')).map_or(text, |(_, rest)| rest);
        let (name, rest) = body.split_once('(').ok_or_else(|| fail("no parameter list"))?;
        let (params, returns) = rest.rsplit_once(" -> ").ok_or_else(|| fail("no result type"))?;
        let params = params.trim().strip_suffix(')').ok_or_else(|| fail("parameter list not closed"))?;
        let (name, overload) = name.split_once('.').unwrap_or((name, ""));
        let mut keyword_only = false;
        let mut parsed = Vec::new();
        for part in split_top_level(params) {
            if part == "*" {
                keyword_only = true;
                continue;
            }
            parsed.push(parse_param(part, keyword_only).map_err(fail)?);
        }
        let returns = returns.trim();
        let returns = returns.strip_prefix('(').and_then(|r| r.strip_suffix(')')).unwrap_or(returns);
        Ok(Schema {
            name: name.to_string(),
            overload: overload.to_string(),
            params: parsed,
            returns: split_top_level(returns).into_iter().map(str::to_string).collect(),
        })
    }

    /// Position of the parameter of this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.params.iter().position(|p| p.name == name)
    }
}

/// Splits at commas outside brackets and parentheses; an empty text has no parts.
fn split_top_level(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (i, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

fn parse_param(text: &str, keyword_only: bool) -> Result<Param, &'static str> {
    // The default may hold spaces (`int[] dims=[0, 1]`), so it goes first.
    let (declared, default) = match text.split_once('=') {
        Some((declared, default)) => (declared, Some(default)),
        None => (text, None),
    };
    let (ty_text, name) = declared.rsplit_once(' ').ok_or("a parameter needs a type and a name")?;
    let mutated = ty_text.contains("!)");
    let ty = parse_type(ty_text)?;
    let default = default.map(|d| parse_default(d, ty)).transpose()?;
    Ok(Param { name: name.to_string(), ty, default, keyword_only, mutated })
}

fn parse_type(text: &str) -> Result<ParamType, &'static str> {
    // `Tensor(a!)`, `Tensor(a)?`: alias annotations say nothing about the type.
    let mut plain = String::new();
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let mut rest = plain.trim();
    let mut optional = false;
    let mut list = false;
    if let Some(inner) = rest.strip_suffix('?') {
        (optional, rest) = (true, inner);
    }
    if let Some((inner, _)) = rest.rsplit_once('[') {
        (list, rest) = (true, inner);
    }
    if let Some(inner) = rest.strip_suffix('?') {
        (optional, rest) = (true, inner);
    }
    let base = match rest {
        "Tensor" => BaseType::Tensor,
        "Scalar" => BaseType::Scalar,
        "int" | "SymInt" => BaseType::Int,
        "float" => BaseType::Float,
        "bool" | "SymBool" => BaseType::Bool,
        "str" => BaseType::Str,
        "ScalarType" => BaseType::DType,
        "Device" | "Layout" | "MemoryFormat" | "Generator" | "Stream" | "Storage" => BaseType::Opaque,
        "Graph" => BaseType::Graph,
        _ => return Err("unknown type"),
    };
    Ok(ParamType { base, list, optional })
}

fn parse_default(text: &str, ty: ParamType) -> Result<Arg<std::convert::Infallible>, &'static str> {
    let bad = "unreadable default";
    if text == "None" {
        return Ok(Arg::None);
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let items = split_top_level(inner);
        return match ty.base {
            BaseType::Int => {
                items.iter().map(|i| i.parse().map(Dim::int)).collect::<Result<_, _>>().map(Arg::Ints).or(Err(bad))
            }
            BaseType::Bool => Ok(Arg::Bools(items.iter().map(|&i| i == "True" || i == "true").collect())),
            BaseType::Float => items.iter().map(|i| i.parse()).collect::<Result<_, _>>().map(Arg::Floats).or(Err(bad)),
            BaseType::Tensor if items.is_empty() => Ok(Arg::Tensors(Vec::new())),
            _ => Err(bad),
        };
    }
    match (text, ty.base) {
        ("True" | "true", _) => Ok(Arg::Bool(true)),
        ("False" | "false", _) => Ok(Arg::Bool(false)),
        // `int[2] stride=1` means one value for every position; the operator's code broadcasts a short list.
        (_, BaseType::Int) if ty.list => text.parse().map(|i| Arg::Ints(vec![Dim::int(i)])).or(Err(bad)),
        (_, BaseType::Str) => Ok(Arg::Str(text.trim_matches(['\'', '"']).to_string())),
        (_, BaseType::Int) if text == "Mean" => Ok(Arg::Int(Dim::int(1))),
        (_, BaseType::DType) => match text {
            "long" => Ok(Arg::DType(pt2c_ir::DType::I64)),
            "float" => Ok(Arg::DType(pt2c_ir::DType::F32)),
            // The numbers of PyTorch's dump: `c10::ScalarType`.
            "4" => Ok(Arg::DType(pt2c_ir::DType::I64)),
            "6" => Ok(Arg::DType(pt2c_ir::DType::F32)),
            "24" => Ok(Arg::DType(pt2c_ir::DType::F8E4M3FN)),
            _ => Err(bad),
        },
        (_, BaseType::Opaque) => Ok(Arg::Opaque(text.to_string())),
        _ => {
            if let Ok(i) = text.parse::<i64>() {
                Ok(if ty.base == BaseType::Float { Arg::Float(i as f64) } else { Arg::Int(Dim::int(i)) })
            } else {
                text.parse().map(Arg::Float).or(Err(bad))
            }
        }
    }
}
