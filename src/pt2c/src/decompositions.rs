//! Decompositions on the command line: files of rules, programs for custom operators, operators to keep, and what was
//! done.

use clap::Args;
use pt2c_ir::{Diagnostic, Program};
use pt2c_ops::prim::custom::{function_name, is_custom};
use pt2c_passes::implement::implement;
use pt2c_passes::rules::{Table, run_decompositions};
use pt2c_pt2::import::Operators;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Flags that tell what archives do not hold: schemas of custom operators.
#[derive(Args, Debug, Default)]
pub struct Schemas {
    /// The schema of a custom operator that writes its arguments, as PyTorch prints it (repeatable):
    /// "mylib::op(Tensor(a!) x, float by) -> ()"
    #[arg(long, value_name = "SCHEMA")]
    schema: Vec<String>,
}

impl Schemas {
    /// What import has to know of these operators.
    ///
    /// # Errors
    /// A text that is no schema.
    pub fn operators(&self) -> Result<Operators, Diagnostic> {
        let mut operators = Operators::default();
        for text in &self.schema {
            operators.declare(text)?;
        }
        Ok(operators)
    }
}

/// Flags of the commands that take decompositions.
#[derive(Args, Debug, Default)]
pub struct Decompositions {
    /// Replace operators by the rules of this file, tried before all others (the language: docs/decompositions.md)
    #[arg(long, value_name = "FILE")]
    decompositions: Vec<PathBuf>,
    /// Put the program of another archive in place of a custom operator (repeatable): mylib::op=op.pt2
    #[arg(long, value_name = "OPERATOR=FILE")]
    implement: Vec<String>,
    #[command(flatten)]
    schemas: Schemas,
    /// Keep this operator although a rule would replace it (aten.linear.default)
    #[arg(long, value_name = "OPERATOR")]
    keep: Vec<String>,
    /// Tell which rule replaced which node
    #[arg(long)]
    explain_decompositions: bool,
}

impl Decompositions {
    /// Whether custom operators are to be replaced by programs.
    pub fn implements(&self) -> bool {
        !self.implement.is_empty()
    }

    /// What the flags tell of custom operators: their schemas and the programs in their place.
    ///
    /// # Errors
    /// A text that is no schema, a file that cannot be read.
    pub fn custom(&self) -> Result<Custom, Diagnostic> {
        let mut custom = Custom { operators: self.schemas.operators()?, programs: Vec::new() };
        for text in &self.implement {
            let (op, path) = text.split_once('=').ok_or_else(|| {
                Diagnostic::error(format!("--implement {text}: write OPERATOR=FILE, as in mylib::op=op.pt2"))
            })?;
            let by = crate::compile::open(Path::new(path))?;
            let op = qualified(op);
            custom.operators.implemented_by(&op, &by);
            custom.programs.push((op, path.to_owned(), by.program));
        }
        Ok(custom)
    }
}

/// What is known of custom operators.
#[derive(Debug)]
pub struct Custom {
    /// For import: which arguments they write.
    pub operators: Operators,
    /// Operators, and the files and programs in their place.
    programs: Vec<(String, String, Program)>,
}

/// The program with custom operators replaced by the programs that the flags name.
///
/// # Errors
/// A program that does not fit.
pub fn implemented(program: Program, custom: &Custom) -> Result<Program, Diagnostic> {
    let mut program = program;
    for (op, path, by) in &custom.programs {
        program = implement(&program, op, by).map_err(|diagnostic| match diagnostic.subject {
            None => diagnostic.about(path.clone()),
            Some(_) => diagnostic,
        })?;
    }
    Ok(program)
}

/// `mylib::op`, `mylib::op.overload`, `mylib.op`, `mylib.op.overload` → `mylib.op.overload`.
fn qualified(op: &str) -> String {
    let op = op.replace("::", ".");
    match op.matches('.').count() {
        1 => format!("{op}.default"),
        _ => op,
    }
}

/// Refuses a program with custom operators where no function of the user's can be called: in this process.
///
/// # Errors
/// Names the operators and what to do about them.
pub fn no_custom(program: &Program) -> Result<(), Diagnostic> {
    let mut found: BTreeMap<&str, (&str, pt2c_ir::LocationId)> = BTreeMap::new();
    for (_, node) in program.graph.nodes() {
        if let Some(op) = node.op().filter(|op| is_custom(op)) {
            found.entry(op).or_insert((&node.name, node.location));
        }
    }
    let Some((op, (name, location))) = found.iter().next() else { return Ok(()) };
    let all: Vec<&str> = found.keys().copied().collect();
    Err(Diagnostic::error(format!("the program calls {}, of which an archive has the name only", all.join(", ")))
        .about(format!("node `{name}` ({op})"))
        .at(program.locations.get(*location))
        .help(format!("give the operator a meaning: --implement {op}=FILE.pt2, or a rule (--decompositions FILE)"))
        .note(format!("`pt2c compile` makes a library that calls your C function {}", function_name(op))))
}

/// The table that the flags ask for; `None` if they ask for none.
///
/// # Errors
/// A file that cannot be read, or a rule that is wrong.
pub fn table(flags: &Decompositions, default: bool) -> Result<Option<Table>, Diagnostic> {
    if !default && flags.decompositions.is_empty() {
        return Ok(None);
    }
    let mut table = if default { Table::default_decompositions()? } else { Table::empty() };
    for path in flags.decompositions.iter().rev() {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Diagnostic::error(format!("cannot read {}: {error}", path.display())))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        table.prepend(Table::parse(&name, &text)?);
    }
    for op in &flags.keep {
        table.keep(op);
    }
    Ok(Some(table))
}

/// Runs them and tells what was done if the flags ask for it.
///
/// # Errors
/// A rule that does not fit.
pub fn run(program: &Program, table: &Table, flags: &Decompositions) -> Result<Program, Diagnostic> {
    let (program, applied) = run_decompositions(program, table)?;
    if flags.explain_decompositions {
        for one in applied {
            println!("{}: {} by {}", one.node, one.op, one.rule);
        }
    }
    Ok(program)
}
