//! Runs kernel programs: lowers, compiles, loads, calls their main function on byte buffers.

use crate::support::function;
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{DType, LocationId};
use pt2c_kernel::{Body, Buffer, BufferId, BufferKind, Kernel, KernelId, KernelProgram, Param, Step};
use pt2c_native::builder::{Func, Module, Type};
use pt2c_native::{Loaded, Options, Target, compile_module, program};

/// A buffer's content.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    pub dtype: DType,
    pub bytes: Vec<u8>,
}

macro_rules! data {
    ($($name:ident, $back:ident, $ty:ty, $dtype:ident;)*) => {
        impl Data {
            $(pub fn $name(values: &[$ty]) -> Data {
                Data { dtype: DType::$dtype, bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
            }
            pub fn $back(&self) -> Vec<$ty> {
                self.bytes.chunks(size_of::<$ty>()).map(|c| <$ty>::from_le_bytes(c.try_into().expect("whole elements"))).collect()
            })*
        }
    };
}
data! {
    f32, as_f32, f32, F32;
    i64, as_i64, i64, I64;
    i32, as_i32, i32, I32;
    u8, as_u8, u8, U8;
}

impl Data {
    pub fn f64(values: &[f64]) -> Data {
        Data { dtype: DType::F64, bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }

    /// The same bytes under another type.
    pub fn of(self, dtype: DType) -> Data {
        Data { dtype, ..self }
    }
}

/// How a run ended.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    Done,
    /// The text of the failed check and its value.
    Failed(String, i64),
}

/// A runtime that does a parallel loop in two parts and remembers the failed check in the two words of `call`.
fn runtime(target: &Target) -> Module {
    let mut module = Module::new();
    let mut b = Func::new(target, program::PARALLEL_FOR).public();
    let _call = b.param(Type::Ptr);
    let (task, words) = (b.param(Type::Ptr), b.param(Type::Ptr));
    let (extent, grain) = (b.param(Type::I64), b.param(Type::I64));
    let two = b.int(Type::I64, 2);
    let half = b.divsi(extent, two);
    let parts = b.divsi(half, grain);
    let middle = b.muli(parts, grain);
    let zero = b.int(Type::I64, 0);
    for (from, to) in [(zero, middle), (middle, extent)] {
        b.stmt(&format!("llvm.call {task}({words}, {from}, {to}) : !llvm.ptr, (!llvm.ptr, i64, i64) -> ()"));
    }
    b.ret(&[]);
    module.add(b);
    let mut b = Func::new(target, pt2c_native::loops::FAIL).public();
    let call = b.param(Type::Ptr);
    let (message, value) = (b.param(Type::I64), b.param(Type::I64));
    b.ptr_store(message, call);
    let second = b.ptr_at(call, 8);
    b.ptr_store(value, second);
    b.ret(&[]);
    module.add(b);
    module
}

/// A compiled program.
pub struct Runner {
    loaded: Loaded,
    main: String,
    messages: Vec<String>,
    /// Buffers that lowering added.
    added: Vec<Vec<u8>>,
}

impl Runner {
    pub fn new(program: &KernelProgram, symbols: &[&str], target: &Target) -> Runner {
        let symbols: Vec<Symbol> = symbols.iter().map(|s| Symbol::new(s)).collect();
        let keep = program::Keep { asm: true, llvm: false };
        let compiled = program::compile(program, &symbols, "test", target, keep, &|_, _| {}).expect("compiles");
        for (unit, code) in compiled.lowered.units.iter().zip(&compiled.units) {
            if std::env::var_os("PT2C_SHOW_MLIR").is_some() {
                eprintln!("{}", unit.mlir);
            }
            if std::env::var_os("PT2C_SHOW_ASM").is_some() {
                eprintln!("{}", code.asm.clone().unwrap_or_default());
            }
        }
        let public = vec![program::PARALLEL_FOR.to_string(), pt2c_native::loops::FAIL.to_string()];
        let options = Options { public, ..Options::default() };
        let stub = compile_module(&runtime(target).finish(), target, &options).expect("the stub runtime compiles");
        let mut objects: Vec<Vec<u8>> = compiled.units.into_iter().map(|u| u.object).collect();
        objects.push(stub.object);
        let loaded = Loaded::new(&objects).expect("loads");
        let added = compiled.lowered.program.buffers[program.buffers.len()..]
            .iter()
            .map(|b| match &b.kind {
                BufferKind::Constant(bytes) => bytes.to_vec(),
                other => panic!("lowering added {other:?}"),
            })
            .collect();
        Runner { loaded, main: compiled.lowered.main, messages: compiled.lowered.messages, added }
    }

    /// Runs on buffers (changed in place). Each lies at the very end of its allocation, followed by guard bytes that
    /// must survive.
    pub fn run(&self, buffers: &mut [Data], symbols: &[i64]) -> Outcome {
        const GUARD: u8 = 0xA5;
        let mut memory: Vec<Vec<u8>> =
            buffers.iter().map(|d| d.bytes.iter().copied().chain([GUARD; 256]).collect()).collect();
        let mut added = self.added.clone();
        let values: Vec<*mut u8> = memory.iter_mut().chain(&mut added).map(|m| m.as_mut_ptr()).collect();
        let mut symbols = symbols.to_vec();
        let mut call = [-1i64, 0];
        type Main = extern "C" fn(*const *mut u8, *mut i64, *mut i64) -> i32;
        let main = function!(self.loaded, &self.main, Main);
        let status = main(values.as_ptr(), symbols.as_mut_ptr(), call.as_mut_ptr());
        for (d, m) in buffers.iter_mut().zip(&memory) {
            let n = d.bytes.len();
            assert!(m[n..].iter().all(|b| *b == GUARD), "written beyond the end");
            d.bytes.copy_from_slice(&m[..n]);
        }
        match status {
            0 => Outcome::Done,
            _ => Outcome::Failed(self.messages[call[0] as usize].clone(), call[1]),
        }
    }
}

/// A program of one kernel on buffers `0, 1, …` of the parameters' types.
pub fn one_kernel(params: Vec<Param>, body: Body, scope: Scope) -> KernelProgram {
    let buffers: Vec<Buffer> = params
        .iter()
        .enumerate()
        .map(|(k, p)| Buffer { name: format!("b{k}"), dtype: p.dtype, len: Dim::int(0), kind: BufferKind::Input(k) })
        .collect();
    let ids = (0..buffers.len() as u32).map(BufferId).collect();
    KernelProgram {
        buffers,
        kernels: vec![Kernel { name: "k".to_string(), params, body }],
        steps: vec![Step::Call { kernel: KernelId(0), buffers: ids, location: LocationId::default() }],
        scope,
        arena_bytes: Dim::ZERO,
        ..KernelProgram::default()
    }
}
