//! Operators that are not PyTorch's own, as one primitive: a call of a function that the library's user provides. What the
//! results are is what the exporter recorded.
//!
//! A call of a custom operator that writes some of its arguments has, behind its results, their new values, and behind its
//! arguments the mark that says which they are ([`written`]).

use crate::{Call, OpDef, OpError, Tensor};
use pt2c_ir::{Arg, DType, Fact};

pub(super) const OPS: &[OpDef] = &[OpDef::new(
    "custom(Tensor[] operands, str function, str form, SymInt[] ints, float[] floats, SymInt[] sizes) -> Tensor[]",
    infer,
    eval,
)];

/// An argument of the function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument {
    /// The next operand.
    Tensor,
    /// An optional tensor that is not given.
    Absent,
    /// The next of `ints`.
    Int,
    /// The next of `ints`, 0 or 1.
    Bool,
    /// So many of `ints`.
    Ints(usize),
    /// The next of `floats`.
    Float,
    /// So many of `floats`.
    Floats(usize),
    /// So many of the next operands.
    Tensors(usize),
    /// A text.
    Text(String),
}

/// The attribute `form`: arguments, and element type and rank of each result (`t,f,l2;float32/2`); texts in base 16.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Form {
    pub arguments: Vec<Argument>,
    pub results: Vec<(DType, usize)>,
}

impl Form {
    /// The text of the attribute.
    pub fn text(&self) -> String {
        let argument = |a: &Argument| match a {
            Argument::Tensor => "t".to_owned(),
            Argument::Absent => "n".to_owned(),
            Argument::Int => "i".to_owned(),
            Argument::Bool => "b".to_owned(),
            Argument::Ints(count) => format!("l{count}"),
            Argument::Float => "f".to_owned(),
            Argument::Floats(count) => format!("g{count}"),
            Argument::Tensors(count) => format!("t{count}"),
            Argument::Text(text) => {
                format!("s{}", text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
        };
        let arguments: Vec<String> = self.arguments.iter().map(argument).collect();
        let results: Vec<String> =
            self.results.iter().map(|(dtype, rank)| format!("{}/{rank}", dtype.name())).collect();
        format!("{};{}", arguments.join(","), results.join(","))
    }

    /// Reads it back; `None` if it is malformed.
    pub fn parse(text: &str) -> Option<Form> {
        let (arguments, results) = text.split_once(';')?;
        let argument = |word: &str| match word {
            "t" => Some(Argument::Tensor),
            "n" => Some(Argument::Absent),
            "i" => Some(Argument::Int),
            "b" => Some(Argument::Bool),
            "f" => Some(Argument::Float),
            _ => {
                let (kind, rest) = word.split_at_checked(1)?;
                Some(match kind {
                    "l" => Argument::Ints(rest.parse().ok()?),
                    "g" => Argument::Floats(rest.parse().ok()?),
                    "t" => Argument::Tensors(rest.parse().ok()?),
                    "s" => Argument::Text(unhex(rest)?),
                    _ => return None,
                })
            }
        };
        let result = |word: &str| {
            let (name, rank) = word.split_once('/')?;
            let dtype = DType::ALL.into_iter().find(|dtype| dtype.name() == name)?;
            Some((dtype, rank.parse().ok()?))
        };
        let words =
            |list: &'_ str| list.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        Some(Form {
            arguments: words(arguments).iter().map(|word| argument(word)).collect::<Option<_>>()?,
            results: words(results).iter().map(|word| result(word)).collect::<Option<_>>()?,
        })
    }
}

/// The text whose bytes are written in base 16.
fn unhex(text: &str) -> Option<String> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let bytes = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
}

/// Copies of the operands, dense, and the results.
fn infer(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let form = Form::parse(c.str("form")?).ok_or_else(|| OpError::invalid("a malformed form"))?;
    let operands = c.tensors("operands")?;
    let mut sizes = c.dims("sizes")?.into_iter();
    let mut facts: Vec<Fact> = operands.iter().map(|fact| Fact::new(fact.dtype, fact.shape.clone())).collect();
    for (dtype, rank) in form.results {
        facts.push(Fact::new(dtype, sizes.by_ref().take(rank).collect::<Vec<_>>()));
    }
    Ok(facts)
}

fn eval(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    Err(OpError::Invalid(format!("`{}` is a function that the library's user provides", c.str("function")?)))
}

const WRITES: &str = "writes";

/// The mark behind the arguments of a call that writes those at these positions.
pub fn mark<V>(positions: &[usize]) -> Arg<V> {
    let positions: String = positions.iter().map(|position| format!(" {position}")).collect();
    Arg::Opaque(format!("{WRITES}{positions}"))
}

/// The arguments of a custom operator's call without the mark, and the positions of those that it writes.
pub fn written<V>(args: &[Arg<V>]) -> (&[Arg<V>], Vec<usize>) {
    if let Some((Arg::Opaque(text), plain)) = args.split_last()
        && let Some(positions) = text.strip_prefix(WRITES)
    {
        return (plain, positions.split_whitespace().filter_map(|position| position.parse().ok()).collect());
    }
    (args, Vec::new())
}

/// Whether an operator of this name is somebody's own: neither PyTorch's nor this compiler's.
pub fn is_custom(op: &str) -> bool {
    let namespace = op.split('.').next().unwrap_or("");
    !matches!(namespace, "aten" | "prim" | "prims" | "higher_order" | "py" | "") && crate::lookup(op).is_none()
}

/// The C function of a custom operator: `mylib.scaled_relu.default` → `mylib_scaled_relu`.
pub fn function_name(op: &str) -> String {
    let plain = op.strip_suffix(".default").unwrap_or(op);
    plain.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// A call of a custom operator as one of the primitive.
#[derive(Clone, PartialEq, Debug)]
pub struct Primitive {
    /// The primitive's arguments.
    pub args: Vec<Arg>,
    /// Which of the primitive's results each result of the call is: the primitive returns its operands before its results.
    pub results: Vec<usize>,
}

/// Makes a call of a custom operator one of the primitive.
///
/// # Errors
/// For arguments that no C function is given, and calls that return nothing.
pub fn primitive(op: &str, args: &[Arg], results: &[Fact]) -> Result<Primitive, String> {
    let (args, written) = written(args);
    let mut form = Form::default();
    let mut operands_written = Vec::new();
    let (mut operands, mut ints, mut floats) = (Vec::new(), Vec::new(), Vec::new());
    let int = |value: bool| pt2c_ir::dim::Dim::int(i64::from(value));
    for (position, arg) in args.iter().enumerate() {
        let first = operands.len();
        form.arguments.push(match arg {
            Arg::Tensor(value) => {
                operands.push(Some(*value));
                Argument::Tensor
            }
            Arg::None => Argument::Absent,
            Arg::Int(value) => {
                ints.push(value.clone());
                Argument::Int
            }
            Arg::Bool(value) => {
                ints.push(int(*value));
                Argument::Bool
            }
            Arg::Ints(values) => {
                ints.extend(values.iter().cloned());
                Argument::Ints(values.len())
            }
            Arg::Float(value) => {
                floats.push(*value);
                Argument::Float
            }
            Arg::Floats(values) => {
                floats.extend(values.iter().copied());
                Argument::Floats(values.len())
            }
            Arg::Bools(values) => {
                ints.extend(values.iter().map(|&value| int(value)));
                Argument::Ints(values.len())
            }
            Arg::Tensors(values) if values.iter().all(Option::is_some) => {
                operands.extend(values.iter().copied());
                Argument::Tensors(values.len())
            }
            Arg::Tensors(_) => return Err(format!("argument {position} is a list in which tensors are missing")),
            Arg::Str(text) if !text.contains('\0') => Argument::Text(text.clone()),
            Arg::Str(_) => return Err(format!("argument {position} is a text with a zero byte")),
            _ => return Err(format!("argument {position} is neither a tensor, a number, a text nor a list of those")),
        });
        if written.contains(&position) {
            operands_written.extend(first..operands.len());
        }
    }
    if results.is_empty() {
        return Err("it returns no tensor: only what it returns can be used".to_owned());
    }
    let own = results.len().checked_sub(operands_written.len());
    let own = own.ok_or_else(|| "it has fewer results than arguments that it writes".to_owned())?;
    let mut sizes = Vec::new();
    for fact in results.iter().take(own) {
        form.results.push((fact.dtype, fact.shape.len()));
        sizes.extend(fact.shape.iter().cloned());
    }
    let results = (operands.len()..operands.len() + own).chain(operands_written).collect();
    let args = vec![
        Arg::Tensors(operands),
        Arg::Str(function_name(op)),
        Arg::Str(form.text()),
        Arg::Ints(ints),
        Arg::Floats(floats),
        Arg::Ints(sizes),
    ];
    Ok(Primitive { args, results })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_back() {
        let form = Form {
            arguments: vec![
                Argument::Tensor,
                Argument::Ints(2),
                Argument::Float,
                Argument::Absent,
                Argument::Tensors(3),
                Argument::Floats(2),
                Argument::Text("a,b;\u{e9}".to_owned()),
            ],
            results: vec![(DType::F32, 2), (DType::I64, 0)],
        };
        assert_eq!(Form::parse(&form.text()), Some(form));
        assert_eq!(Form::parse("x;"), None);
        assert_eq!(Form::parse("t;f99/1"), None);
        assert_eq!(Form::parse("sf;"), None);
    }

    #[test]
    fn written_arguments_come_out_of_the_operands() {
        let fact = Fact::of(DType::F32, &[2]);
        let mut graph = pt2c_ir::Graph::new();
        let (vx, vy) = (graph.add_input("x", fact.clone()), graph.add_input("y", fact.clone()));
        let (x, y) = (Arg::Tensor(vx), Arg::Tensor(vy));
        let call = [y.clone(), Arg::Float(1.0), x.clone(), mark(&[2])];
        let made = primitive("a.b.default", &call, &[fact.clone(), fact.clone()]).expect("a call");
        // The operands come out as 0 and 1, the result as 2.
        assert_eq!(made.results, [2, 1]);
        assert_eq!(made.args[0], Arg::Tensors(vec![Some(vy), Some(vx)]));
        assert_eq!(made.args[2], Arg::Str("t,f,t;f32/1".to_owned()));
        assert_eq!(written(&call), (&call[..3], vec![2]));
        assert!(primitive("a.b.default", &[x, y], &[]).is_err());
    }

    #[test]
    fn names() {
        assert_eq!(function_name("mylib.scaled_relu.default"), "mylib_scaled_relu");
        assert_eq!(function_name("a.b.out"), "a_b_out");
        assert!(is_custom("mylib.f.default") && !is_custom("aten.nothing.default") && !is_custom("prim.add"));
    }
}
