//! [`ExportedProgram::module`]: the program as something to call, in the reference interpreter.
//!
//! The interpreter computes every operator plainly, in the precision PyTorch promises; it is for checking and for
//! small work. The `pt2c` crate compiles.
//!
//! ```
//! use pt2c_ops::{Tensor, interpret::Input};
//! use pt2c_ir::DType;
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models/versions/torch_2.15.0.pt2");
//!
//! let program = pt2c_pt2::ExportedProgram::open(std::path::Path::new(path))?;
//! let mut module = program.module()?;
//! let x = Tensor::from_f64(DType::F32, &[2, 4], &[0.5; 8]);
//! let first = module.call(&[Input::Tensor(x.clone())])?;
//! let second = module.call(&[Input::Tensor(x)])?;         // its buffer counts the calls
//! assert_ne!(first.outputs, second.outputs);
//! module.reset();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use indexmap::IndexMap;
use pt2c_ir::{Diagnostic, Program};
use pt2c_ops::Tensor;
use pt2c_ops::interpret::{Input, InterpretError, Outcome, run};

use crate::{ExportedProgram, ImportError, import};

/// A callable program with the present values of its buffers.
#[derive(Clone, Debug)]
pub struct Module {
    program: Program,
    state: IndexMap<String, Tensor>,
    /// What import wants the user to know.
    pub warnings: Vec<Diagnostic>,
}

impl ExportedProgram {
    /// The program as something to call: PyTorch's `ExportedProgram.module()`.
    ///
    /// # Errors
    /// [`ImportError`] for what the compiler does not handle.
    pub fn module(&self) -> Result<Module, ImportError> {
        let imported = import(self)?;
        Ok(Module { program: imported.program, state: IndexMap::new(), warnings: imported.warnings })
    }
}

impl Module {
    /// Calls it: one input per leaf of the input pytree (constants are [`Input::Baked`]). Buffers that the call
    /// changes keep their new values for the next call.
    ///
    /// # Errors
    /// [`InterpretError`] for inputs that do not fit, and for operators without an evaluation.
    pub fn call(&mut self, inputs: &[Input]) -> Result<Outcome, InterpretError> {
        let outcome = run(&self.program, inputs, &self.state)?;
        self.state.extend(outcome.buffers.iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(outcome)
    }

    /// Values of the buffers that calls have changed so far.
    pub fn state(&self) -> &IndexMap<String, Tensor> {
        &self.state
    }

    /// Gives a buffer a value.
    pub fn set_state(&mut self, buffer: &str, value: Tensor) {
        self.state.insert(buffer.to_owned(), value);
    }

    /// Gives all buffers their initial values back.
    pub fn reset(&mut self) {
        self.state.clear();
    }

    /// The program in the compiler's terms.
    pub fn program(&self) -> &Program {
        &self.program
    }
}
