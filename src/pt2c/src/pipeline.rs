//! The pipeline as a list of named phases. `--emit`, `--dump-phases`, `--print-after` and the timers use these names.

use pt2c_ir::{Diagnostic, Program};

/// A phase from program to program.
#[derive(Clone, Copy)]
pub struct Phase {
    /// Its name everywhere.
    pub name: &'static str,
    /// What it does, for `--help` and the documentation.
    pub about: &'static str,
    /// The pass.
    pub run: fn(&Program) -> Result<Program, Diagnostic>,
}

/// The phases on the graph IR, in order.
pub const PHASES: &[Phase] = &[
    Phase {
        name: "normalize",
        about: "remove what means nothing at inference, simplify sizes",
        run: pt2c_passes::normalize::normalize,
    },
    Phase {
        name: "rewrite",
        about: "expand every operator into primitives and simplify, in one e-graph",
        run: pt2c_passes::rewrite::rewrite,
    },
    Phase {
        name: "fold_constants",
        about: "compute what depends on constants only",
        run: pt2c_passes::fold_constants::fold_constants,
    },
    Phase { name: "fuse", about: "group primitives into regions, one kernel each", run: pt2c_passes::fuse::fuse },
    Phase {
        name: "assign_layouts",
        about: "choose the order of dimensions in memory",
        run: pt2c_passes::layout::assign_layouts,
    },
];

/// Runs all phases; `after` sees every result.
pub fn run(
    program: &Program,
    after: &mut dyn FnMut(&Phase, &Program) -> Result<(), Diagnostic>,
) -> Result<Program, Diagnostic> {
    let mut program = program.clone();
    for phase in PHASES {
        program = (phase.run)(&program)?;
        after(phase, &program)?;
    }
    Ok(program)
}

/// Names of everything that `--print-after` can show, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    std::iter::once("import").chain(PHASES.iter().map(|p| p.name)).chain(std::iter::once("lower"))
}
