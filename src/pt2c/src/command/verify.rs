//! `pt2c verify`: the compiled program against the reference interpreter, and against recorded outputs, at several sizes.

use super::{Outcome, settings, show_warnings};
use crate::compile::{self, Compiled, Settings};
use crate::execute::Results;
use crate::verify::{self, Distance, Sizes};
use crate::{decompositions, execute, leaves, tensors};
use clap::Args;
use pt2c_ir::{Diagnostic, Program};
use pt2c_native::program::Keep;
use pt2c_ops::interpret::Input;
use std::path::PathBuf;

/// Flags of `pt2c verify`.
#[derive(Args, Debug)]
pub struct Flags {
    /// The exported program
    model: PathBuf,
    #[command(flatten)]
    source: compile::Source,
    /// Recorded inputs (.safetensors, .npy); without any, inputs are made up at several sizes
    #[arg(long, value_name = "FILE")]
    inputs: Vec<String>,
    /// What PyTorch returned for them, by leaf position
    #[arg(long, value_name = "FILE", requires = "inputs")]
    outputs: Option<String>,
    /// How many calls to make up
    #[arg(long, default_value_t = 4)]
    calls: usize,
    /// Processor to compile for
    #[arg(long, default_value = "native")]
    cpu: String,
}

/// Runs the command.
pub fn run(flags: &Flags) -> Outcome {
    let imported = flags.source.open(&flags.model)?;
    show_warnings(&imported.warnings);
    let program = imported.program;
    decompositions::no_custom(&program)?;
    let settings = settings(&flags.model, Some("model"), &flags.cpu, Keep::default())?;
    let compiled = compile::compile(&program, &settings, &mut |_, _| Ok(()), &|_, _| {})?;
    let mut tally = Tally::default();
    if flags.inputs.is_empty() {
        for call in 0..flags.calls {
            // Sizes may have to agree though no rule of the program says so; then it refuses the first choice.
            for sizes in [Sizes::Different, Sizes::Equal] {
                let Some(inputs) = verify::made_inputs(&program, call, sizes) else { continue };
                match both(&program, &compiled, &settings, &inputs)? {
                    Both::Refuse(why) => {
                        tally.refused += 1;
                        println!("call {call}: {}: both refuse: {why}", shapes(&inputs));
                    }
                    Both::Answer { lines, .. } => {
                        tally.compare(call, &lines);
                        break;
                    }
                }
            }
        }
    } else {
        let inputs = leaves::inputs(&program, &tensors::read_all(&flags.inputs)?)?;
        let (mut lines, found) = match both(&program, &compiled, &settings, &inputs)? {
            Both::Refuse(why) => return Err(Diagnostic::error(why)),
            Both::Answer { lines, found } => (lines, found),
        };
        if let Some(path) = &flags.outputs {
            let mut recorded = Results::default();
            tensors::read(path, &mut recorded.outputs)?;
            let further = verify::distances(&recorded, &found);
            lines.extend(further.into_iter().map(|(name, distance)| (format!("recorded {name}"), distance)));
        }
        tally.compare(0, &lines);
    }
    tally.conclude()
}

/// What the compiled program and the interpreter make of one call.
enum Both {
    /// Tensors by name and how far they are from each other, and what the compiled program returned.
    Answer { lines: Vec<Line>, found: Results },
    /// Both say that these inputs cannot be computed: what the interpreter says.
    Refuse(String),
}

/// A tensor's name and how far it is from the expected one.
type Line = (String, Result<Distance, String>);

/// One call in both ways. Every call begins with the initial state.
///
/// # Errors
/// What the interpreter cannot compute though the library can.
fn both(program: &Program, compiled: &Compiled, settings: &Settings, inputs: &[Input]) -> Result<Both, Diagnostic> {
    let mut instance = execute::instance(compiled, settings, 1)?;
    let found = execute::call(program, &mut instance, inputs, &tensors::Tensors::new());
    let wanted = execute::oracle(program, inputs, &tensors::Tensors::new());
    match (wanted, found) {
        (Ok(wanted), Ok(found)) => Ok(Both::Answer { lines: verify::distances(&wanted, &found), found }),
        (Ok(_), Err(error)) => {
            let lines = vec![("the call".to_string(), Err(error.message))];
            Ok(Both::Answer { lines, found: Results::default() })
        }
        (Err(error), Ok(_)) => Err(error),
        (Err(wanted), Err(_)) => Ok(Both::Refuse(wanted.message)),
    }
}

/// How many tensors were compared, and calls refused.
#[derive(Default)]
struct Tally {
    calls: usize,
    refused: usize,
    compared: usize,
    failed: usize,
}

impl Tally {
    /// Prints and counts a call's tensors.
    fn compare(&mut self, call: usize, lines: &[Line]) {
        self.calls += 1;
        for (name, distance) in lines {
            self.compared += 1;
            let within = matches!(distance, Ok(d) if d.within);
            self.failed += usize::from(!within);
            println!("call {call}: {name}: {}{}", describe(distance), if within { "" } else { "  DIFFERENT" });
        }
    }

    /// The last line, and whether all is well.
    fn conclude(&self) -> Outcome {
        if self.calls == 0 {
            return Err(Diagnostic::error("the program takes none of the sizes that were tried; give --inputs"));
        }
        let refused = match self.refused {
            0 => String::new(),
            n => format!(", {n} calls refused by both"),
        };
        println!("{} tensors of {} calls compared, {} different{refused}", self.compared, self.calls, self.failed);
        match self.failed {
            0 => Ok(()),
            _ => Err(Diagnostic::error("the compiled program differs")
                .help("`pt2c compare` looks for the first node that does")),
        }
    }
}

/// The shapes of the inputs, as a user writes them: `[2, 3] [2]`.
fn shapes(inputs: &[Input]) -> String {
    let shapes = inputs.iter().filter_map(|input| match input {
        Input::Tensor(tensor) => Some(format!("{:?}", tensor.shape())),
        Input::Int(value) => Some(value.to_string()),
        Input::Baked => None,
    });
    shapes.collect::<Vec<_>>().join(" ")
}

/// A distance in words.
pub fn describe(distance: &Result<Distance, String>) -> String {
    match distance {
        Ok(d) if d.largest == 0.0 => "equal".to_string(),
        Ok(d) => format!("differs by {:.2e} of {:.2e}", d.largest, d.scale),
        Err(why) => why.clone(),
    }
}
