//! Where a call's time goes: each kernel's time joined to what it has to do, to what the machine could do, and to the
//! line and module of the user's program that it comes from.
//!
//! A profiled program is compiled with clock readings around each kernel; they land in a buffer of the program itself
//! ([`KernelProgram::marks`]), so that the runtime knows nothing of profiles and other programs pay nothing.

use crate::compile::Compiled;
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{DType, Fact, Location, Program, TensorData, TensorEntry, TensorRole};
use pt2c_kernel::{Body, Buffer, BufferId, BufferKind, Kernel, KernelProgram, MARKS_PER_CALL, Step, Work};
use pt2c_native::machine::Machine;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The name of the buffer with the clock's readings; no module has such a name.
const MARKS: &str = "(profile)";

/// Gives a lowered program the buffer for the clock's readings.
pub fn add_marks(program: &mut Program, kernels: &mut KernelProgram) -> Result<(), pt2c_ir::TensorDataError> {
    let words = MARKS_PER_CALL * kernels.calls().len() + kernels.scope.symbols().count();
    let entry = TensorEntry {
        role: TensorRole::Buffer { persistent: false },
        fact: Fact::new(DType::I64, vec![Dim::int(words as i64)]),
        data: Some(TensorData::dense(DType::I64, vec![words], vec![0u8; 8 * words])?),
    };
    program.tensors.insert(MARKS.to_string(), entry);
    kernels.marks = Some(BufferId(kernels.buffers.len() as u32));
    kernels.buffers.push(Buffer {
        name: MARKS.to_string(),
        dtype: DType::I64,
        len: Dim::int(words as i64),
        kind: BufferKind::State(MARKS.to_string()),
    });
    Ok(())
}

/// Whether only a run tells what a program has to do: its sizes are symbols, or its steps depend on data.
pub fn needs_marks(kernels: &KernelProgram) -> bool {
    let dependent = |step: &Step| matches!(step, Step::If { .. } | Step::While { .. });
    kernels.scope.symbols().next().is_some() || kernels.steps.iter().any(dependent)
}

/// One call of a kernel, as the program's text has it.
pub struct Call {
    /// The kernel's name.
    pub kernel: String,
    /// What kind of kernel.
    pub kind: &'static str,
    /// Seconds in one call of the program: the shortest run seen, times the runs.
    pub seconds: f64,
    /// The same on average over the profiled calls.
    pub average: f64,
    /// How often it ran in one call of the program (a loop's body runs often).
    pub runs: f64,
    /// Start of its last run, in seconds after the first kernel's.
    pub start: f64,
    /// What one run has to do.
    pub work: Work,
    /// Where it comes from.
    pub location: Option<Location>,
}

/// The calls of a program.
pub struct Profile {
    /// In the order of the program.
    pub calls: Vec<Call>,
    /// The yardstick.
    pub machine: Machine,
    /// Threads of a call.
    pub threads: u32,
}

fn kind(kernel: &Kernel) -> &'static str {
    match &kernel.body {
        Body::Loops(_) => "loops",
        Body::Matmul(_) => "matmul",
        Body::Convolution(c) if c.groups > 1 && c.groups == c.input_channels => "depthwise",
        Body::Convolution(_) => "conv",
        Body::Winograd(_) => "winograd",
        Body::Strassen(_) => "strassen",
        Body::Attention(_) => "attention",
        Body::Sort(_) => "sort",
        Body::Routine(_) => "routine",
        Body::Custom(_) => "custom",
    }
}

impl Profile {
    /// Reads the clock's readings of `runs` calls out of the library's state. Without marks times are 0, and every kernel
    /// is taken to run once.
    pub fn read(
        compiled: &Compiled,
        state: &[(String, TensorData)],
        runs: usize,
        machine: Machine,
        threads: u32,
    ) -> Profile {
        let kernels = &compiled.kernels;
        let bytes = state.iter().find(|(name, _)| name == MARKS).map(|(_, data)| data.to_dense());
        let words: Vec<i64> = bytes
            .iter()
            .flat_map(|bytes| bytes.chunks_exact(8))
            .map(|word| i64::from_le_bytes(word.try_into().unwrap_or_default()))
            .collect();
        let word = |k: usize| words.get(k).copied().unwrap_or(0);
        let calls = kernels.calls();
        let behind = MARKS_PER_CALL * calls.len();
        let symbols = kernels.scope.symbols().enumerate();
        let symbols: BTreeMap<Symbol, i64> = symbols.map(|(k, (name, _))| (name.clone(), word(behind + k))).collect();
        let starts = (0..calls.len()).map(|k| word(MARKS_PER_CALL * k + 3)).filter(|&start| start != 0);
        let first = starts.min().unwrap_or(0);
        let seconds = |ticks: i64| ticks as f64 / machine.ticks;
        let per_call = runs.max(1) as f64;
        let calls = calls.into_iter().enumerate().filter_map(|(k, (kernel, buffers, location))| {
            let kernel = kernels.kernels.get(kernel.0 as usize)?;
            let [marked, ticks, least, start] = [0, 1, 2, 3].map(|field| word(MARKS_PER_CALL * k + field));
            let runs = if words.is_empty() { 1.0 } else { marked as f64 / per_call };
            Some(Call {
                kernel: kernel.name.clone(),
                kind: kind(kernel),
                seconds: seconds(least) * runs,
                average: seconds(ticks) / per_call,
                runs,
                start: seconds(start - first),
                work: pt2c_kernel::work(kernels, kernel, buffers, &symbols),
                location: compiled.program.locations.get(location).cloned(),
            })
        });
        Profile { calls: calls.collect(), machine, threads }
    }

    /// Floating-point operations of one call of the program.
    pub fn operations(&self) -> f64 {
        self.calls.iter().map(|c| c.work.operations * c.runs).sum()
    }

    /// Bytes that its kernels read and write.
    pub fn bytes(&self) -> f64 {
        self.calls.iter().map(|c| c.work.bytes * c.runs).sum()
    }

    /// The table: kernels of the same kind and work at the same place of repeated modules are one line. Times are those of
    /// the shortest runs, which a busy machine disturbs least.
    pub fn table(&self) -> String {
        struct Line<'c> {
            first: &'c Call,
            module: String,
            calls: usize,
            seconds: f64,
            operations: f64,
            bytes: f64,
        }
        let mut lines: Vec<Line<'_>> = Vec::new();
        for call in &self.calls {
            let module = repeated(call.location.as_ref().map_or("", |l| &l.module));
            let same = |line: &&mut Line<'_>| {
                line.module == module
                    && line.first.kind == call.kind
                    && line.first.work == call.work
                    && line.first.location.as_ref().map(|l| (&l.file, l.line))
                        == call.location.as_ref().map(|l| (&l.file, l.line))
            };
            let line = match lines.iter_mut().find(same) {
                Some(line) => line,
                None => {
                    lines.push(Line { first: call, module, calls: 0, seconds: 0.0, operations: 0.0, bytes: 0.0 });
                    let Some(line) = lines.last_mut() else { continue };
                    line
                }
            };
            line.calls += 1;
            line.seconds += call.seconds;
            line.operations += call.work.operations * call.runs;
            line.bytes += call.work.bytes * call.runs;
        }
        lines.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        let all: f64 = lines.iter().map(|l| l.seconds).sum();
        let peak = self.machine.operations * f64::from(self.threads.max(1));
        let width = lines.iter().map(|l| l.first.kernel.len()).max().unwrap_or(0).clamp(6, 40);
        let mut text = format!(
            "{:width$}  {:9}  {:>5}  {:>10}  {:>6}  {:>8}  {:>6}  {:>7}  where\n",
            "kernel", "kind", "calls", "time", "share", "GFLOP/s", "peak", "GB/s"
        );
        for line in &lines {
            let name: String = line.first.kernel.chars().take(width).collect();
            let (operations, bytes) = (line.operations / line.seconds.max(1e-12), line.bytes / line.seconds.max(1e-12));
            let source = line.first.location.as_ref().map_or(String::new(), |l| {
                let file = l.file.rsplit('/').next().unwrap_or_default();
                let code = if l.code.is_empty() { String::new() } else { format!(" `{}`", l.code.trim()) };
                format!("{file}:{}{code}", l.line)
            });
            let module = if line.module.is_empty() { String::new() } else { format!("{}  ", line.module) };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{name:width$}  {:9}  {:5}  {:7.3} ms  {:4.1} %  {:8.1}  {:4.0} %  {:7.1}  {module}{source}",
                line.first.kind,
                line.calls,
                line.seconds * 1e3,
                100.0 * line.seconds / all.max(1e-12),
                operations / 1e9,
                100.0 * operations / peak,
                bytes / 1e9,
            );
        }
        text
    }

    /// The last call as a trace for `chrome://tracing` or Perfetto.
    pub fn trace(&self) -> String {
        let events: Vec<_> = self
            .calls
            .iter()
            .filter(|c| c.runs > 0.0)
            .map(|c| {
                let run = c.seconds / c.runs;
                let empty = Location::default();
                let place = c.location.as_ref().unwrap_or(&empty);
                json!({
                    "name": c.kernel, "cat": c.kind, "ph": "X", "pid": 1, "tid": 1,
                    "ts": c.start * 1e6, "dur": run * 1e6,
                    "args": {
                        "module": place.module, "source": format!("{}:{}", place.file, place.line), "code": place.code,
                        "GFLOP/s": c.work.operations / run.max(1e-12) / 1e9, "GB/s": c.work.bytes / run.max(1e-12) / 1e9,
                    },
                })
            })
            .collect();
        json!({ "traceEvents": events, "displayTimeUnit": "ms" }).to_string()
    }

    /// Each call of a kernel, for programs that read it.
    pub fn json(&self) -> serde_json::Value {
        let calls: Vec<_> = self
            .calls
            .iter()
            .map(|c| {
                let place = c.location.clone().unwrap_or_default();
                json!({
                    "kernel": c.kernel, "kind": c.kind, "ms": c.seconds * 1e3, "average_ms": c.average * 1e3,
                    "runs": c.runs,
                    "operations": c.work.operations, "bytes": c.work.bytes,
                    "module": place.module, "file": place.file, "line": place.line,
                })
            })
            .collect();
        json!(calls)
    }
}

/// A module path with its numbers left out: `layer.3.mlp` is a repetition of `layer.0.mlp`.
fn repeated(path: &str) -> String {
    let part = |part: &str| if part.parse::<u32>().is_ok() { "*".to_string() } else { part.to_string() };
    path.split('.').map(part).collect::<Vec<_>>().join(".")
}
