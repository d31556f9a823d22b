//! Matrix products of many odd shapes against an f64 reference, between guard pages, on every instruction set.

use crate::memory::{Guarded, noise};
use crate::support::{load, splitting_target, targets};
use pt2c_native::Target;
use pt2c_native::builder::{Elem, Func, Type, Val};
use pt2c_native::contraction::{Gemm, GemmB, Matrix, Out, Size, pack, tile};

/// How `b` is given.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Second {
    Packed,
    RowMajor,
    Transposed,
    /// No unit stride at all.
    Spread,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
    b: Second,
    /// Sizes as run-time values.
    dynamic: bool,
    /// `a` stored transposed.
    a_transposed: bool,
}

/// `out = max(Σ + bias[n], 0)`, row-major, rows `n + 3` apart.
fn kernel<'t>(target: &'t Target, case: Case, name: &str) -> (Func<'t>, tile::Tile) {
    let mut f = Func::new(target, name).public();
    let buffer = Type::buffer(Elem::F32);
    let (a, w, bias, out) = (f.param(buffer), f.param(buffer), f.param(buffer), f.param(buffer));
    let (begin, end) = (f.param(Type::INDEX), f.param(Type::INDEX));
    let (m, n, k) = (f.param(Type::INDEX), f.param(Type::INDEX), f.param(Type::INDEX));
    let size = |v: Val, s: usize| if case.dynamic { Size::Dynamic(v) } else { Size::Static(s as i64) };
    let (m, k) = (size(m, case.m), size(k, case.k));
    // Packed weights are constants: their sizes are known.
    let n = if case.b == Second::Packed { Size::Static(case.n as i64) } else { size(n, case.n) };
    let k = if case.b == Second::Packed { Size::Static(case.k as i64) } else { k };
    let tile = tile::choose(target, Elem::F32, m, n);
    let a_base = |b: &mut Func<'_>, z: &[Size]| {
        let whole = m.mul(b, k);
        Ok(z[0].mul(b, whole))
    };
    let b_base = |b: &mut Func<'_>, z: &[Size]| {
        let whole = n.mul(b, k);
        let whole = if case.b == Second::Spread { whole.times(b, 2) } else { whole };
        Ok(z[0].mul(b, whole))
    };
    let a_strides = if case.a_transposed { (Size::ONE, m) } else { (k, Size::ONE) };
    let b_operand = match case.b {
        Second::Packed => GemmB::Packed { buffer: w },
        Second::RowMajor => GemmB::Strided(Matrix { buffer: w, base: &b_base, row: n, col: Size::ONE }),
        Second::Transposed => GemmB::Strided(Matrix { buffer: w, base: &b_base, row: Size::ONE, col: k }),
        Second::Spread => {
            let row = n.times(&mut f, 2);
            GemmB::Strided(Matrix { buffer: w, base: &b_base, row, col: Size::Static(2) })
        }
    };
    let gemm = Gemm {
        batch: vec![Size::Static(case.batch as i64)],
        m,
        n,
        k,
        a: Matrix { buffer: a, base: &a_base, row: a_strides.0, col: a_strides.1 },
        b: b_operand,
        accumulator: Elem::F32,
        signed: true,
        tile,
        pairs: false,
        long_epilogue: case.n % 3 == 1,
    };
    gemm.emit(&mut f, begin, end, &mut |b, o| {
        let zero = b.zero(o.value.ty);
        let bias_at = o.col.val(b);
        let bias = match o.mask {
            Some(mask) => b.masked_load(bias, bias_at, mask, zero),
            None => b.vload(bias, bias_at, o.value.ty.lanes()),
        };
        let v = b.addf(o.value, bias);
        let v = b.maximumf(v, zero);
        store(b, o, v, out, m, n)
    })
    .expect("emits");
    f.ret(&[]);
    (f, tile)
}

fn store(b: &mut Func<'_>, o: &Out, v: Val, out: Val, m: Size, n: Size) -> Result<(), pt2c_native::NativeError> {
    let stride = n.plus(b, 3);
    let row = o.batch[0].mul(b, m).add(b, o.row);
    let at = row.mul(b, stride).add(b, o.col).val(b);
    match o.mask {
        Some(mask) => b.masked_store(v, out, at, mask),
        None => b.vstore(v, out, at),
    }
    Ok(())
}

type Run = extern "C" fn(*const f32, *const f32, *const f32, *mut f32, usize, usize, usize, usize, usize);

fn check(target: &Target, case: Case, kernel: *const (), tile: tile::Tile) {
    let Case { batch, m, n, k, .. } = case;
    let a = noise(batch * m * k, 1);
    let w = noise(batch * k * n, 2);
    let bias = noise(n, 3);
    let at_w =
        |z: usize, i: usize, j: usize| f64::from(w[if case.b == Second::Packed { 0 } else { z * k * n } + i * n + j]);
    let stored: Vec<f32> = match case.b {
        Second::RowMajor => w.clone(),
        Second::Transposed => (0..batch * k * n)
            .map(|e| {
                let (z, r) = (e / (k * n), e % (k * n));
                w[z * k * n + (r % k) * n + r / k]
            })
            .collect(),
        Second::Spread => {
            let mut s = vec![f32::NAN; (2 * batch * k * n).saturating_sub(1)];
            for (e, v) in w.iter().enumerate() {
                s[2 * e] = *v;
            }
            s
        }
        Second::Packed => {
            let bytes: Vec<u8> = w[..k * n].iter().flat_map(|v| v.to_le_bytes()).collect();
            let packed = pack::columns(&bytes, 4, k, n, tile.columns() as usize, tile.lanes as usize).expect("length");
            packed.chunks(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()
        }
    };
    let a_stored: Vec<f32> = if case.a_transposed {
        (0..batch * m * k)
            .map(|e| {
                let (z, r) = (e / (m * k), e % (m * k));
                a[z * m * k + (r % m) * k + r / m]
            })
            .collect()
    } else {
        a.clone()
    };
    // SAFETY: `kernel` wrote the function with exactly these parameters.
    let run = unsafe { std::mem::transmute::<*const (), Run>(kernel) };
    // The cut into tasks of the emitter, from its documented rule.
    let size = |s: usize| if case.dynamic { None } else { Some(s as i64) };
    let as_size = |s: Option<i64>, b: &mut Func<'_>| s.map_or_else(|| Size::Dynamic(b.index(0)), Size::Static);
    let mut dummy = Func::new(target, "dummy");
    let (ms, ns, ks) = if case.b == Second::Packed {
        (as_size(size(m), &mut dummy), Size::Static(n as i64), Size::Static(k as i64))
    } else {
        (as_size(size(m), &mut dummy), as_size(size(n), &mut dummy), as_size(size(k), &mut dummy))
    };
    let blocking = pt2c_native::contraction::Blocking::choose(ms, ns, ks, tile);
    let tasks = batch * m.div_ceil(blocking.rows as usize) * n.div_ceil(blocking.columns as usize);
    for front in [false, true] {
        let (ga, gw, gb) = (Guarded::new(&a_stored, front), Guarded::new(&stored, front), Guarded::new(&bias, front));
        let rows = batch * m;
        let go = Guarded::new(&vec![7.5f32; (rows * (n + 3)).saturating_sub(3)], front);
        // Two ranges: the split must not matter.
        let cut = tasks / 2;
        for (lo, hi) in [(0, cut), (cut, tasks)] {
            run(ga.ptr(), gw.ptr(), gb.ptr(), go.ptr(), lo, hi, m, n, k);
        }
        let got = go.values();
        for z in 0..batch {
            for i in 0..m {
                for j in 0..n {
                    let mut sum = f64::from(bias[j]);
                    for l in 0..k {
                        sum += f64::from(a[z * m * k + i * k + l]) * at_w(z, l, j);
                    }
                    let want = sum.max(0.0);
                    let have = f64::from(got[(z * m + i) * (n + 3) + j]);
                    assert!(
                        (want - have).abs() <= 1e-6 * (k as f64 + 4.0).sqrt() * 4.0,
                        "{:?} {case:?} [{z}, {i}, {j}]: {have}, expected {want}",
                        target.isa
                    );
                }
                for j in n..n + 3 {
                    if let Some(v) = got.get((z * m + i) * (n + 3) + j) {
                        assert_eq!(*v, 7.5, "{:?} {case:?} wrote behind row {i}", target.isa);
                    }
                }
            }
        }
    }
}

/// Rows, columns and contracted extents.
type Sizes = Vec<(usize, usize, usize)>;

#[test]
fn products_of_odd_shapes() {
    // Kernels and the sizes each is run with: a static one with its own, a dynamic one with many.
    let mut kernels: Vec<(Case, Sizes)> = Vec::new();
    let seconds = [Second::Packed, Second::RowMajor, Second::Transposed, Second::Spread];
    for (round, b) in seconds.into_iter().enumerate() {
        let shapes = [(1, 70, 33), (29, 31, 40), (100, 49, 19), (13, 64, 17), (6, 130, 9), (7, 5, 3), (33, 16, 0)];
        for pick in 0..3 {
            let (m, n, k) = shapes[(2 * pick + round) % shapes.len()];
            let case = Case { batch: 1 + pick % 2, m, n, k, b, dynamic: false, a_transposed: (pick + round) % 3 == 2 };
            kernels.push((case, vec![(m, n, k)]));
        }
        let case = Case { batch: 2, m: 0, n: 67, k: 43, b, dynamic: true, a_transposed: round == 3 };
        let sizes = if b == Second::Packed {
            [1, 2, 3, 5, 8, 13, 95, 97, 131].map(|m| (m, 67, 43)).to_vec()
        } else {
            vec![
                (1, 1, 1),
                (7, 5, 3),
                (29, 31, 40),
                (100, 49, 19),
                (33, 16, 0),
                (5, 130, 530),
                (98, 65, 200),
                (4, 3, 801),
            ]
        };
        kernels.push((case, sizes));
    }
    // Long contractions of known length, and row strides that are multiples of a page: pieces.
    for (b, m, n, k) in [
        (Second::Transposed, 97, 33, 1700),
        (Second::Packed, 50, 70, 1024),
        (Second::Packed, 99, 21, 2057),
        (Second::RowMajor, 40, 30, 3072),
    ] {
        let case = Case { batch: 1, m, n, k, b, dynamic: false, a_transposed: false };
        kernels.push((case, vec![(m, n, k)]));
    }
    for target in targets().into_iter().chain(splitting_target()) {
        let mut functions = Vec::new();
        let mut tiles = Vec::new();
        let names: Vec<String> = (0..kernels.len()).map(|c| format!("gemm{c}")).collect();
        for ((case, _), name) in kernels.iter().zip(&names) {
            let (f, tile) = kernel(&target, *case, name);
            functions.push(f);
            tiles.push(tile);
        }
        let halves = kernels.iter().zip(&tiles).filter(|((case, _), tile)| case.n > 8 && tile.lanes == 8).count();
        assert!(halves > 1 || !target.splits_vectors(), "no half vectors");
        let public: Vec<&str> = names.iter().map(String::as_str).collect();
        let loaded = load(functions, &target, &public);
        for (((case, sizes), name), tile) in kernels.iter().zip(&names).zip(tiles) {
            for (m, n, k) in sizes {
                let address = loaded.symbol(name).expect("the kernel is public");
                check(&target, Case { m: *m, n: *n, k: *k, ..*case }, address, tile);
            }
        }
    }
}

/// `out[m, n] = Σ_k a[m, k] · w[n, k]` over operands of any element type; `out` holds the accumulator's.
fn plain<'t>(target: &'t Target, operand: Elem, accumulator: Elem, (m, n, k): (i64, i64, i64), name: &str) -> Func<'t> {
    let mut f = Func::new(target, name).public();
    let (a, w) = (f.param(Type::buffer(operand)), f.param(Type::buffer(operand)));
    let out = f.param(Type::buffer(accumulator));
    let (begin, end) = (f.param(Type::INDEX), f.param(Type::INDEX));
    let base = |_: &mut Func<'_>, _: &[Size]| Ok(Size::ZERO);
    let gemm = Gemm {
        batch: vec![],
        m: Size::Static(m),
        n: Size::Static(n),
        k: Size::Static(k),
        a: Matrix { buffer: a, base: &base, row: Size::Static(k), col: Size::ONE },
        b: GemmB::Strided(Matrix { buffer: w, base: &base, row: Size::ONE, col: Size::Static(k) }),
        accumulator,
        signed: true,
        tile: tile::choose(target, accumulator, Size::Static(m), Size::Static(n)),
        pairs: false,
        long_epilogue: false,
    };
    gemm.emit(&mut f, begin, end, &mut |b, o| {
        let at = o.row.times(b, n).add(b, o.col).val(b);
        match o.mask {
            Some(mask) => b.masked_store(o.value, out, at, mask),
            None => b.vstore(o.value, out, at),
        }
        Ok(())
    })
    .expect("emits");
    f.ret(&[]);
    f
}

#[test]
fn other_element_types() {
    let (m, n, k) = (37, 21, 300);
    let shape = (m as i64, n as i64, k as i64);
    type Call = extern "C" fn(*const u8, *const u8, *mut u8, usize, usize);
    let a = noise(m * k, 1);
    let w = noise(n * k, 2);
    let integer = |x: f32| (x * 100.0) as i64;
    for target in targets() {
        let kernels = [
            (Elem::BF16, Elem::F32, "bf16"),
            (Elem::F16, Elem::F32, "f16"),
            (Elem::F64, Elem::F64, "f64"),
            (Elem::I64, Elem::I64, "i64"),
            (Elem::I8, Elem::I32, "i8"),
        ];
        let functions = kernels.iter().map(|(o, acc, name)| plain(&target, *o, *acc, shape, name)).collect();
        let names: Vec<&str> = kernels.iter().map(|k| k.2).collect();
        let loaded = load(functions, &target, &names);
        for (operand, accumulator, name) in kernels {
            let bytes = |x: &[f32]| -> Vec<u8> {
                x.iter()
                    .flat_map(|x| match operand {
                        Elem::BF16 => half::bf16::from_f32(*x).to_le_bytes().to_vec(),
                        Elem::F16 => half::f16::from_f32(*x).to_le_bytes().to_vec(),
                        Elem::F64 => f64::from(*x).to_le_bytes().to_vec(),
                        Elem::I64 => integer(*x).to_le_bytes().to_vec(),
                        _ => (integer(*x) as i8).to_le_bytes().to_vec(),
                    })
                    .collect()
            };
            let value = |x: f32| match operand {
                Elem::BF16 => f64::from(half::bf16::from_f32(x).to_f32()),
                Elem::F16 => f64::from(half::f16::from_f32(x).to_f32()),
                Elem::F64 => f64::from(x),
                _ => integer(x) as f64,
            };
            // Integers must be exact; f32 sums of 300 terms are good to a few units.
            let tolerance = match accumulator {
                Elem::F32 => 1e-4,
                Elem::F64 => 1e-12,
                _ => 0.0,
            };
            let (ga, gw) = (Guarded::new(&bytes(&a), false), Guarded::new(&bytes(&w), false));
            let go = Guarded::new(&vec![0u8; m * n * accumulator.bytes() as usize], false);
            let address = loaded.symbol(name).expect("the kernel is public");
            // SAFETY: `plain` wrote the function with exactly these parameters.
            let run = unsafe { std::mem::transmute::<*const (), Call>(address) };
            // More tasks than there are would write outside: one task is one block of rows and columns.
            let blocking = pt2c_native::contraction::Blocking::choose(
                Size::Static(shape.0),
                Size::Static(shape.1),
                Size::Static(shape.2),
                tile::choose(&target, accumulator, Size::Static(shape.0), Size::Static(shape.1)),
            );
            run(
                ga.ptr(),
                gw.ptr(),
                go.ptr(),
                0,
                m.div_ceil(blocking.rows as usize) * n.div_ceil(blocking.columns as usize),
            );
            for i in 0..m {
                for j in 0..n {
                    let want: f64 = (0..k).map(|l| value(a[i * k + l]) * value(w[j * k + l])).sum();
                    let at = (i * n + j) * accumulator.bytes() as usize;
                    let raw = &go.values()[at..at + accumulator.bytes() as usize];
                    let got = match accumulator {
                        Elem::F32 => f64::from(f32::from_le_bytes(raw.try_into().expect("four bytes"))),
                        Elem::F64 => f64::from_le_bytes(raw.try_into().expect("eight bytes")),
                        Elem::I64 => i64::from_le_bytes(raw.try_into().expect("eight bytes")) as f64,
                        _ => f64::from(i32::from_le_bytes(raw.try_into().expect("four bytes"))),
                    };
                    assert!(
                        (got - want).abs() <= tolerance,
                        "{:?} {name} [{i}, {j}]: {got}, expected {want}",
                        target.isa
                    );
                }
            }
        }
    }
}
