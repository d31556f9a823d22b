//! `--specialize`: code for likely sizes, beside that for all sizes.

use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{Diagnostic, Program};
use pt2c_passes::specialize::Sizes;

/// More variants than this are more code than anybody wants.
const MOST: usize = 32;

/// The flag, for every command that compiles.
#[derive(clap::Args, Debug, Default)]
pub struct Specialize {
    /// Add code for these sizes of a dynamic dimension, chosen at the entry; other sizes run the general code. DIM is a
    /// symbol (s77), a dimension of an input (x[0]), or `batch`: the first dimension of the inputs. Given several times:
    /// every combination
    #[arg(long, value_name = "DIM=N,N")]
    specialize: Vec<String>,
}

impl Specialize {
    /// The variants that are asked for, in the order in which they are tried.
    ///
    /// # Errors
    /// If a flag is malformed, or names no dynamic dimension of the program.
    pub fn variants(&self, program: &Program) -> Result<Vec<Sizes>, Diagnostic> {
        let mut variants = vec![Sizes::new()];
        for flag in &self.specialize {
            let wrong = |why: &str| {
                Diagnostic::error(format!("--specialize {flag}: {why}"))
                    .help("write a dimension and its likely sizes, as in batch=1,8 or x[0]=128")
            };
            let (name, sizes) = flag.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
            let dim = dimension(program, name.trim()).map_err(|why| wrong(&why))?;
            let mut chosen = Vec::new();
            for size in sizes.split(',') {
                let size = size.trim().parse::<i64>().ok().filter(|n| *n >= 0);
                let size = size.ok_or_else(|| wrong("a size is not a number"))?;
                chosen.push(symbol_at(&dim, size).ok_or_else(|| wrong(&format!("{dim} is never {size}")))?);
            }
            let mut next = Vec::new();
            for before in &variants {
                for (symbol, value) in &chosen {
                    let mut sizes: Sizes = before.clone();
                    if sizes.insert(symbol.clone(), *value).is_some_and(|other| other != *value) {
                        return Err(wrong(&format!("{symbol} has a size already")));
                    }
                    next.push(sizes);
                }
            }
            if next.len() > MOST {
                return Err(Diagnostic::error(format!("--specialize asks for more than {MOST} variants")));
            }
            variants = next;
        }
        variants.retain(|sizes| !sizes.is_empty());
        Ok(variants)
    }
}

/// The size that a name stands for.
fn dimension(program: &Program, name: &str) -> Result<Dim, String> {
    let symbols: Vec<String> = program.scope.symbols().map(|(s, _)| s.to_string()).collect();
    if symbols.iter().any(|s| s == name) {
        return Ok(Dim::sym(name));
    }
    let dynamic = || {
        let sizes = program.tensor_inputs().flat_map(|(_, spec, fact)| {
            fact.shape.iter().enumerate().filter(|(_, d)| !d.is_int()).map(|(i, _)| format!("{}[{i}]", spec.name))
        });
        let all: Vec<String> = sizes.collect();
        if all.is_empty() {
            "the program has no dynamic dimension".to_string()
        } else {
            format!("the dynamic dimensions are {}", all.join(", "))
        }
    };
    if name == "batch" {
        let mut first: Vec<Dim> = program
            .tensor_inputs()
            .filter_map(|(_, _, fact)| fact.shape.first())
            .filter(|d| !d.is_int())
            .cloned()
            .collect();
        first.dedup();
        return match first.as_slice() {
            [] => Err(format!("no first dimension of an input is dynamic; {}", dynamic())),
            [dim] => Ok(dim.clone()),
            _ => Err(format!("the first dimensions of the inputs differ; {}", dynamic())),
        };
    }
    let parts = name.strip_suffix(']').and_then(|n| n.rsplit_once('['));
    let (input, at) = parts.ok_or_else(|| format!("there is no `{name}`; {}", dynamic()))?;
    let found = program.tensor_inputs().find(|(_, spec, _)| spec.name == input);
    let (_, _, fact) = found.ok_or_else(|| format!("there is no input `{input}`; {}", dynamic()))?;
    let size = at.parse::<usize>().ok().and_then(|i| fact.shape.get(i));
    let size = size.ok_or_else(|| format!("`{input}` has {} dimensions", fact.rank()))?;
    if size.is_int() { Err(format!("`{name}` is always {size}; {}", dynamic())) } else { Ok(size.clone()) }
}

/// The symbol of `dim` and its value where `dim` is `size`; `None` if there is none.
fn symbol_at(dim: &Dim, size: i64) -> Option<(Symbol, i64)> {
    let symbols = dim.symbols();
    let symbol = symbols.first().filter(|_| symbols.len() == 1)?.clone();
    let (scale, offset) = dim.coefficient_of(&symbol)?;
    let (scale, offset) = (scale.as_int().filter(|s| *s != 0)?, offset.as_int()?);
    let rest = size.checked_sub(offset)?;
    (rest % scale == 0).then(|| (symbol, rest / scale))
}
