//! The chain itself: arithmetic, control flow, masks, conversions, calls; errors; determinism.

use crate::support::{function, load, targets};
use pt2c_native::builder::{Elem, Func, IntPredicate, Module, Reduction, Type};
use pt2c_native::{NativeError, Options, Target, check_module, compile_module};

/// `y[i] = a*x[i] + y[i]` for `i < n`, whole vectors and a masked tail.
fn axpy<'t>(target: &'t Target) -> Func<'t> {
    let mut b = Func::new(target, "axpy").public();
    let (x, y) = (b.param(Type::buffer(Elem::F32)), b.param(Type::buffer(Elem::F32)));
    let (a, n) = (b.param(Type::F32), b.param(Type::INDEX));
    let lanes = target.lanes;
    let (zero, step) = (b.index(0), b.index(i64::from(lanes)));
    let a = b.broadcast(a, lanes);
    let rest = b.remui(n, step);
    let whole = b.subi(n, rest);
    b.for_each(zero, whole, i64::from(lanes), |b, i| {
        let xs = b.vload(x, i, lanes);
        let ys = b.vload(y, i, lanes);
        let r = b.mul_add(a, xs, ys);
        b.vstore(r, y, i);
    });
    let some = b.cmpi(IntPredicate::Ne, rest, zero);
    b.if_then(some, |b| {
        let mask = b.mask(rest, lanes);
        let pass = b.zero(Type::Vector(lanes, Elem::F32));
        let xs = b.masked_load(x, whole, mask, pass);
        let ys = b.masked_load(y, whole, mask, pass);
        let r = b.mul_add(a, xs, ys);
        b.masked_store(r, y, whole, mask);
    });
    b.ret(&[]);
    b
}

#[test]
fn masked_tails_touch_nothing_beyond_the_end() {
    for target in targets() {
        let loaded = load(vec![axpy(&target)], &target, &["axpy"]);
        let f = function!(loaded, "axpy", extern "C" fn(*const f32, *mut f32, f32, usize));
        for n in [0usize, 1, 3, 4, 15, 16, 17, 33, 100] {
            let x: Vec<f32> = (0..n).map(|i| i as f32 * 0.5).collect();
            let mut y: Vec<f32> = vec![1.0; n + 1];
            y[n] = 42.0;
            f(x.as_ptr(), y.as_mut_ptr(), 3.0, n);
            for i in 0..n {
                assert_eq!(f64::from(y[i]), 3.0 * (i as f64 * 0.5) + 1.0, "{target:?} n {n} i {i}");
            }
            assert_eq!(y[n], 42.0);
        }
    }
}

#[test]
fn carried_values_reductions_and_while_loops() {
    for target in targets() {
        let mut b = Func::new(&target, "sum").public();
        let x = b.param(Type::buffer(Elem::F32));
        let n = b.param(Type::INDEX);
        b.returns(&[Type::F32]);
        let lanes = target.lanes;
        let (zero, step) = (b.index(0), b.index(i64::from(lanes)));
        let init = b.zero(Type::Vector(lanes, Elem::F32));
        let total = b.for_loop(zero, n, step, &[init], |b, i, acc| {
            let v = b.vload(x, i, lanes);
            vec![b.addf(acc[0], v)]
        });
        let s = b.reduce(Reduction::Add, total[0]);
        b.ret(&[s]);
        // The integer part of the square root, by counting.
        let mut r = Func::new(&target, "root").public();
        let n = r.param(Type::I64);
        r.returns(&[Type::I64]);
        let init = r.int(Type::I64, 0);
        let out = r.while_loop(
            &[init],
            |r, v| {
                let next = r.add_const(v[0], 1);
                let square = r.muli(next, next);
                r.cmpi(IntPredicate::Sle, square, n)
            },
            |r, v| vec![r.add_const(v[0], 1)],
        );
        r.ret(&out);
        let loaded = load(vec![b, r], &target, &["sum", "root"]);
        let sum = function!(loaded, "sum", extern "C" fn(*const f32, usize) -> f32);
        let x: Vec<f32> = (0..64).map(|i| i as f32).collect();
        assert_eq!(sum(x.as_ptr(), 64), 2016.0);
        let root = function!(loaded, "root", extern "C" fn(i64) -> i64);
        assert_eq!((root(0), root(15), root(16), root(99)), (0, 3, 4, 9));
    }
}

#[test]
fn tasks_are_called_through_pointers_with_argument_words() {
    let target = Target::baseline();
    // A task that adds its second word to every element of the buffer in its first.
    let mut body = Func::new(&target, "add_body");
    let buffer = body.param(Type::buffer(Elem::I64));
    let (amount, begin, end) = (body.param(Type::I64), body.param(Type::INDEX), body.param(Type::INDEX));
    body.for_each(begin, end, 1, |b, i| {
        let v = b.load(buffer, i);
        let v = b.addi(v, amount);
        b.store(v, buffer, i);
    });
    body.ret(&[]);
    let mut task = Func::new(&target, "add_task");
    let words = task.param(Type::Ptr);
    let (begin, end) = (task.param(Type::I64), task.param(Type::I64));
    let data = task.ptr_load(words, Type::Ptr);
    let second = task.ptr_at(words, 8);
    let amount = task.ptr_load(second, Type::I64);
    let buffer = task.buffer_from_ptr(data, Elem::I64);
    let (begin, end) = (task.to_index(begin), task.to_index(end));
    task.call("add_body", &[buffer, amount, begin, end], &[]);
    task.ret(&[]);
    let params = [Type::Ptr, Type::I64, Type::I64];
    let mut entry = Func::new(&target, "entry").public();
    let data = entry.param(Type::Ptr);
    let run = entry.param(Type::Ptr);
    let words = entry.stack_words(2);
    entry.ptr_store(data, words);
    let second = entry.ptr_at(words, 8);
    let five = entry.int(Type::I64, 5);
    entry.ptr_store(five, second);
    let f = entry.function_pointer("add_task", &params, &[]);
    let n = entry.int(Type::I64, 10);
    let text = format!("llvm.call {run}({f}, {words}, {n}) : !llvm.ptr, (!llvm.ptr, !llvm.ptr, i64) -> ()");
    entry.stmt(&text);
    entry.ret(&[]);
    type Task = extern "C" fn(*const u64, i64, i64);
    extern "C" fn run_halves(task: Task, words: *const u64, n: i64) {
        task(words, 0, n / 2);
        task(words, n / 2, n);
    }
    let loaded = load(vec![body, task, entry], &target, &["entry"]);
    let entry = function!(loaded, "entry", extern "C" fn(*mut i64, extern "C" fn(Task, *const u64, i64)));
    let mut data: Vec<i64> = (0..10).collect();
    entry(data.as_mut_ptr(), run_halves);
    assert_eq!(data, (5..15).collect::<Vec<i64>>());
}

#[test]
fn half_formats_convert_as_the_half_crate_does() {
    for target in targets() {
        let lanes = target.lanes;
        let mut functions = Vec::new();
        for (elem, up, down) in [(Elem::F16, "up16", "down16"), (Elem::BF16, "upb", "downb")] {
            for (name, from, to) in [(up, elem, Elem::F32), (down, Elem::F32, elem)] {
                let mut b = Func::new(&target, name).public();
                let (x, y) = (b.param(Type::buffer(from)), b.param(Type::buffer(to)));
                let n = b.param(Type::INDEX);
                let zero = b.index(0);
                b.for_each(zero, n, i64::from(lanes), |b, i| {
                    let v = b.vload(x, i, lanes);
                    let v = b.cast_float(v, to);
                    b.vstore(v, y, i);
                });
                b.ret(&[]);
                functions.push(b);
            }
        }
        let loaded = load(functions, &target, &["up16", "down16", "upb", "downb"]);
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let mut wide = vec![0f32; all.len()];
        let mut narrow = vec![0u16; all.len()];
        for (name, reference) in [
            ("up16", (|b| half::f16::from_bits(b).to_f32()) as fn(u16) -> f32),
            ("upb", |b| half::bf16::from_bits(b).to_f32()),
        ] {
            let f = function!(loaded, name, extern "C" fn(*const u16, *mut f32, usize));
            f(all.as_ptr(), wide.as_mut_ptr(), all.len());
            for (b, got) in all.iter().zip(&wide) {
                let want = reference(*b);
                assert!(
                    got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
                    "{name} {b:#x} {got} {want}"
                );
            }
        }
        // Every upper half of f32 bits, with lower halves that round down, tie, and round up.
        for low in [0u32, 1, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xf000, 0xffff] {
            let x: Vec<f32> = all.iter().map(|&h| f32::from_bits(u32::from(h) << 16 | low)).collect();
            for (name, reference) in [
                ("down16", (|x| half::f16::from_f32(x).to_bits()) as fn(f32) -> u16),
                ("downb", |x| half::bf16::from_f32(x).to_bits()),
            ] {
                let f = function!(loaded, name, extern "C" fn(*const f32, *mut u16, usize));
                f(x.as_ptr(), narrow.as_mut_ptr(), x.len());
                for (x, got) in x.iter().zip(&narrow) {
                    let want = reference(*x);
                    let nan = x.is_nan() && (got & 0x7fff) > if name == "downb" { 0x7f80 } else { 0x7c00 };
                    assert!(*got == want || nan, "{name} {x:e} {:#x} {got:#x} {want:#x} {target:?}", x.to_bits());
                }
            }
        }
    }
}

#[test]
fn bad_text_is_an_error_that_shows_the_line() {
    let text =
        "module {\n  func.func @f(%x: f32) -> f32 {\n    %y = arith.addi %x, %x : f32\n    return %y : f32\n  }\n}\n";
    let Err(NativeError::Mlir { line, text: shown, .. }) = check_module(text) else { panic!("accepted") };
    assert_eq!(line, 3);
    assert!(shown.contains("arith.addi"), "{shown}");
    assert!(matches!(check_module("module { garbage"), Err(NativeError::Mlir { .. })));
    // Parses, but nothing lowers it.
    let text = "module {\n  func.func @f() {\n    %x = tensor.empty() : tensor<4xf32>\n    return\n  }\n}\n";
    let text = text.replace("return", "\"test.use\"(%x) : (tensor<4xf32>) -> ()\n    return");
    assert!(compile_module(&text, &Target::baseline(), &Options::default()).is_err());
    let Err(NativeError::UnknownCpu { known, .. }) = Target::from_flag("pentium9") else { panic!("accepted") };
    assert!(known.contains("native") && known.contains("sapphirerapids"));
}

#[test]
fn a_second_compile_gives_the_same_bytes_and_no_foreign_symbols() {
    use object::{Object, ObjectSymbol};
    for target in targets() {
        let mut module = Module::new();
        module.add(axpy(&target));
        let text = module.finish();
        let options =
            Options { public: vec!["axpy".to_string()], keep_llvm: true, keep_asm: true, ..Options::default() };
        let first = compile_module(&text, &target, &options).expect("compiles");
        let second = compile_module(&text, &target, &options).expect("compiles");
        assert_eq!(first.object, second.object);
        assert!(first.asm.is_some_and(|a| a.contains("axpy")) && first.llvm.is_some());
        let file = object::File::parse(&*first.object).expect("an ELF file");
        let global: Vec<_> = file.symbols().filter(|s| s.is_global()).filter_map(|s| s.name().ok()).collect();
        assert_eq!(global, ["axpy"]);
        assert!(file.section_by_name(".eh_frame").is_none() && file.section_by_name(".comment").is_none());
    }
}
