//! What `--cpu` names: the processor that code is generated for, and what the emitters need to know about it.

use crate::error::NativeError;
use inkwell::OptimizationLevel;
use inkwell::targets::{CodeModel, InitializationConfig, RelocMode, Target as LlvmTarget, TargetMachine, TargetTriple};
use std::collections::BTreeSet;

/// The vector instruction sets that kernels are emitted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// SSE2: every x86-64.
    Baseline,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW, DQ, VL.
    Avx512,
}

/// The processor that code is generated for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// LLVM's name of the processor (it sets scheduling and, without `features`, the instructions).
    pub cpu: String,
    /// LLVM feature string (`+avx2,-avx512f,…`); complete for `native`, empty for a named processor.
    pub features: String,
    /// The vector instruction set.
    pub isa: Isa,
    /// f32 lanes of one vector register: 4, 8 or 16.
    pub lanes: u32,
    /// Vector registers: 16, or 32 with AVX-512.
    pub registers: u32,
    /// Whether fused multiply-add exists in hardware.
    pub fma: bool,
    /// Whether f16 ↔ f32 conversion exists in hardware.
    pub f16c: bool,
}

/// A processor that `--cpu` accepts.
struct Named {
    name: &'static str,
    isa: Isa,
    f16c: bool,
    /// Instructions beyond its level that LLVM may choose by itself for our code.
    extra: &'static [&'static str],
}

const fn named(name: &'static str, isa: Isa, extra: &'static [&'static str]) -> Named {
    Named { name, isa, f16c: !matches!(isa, Isa::Baseline), extra }
}

/// What the third level of x86-64 has beyond the first.
const AVX2: &[&str] =
    &["sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe"];
/// What the fourth level has beyond the first.
const AVX512: &[&str] = &[
    "sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe",
    "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl",
];
const ICE: &[&str] = &["avx512vbmi", "avx512vbmi2", "avx512vnni", "avx512bitalg", "avx512vpopcntdq", "gfni"];
const SAPPHIRE: &[&str] =
    &["avx512vbmi", "avx512vbmi2", "avx512vnni", "avx512bitalg", "avx512vpopcntdq", "gfni", "avx512bf16", "avx512fp16"];
const ZEN4: &[&str] =
    &["avx512vbmi", "avx512vbmi2", "avx512vnni", "avx512bitalg", "avx512vpopcntdq", "gfni", "avx512bf16"];

/// The names that `--cpu` accepts beside `native`, as LLVM spells them.
const NAMED: &[Named] = &[
    named("x86-64", Isa::Baseline, &[]),
    named("x86-64-v2", Isa::Baseline, &["sse4.2"]),
    named("nehalem", Isa::Baseline, &["sse4.2"]),
    named("sandybridge", Isa::Baseline, &["avx"]),
    named("ivybridge", Isa::Baseline, &["avx", "f16c"]),
    named("x86-64-v3", Isa::Avx2, &[]),
    named("haswell", Isa::Avx2, &[]),
    named("broadwell", Isa::Avx2, &[]),
    named("skylake", Isa::Avx2, &[]),
    named("alderlake", Isa::Avx2, &["gfni", "avxvnni"]),
    named("raptorlake", Isa::Avx2, &["gfni", "avxvnni"]),
    named("znver1", Isa::Avx2, &[]),
    named("znver2", Isa::Avx2, &[]),
    named("znver3", Isa::Avx2, &[]),
    named("x86-64-v4", Isa::Avx512, &[]),
    named("skylake-avx512", Isa::Avx512, &[]),
    named("cascadelake", Isa::Avx512, &["avx512vnni"]),
    named("cooperlake", Isa::Avx512, &["avx512vnni", "avx512bf16"]),
    named("icelake-client", Isa::Avx512, ICE),
    named("icelake-server", Isa::Avx512, ICE),
    named("tigerlake", Isa::Avx512, ICE),
    named("rocketlake", Isa::Avx512, ICE),
    named("sapphirerapids", Isa::Avx512, SAPPHIRE),
    named("emeraldrapids", Isa::Avx512, SAPPHIRE),
    named("graniterapids", Isa::Avx512, SAPPHIRE),
    named("znver4", Isa::Avx512, ZEN4),
    named("znver5", Isa::Avx512, ZEN4),
];

fn accepted() -> String {
    let names: Vec<&str> = std::iter::once("native").chain(NAMED.iter().map(|n| n.name)).collect();
    names.join(", ")
}

/// The one platform that objects are written for.
pub const TRIPLE: &str = "x86_64-unknown-linux-gnu";

impl Target {
    /// Whether the processor multiplies pairs of bf16 numbers and adds them up in f32.
    pub fn has_bf16_products(&self) -> bool {
        let named = || NAMED.iter().find(|n| n.name == self.cpu).is_some_and(|n| n.extra.contains(&"avx512bf16"));
        let listed = self.features.split(',').any(|f| f == "+avx512bf16");
        self.isa == Isa::Avx512 && if self.features.is_empty() { named() } else { listed }
    }

    /// Whether the processor executes a 512-bit instruction as two halves, so that two half as wide ones take as long.
    pub fn splits_vectors(&self) -> bool {
        self.isa == Isa::Avx512 && self.cpu == "znver4"
    }

    /// The target of a `--cpu` value: `native` (this machine: what it reports, not what its name implies), one of the
    /// x86-64 levels, or one of the processors in the table below.
    ///
    /// # Errors
    /// [`NativeError::UnknownCpu`] for other names.
    pub fn from_flag(flag: &str) -> Result<Target, NativeError> {
        initialize();
        if flag == "native" {
            // The name alone would claim instructions that a virtual machine may hide: the feature list decides.
            let cpu = TargetMachine::get_host_cpu_name().to_string();
            let features = TargetMachine::get_host_cpu_features().to_string();
            let on: BTreeSet<&str> = features.split(',').filter_map(|f| f.strip_prefix('+')).collect();
            let all = |names: &[&str]| names.iter().all(|n| on.contains(n));
            let isa = if all(&["avx512f", "avx512bw", "avx512dq", "avx512vl", "fma", "avx2"]) {
                Isa::Avx512
            } else if all(&["avx2", "fma"]) {
                Isa::Avx2
            } else {
                Isa::Baseline
            };
            let f16c = on.contains("f16c") && isa != Isa::Baseline;
            return Ok(Target::new(cpu, isa, f16c, features));
        }
        let named = NAMED
            .iter()
            .find(|n| n.name == flag)
            .ok_or_else(|| NativeError::UnknownCpu { cpu: flag.to_string(), known: accepted() })?;
        Ok(Target::new(flag.to_string(), named.isa, named.f16c, String::new()))
    }

    /// The target that any x86-64 runs.
    pub fn baseline() -> Target {
        Target::new("x86-64".to_string(), Isa::Baseline, false, String::new())
    }

    fn new(cpu: String, isa: Isa, f16c: bool, features: String) -> Target {
        let (lanes, registers) = match isa {
            Isa::Baseline => (4, 16),
            Isa::Avx2 => (8, 16),
            Isa::Avx512 => (16, 32),
        };
        Target { cpu, features, isa, lanes, registers, fma: isa != Isa::Baseline, f16c }
    }

    /// The instructions that generated code may use, as LLVM names them (`avx2`, `fma`, …): what a machine must have.
    pub fn instructions(&self) -> Vec<String> {
        if !self.features.is_empty() {
            return self.features.split(',').filter_map(|f| f.strip_prefix('+')).map(str::to_string).collect();
        }
        let extra = NAMED.iter().find(|n| n.name == self.cpu).map_or(&[][..], |n| n.extra);
        let level: &[&str] = match self.isa {
            Isa::Baseline => &[],
            Isa::Avx2 => AVX2,
            Isa::Avx512 => AVX512,
        };
        level.iter().chain(extra).map(|f| f.to_string()).collect()
    }

    /// Bits of one vector register.
    pub fn vector_bits(&self) -> u32 {
        self.lanes * 32
    }

    /// Lanes of one vector register for an element of so many bytes (1, 2, 4 or 8).
    pub fn lanes_of(&self, bytes: u32) -> u32 {
        self.vector_bits() / 8 / bytes.max(1)
    }

    /// Whether this machine can execute code for the target.
    pub fn runs_here(&self) -> bool {
        let Ok(host) = Target::from_flag("native") else {
            return false;
        };
        if !self.features.is_empty() {
            return *self == host;
        }
        let on: BTreeSet<&str> = host.features.split(',').filter_map(|f| f.strip_prefix('+')).collect();
        let extra = NAMED.iter().find(|n| n.name == self.cpu).map_or(&[][..], |n| n.extra);
        host.isa >= self.isa && (host.f16c || !self.f16c) && extra.iter().all(|f| on.contains(f))
    }

    /// LLVM's code generator for the target: position-independent, small code model.
    pub(crate) fn machine(&self) -> Result<TargetMachine, NativeError> {
        initialize();
        let triple = TargetTriple::create(TRIPLE);
        let target = LlvmTarget::from_triple(&triple).map_err(|e| NativeError::Llvm { message: e.to_string() })?;
        target
            .create_target_machine(
                &triple,
                &self.cpu,
                &self.features,
                OptimizationLevel::Aggressive,
                RelocMode::PIC,
                CodeModel::Default,
            )
            .ok_or_else(|| NativeError::UnknownCpu { cpu: self.cpu.clone(), known: accepted() })
    }
}

fn initialize() {
    LlvmTarget::initialize_x86(&InitializationConfig::default());
}
