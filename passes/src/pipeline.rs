//! The pass pipeline as one table of named phases. `--emit`, `--dump-phases`, `--print-after`, the timers, `pt2c opt` and
//! the folders under `tests/lit/cases` use these names.

use crate::rewrite;
use pt2c_ir::{Diagnostic, Program};
use pt2c_ops::verify::{Stage, check, refuse_unsupported};

/// A phase from program to program.
#[derive(Clone, Copy)]
pub struct Phase {
    /// Its name everywhere.
    pub name: &'static str,
    /// What it does, for `--help` and the documentation.
    pub about: &'static str,
    /// The pass.
    pub run: fn(&Program) -> Result<Program, Diagnostic>,
    /// What its result is, for the verifier.
    pub stage: Stage,
}

/// The phases on the graph IR, in order.
pub const PHASES: &[Phase] = &[
    Phase {
        name: "normalize",
        about: "remove what means nothing at inference, simplify sizes",
        run: crate::normalize::normalize,
        stage: Stage::Imported,
    },
    Phase {
        name: "batch",
        about: "do what is mapped over slices for all slices at once",
        run: crate::batch::batch,
        stage: Stage::Batched,
    },
    Phase {
        name: "split_complex",
        about: "take complex numbers apart into real and imaginary parts",
        run: crate::split_complex::split_complex,
        stage: Stage::Real,
    },
    Phase {
        name: "rewrite",
        about: "expand every operator into primitives and simplify, in one e-graph",
        run: rewrite::rewrite,
        stage: Stage::Primitives,
    },
    Phase {
        name: "check_sizes",
        about: "make rules of what operators need of sizes and nobody has promised",
        run: crate::check_sizes::check_sizes,
        stage: Stage::Primitives,
    },
    Phase {
        name: "draw",
        about: "turn random numbers into arithmetic on a counter",
        run: crate::draw::draw,
        stage: Stage::Primitives,
    },
    Phase {
        name: "fold_constants",
        about: "compute what depends on constants only",
        run: crate::fold_constants::fold_constants,
        stage: Stage::Primitives,
    },
    Phase {
        name: "fuse",
        about: "group primitives into regions, one kernel each",
        run: crate::fuse::fuse,
        stage: Stage::Fused,
    },
    Phase {
        name: "assign_layouts",
        about: "choose the order of dimensions in memory",
        run: crate::layout::assign_layouts,
        stage: Stage::Fused,
    },
];

/// Phases that are not in the pipeline, for tests and for looking at one thing at a time.
pub const OTHERS: &[Phase] = &[Phase {
    name: "decompose",
    about: "expand every operator into primitives, by the same rules as rewrite but one after the other",
    run: crate::decompose::decompose_program,
    stage: Stage::Primitives,
}];

/// The phase of this name, in the pipeline or not.
pub fn phase(name: &str) -> Option<&'static Phase> {
    PHASES.iter().chain(OTHERS).find(|p| p.name == name)
}

/// Runs one phase and verifies what it made.
///
/// # Errors
/// What the phase refuses, or everything that the verifier finds.
pub fn run_phase(phase: &Phase, program: &Program) -> Result<Program, Diagnostic> {
    let result = (phase.run)(program)?;
    check(&result, phase.stage, phase.name)?;
    Ok(result)
}

/// Verifies an imported program and runs all phases, each followed by the verifier; `after` sees every result.
///
/// # Errors
/// The first phase that fails.
pub fn run(
    program: &Program,
    after: &mut dyn FnMut(&Phase, &Program) -> Result<(), Diagnostic>,
) -> Result<Program, Diagnostic> {
    run_with(program, &rewrite::Options::default(), after).map(|(program, _)| program)
}

/// [`run`] with limits on the rewriting; tells also what the rewriting did.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    program: &Program,
    options: &rewrite::Options,
    after: &mut dyn FnMut(&Phase, &Program) -> Result<(), Diagnostic>,
) -> Result<(Program, rewrite::Log), Diagnostic> {
    refuse_unsupported(program)?;
    let mut program = crate::custom::call_custom(program)?;
    check(&program, Stage::Imported, "import")?;
    let mut log = rewrite::Log::default();
    for phase in PHASES {
        if phase.name == "rewrite" {
            (program, log) = rewrite::rewrite_with_log(&program, options)?;
            check(&program, phase.stage, phase.name)?;
        } else {
            program = run_phase(phase, &program)?;
        }
        after(phase, &program)?;
    }
    Ok((program, log))
}

/// Names of everything that `--print-after` can show, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    std::iter::once("import").chain(PHASES.iter().map(|p| p.name)).chain(std::iter::once("lower"))
}

/// What `--passes a,b,c` and the `RUN` line of a case name.
#[derive(Clone)]
pub struct Selection {
    /// Phases on the graph IR, in order.
    pub phases: Vec<&'static Phase>,
    /// Whether `lower` comes behind them: the result is kernel IR.
    pub lower: bool,
}

impl Selection {
    /// Reads a list of names separated by commas. `import` names the phase that a text has behind it; it runs nothing.
    ///
    /// # Errors
    /// A name that is no phase, or a phase behind `lower`.
    pub fn parse(list: &str) -> Result<Selection, Diagnostic> {
        let mut selection = Selection { phases: Vec::new(), lower: false };
        for name in list.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            if selection.lower {
                return Err(Diagnostic::error(format!("`{name}` cannot come after `lower`: it takes graph IR")));
            }
            match (name, phase(name)) {
                ("import", _) => {}
                ("lower", _) => selection.lower = true,
                (_, Some(phase)) => selection.phases.push(phase),
                (_, None) => {
                    let known: Vec<&str> = names().collect();
                    return Err(Diagnostic::error(format!("`{name}` is no phase"))
                        .help(format!("the phases are {}", known.join(", "))));
                }
            }
        }
        Ok(selection)
    }

    /// Verifies the program for where it seems to be (or `stage` says) and runs the phases on it, each followed by the
    /// verifier.
    ///
    /// # Errors
    /// What the verifier finds, or the first phase that fails.
    pub fn run(&self, program: &Program, stage: Option<Stage>) -> Result<Program, Diagnostic> {
        refuse_unsupported(program)?;
        check(program, stage.unwrap_or_else(|| Stage::of(program)), "import")?;
        self.phases.iter().try_fold(program.clone(), |program, phase| run_phase(phase, &program))
    }
}
