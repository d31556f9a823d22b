//! The pipeline as a list of named phases. `--emit`, `--dump-phases`, `--print-after` and the timers use these names.

pub use pt2c_passes::pipeline::{PHASES, Phase, names, run, run_with};
