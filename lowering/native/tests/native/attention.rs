//! Attention against an f64 reference, between guard pages, on every instruction set.

use crate::memory::{Guarded, noise};
use crate::support::{load, targets};
use pt2c_native::Target;
use pt2c_native::builder::{Elem, Func, Type, Val};
use pt2c_native::contraction::{Attention, Mask, Matrix, Size};

#[derive(Clone, Copy, Debug, PartialEq)]
enum MaskKind {
    None,
    /// `[rows, positions]`, added.
    Added,
    /// `[rows, positions]`, nonzero keeps.
    Kept,
    /// `[positions]`, nonzero keeps: the same for all rows.
    KeptColumns,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    heads: usize,
    /// Query heads that share a key head.
    group: usize,
    rows: usize,
    positions: usize,
    depth: usize,
    value_depth: usize,
    mask: MaskKind,
    causal: bool,
    dynamic: bool,
    /// Values stored with positions innermost.
    v_transposed: bool,
    /// Heads between positions and depth in memory, as a reshaped projection has them.
    interleaved: bool,
}

const SCALE: f64 = 0.3;

/// Parameters: q, k, v, mask, out, begin, end, rows, positions.
fn kernel<'t>(target: &'t Target, case: Case, name: &str) -> Func<'t> {
    let mut f = Func::new(target, name).public();
    let buffer = Type::buffer(Elem::F32);
    let (q, k, v, mask, out) = (f.param(buffer), f.param(buffer), f.param(buffer), f.param(buffer), f.param(buffer));
    let (begin, end) = (f.param(Type::INDEX), f.param(Type::INDEX));
    let (rows, positions) = (f.param(Type::INDEX), f.param(Type::INDEX));
    let size = |v: Val, s: usize| if case.dynamic { Size::Dynamic(v) } else { Size::Static(s as i64) };
    let (rows, positions) = (size(rows, case.rows), size(positions, case.positions));
    let (d, e) = (case.depth as i64, case.value_depth as i64);
    let (heads, group) = (case.heads as i64, case.group as i64);
    let kv_heads = heads / group;
    // [head][row][depth], or [row][head][depth].
    let q_row = if case.interleaved { heads * d } else { d };
    let k_row = if case.interleaved { kv_heads * d } else { d };
    let q_base = |b: &mut Func<'_>, z: &[Size]| {
        let step = if case.interleaved { Size::Static(d) } else { rows.times(b, d) };
        Ok(z[0].mul(b, step))
    };
    let k_base = |b: &mut Func<'_>, z: &[Size]| {
        let step = if case.interleaved { Size::Static(d) } else { positions.times(b, d) };
        let head = z[0].div(b, group);
        Ok(head.mul(b, step))
    };
    let v_base = |b: &mut Func<'_>, z: &[Size]| {
        let step = positions.times(b, e);
        let head = z[0].div(b, group);
        Ok(head.mul(b, step))
    };
    let (v_row, v_col) = if case.v_transposed { (Size::ONE, positions) } else { (Size::Static(e), Size::ONE) };
    let attention = Attention {
        batch: vec![Size::Static(heads)],
        rows,
        positions,
        depth: d,
        value_depth: e,
        q: Matrix { buffer: q, base: &q_base, row: Size::Static(q_row), col: Size::ONE },
        k: Matrix { buffer: k, base: &k_base, row: Size::Static(k_row), col: Size::ONE },
        v: Matrix { buffer: v, base: &v_base, row: v_row, col: v_col },
        causal: case.causal,
        scale: SCALE,
        accumulator: Elem::F32,
    };
    let mut give: Box<Mask<'_>> = Box::new(|b, at| {
        if case.mask == MaskKind::KeptColumns {
            let at = at.position.val(b);
            let value = b.load(mask, at);
            let zero = b.zero(value.ty);
            return Ok(b.cmpf(pt2c_native::builder::FloatPredicate::Une, value, zero));
        }
        // Rows are a stride apart.
        let mut lanes = Vec::new();
        for lane in 0..at.lanes {
            // A row that does not exist repeats the last one.
            let last = rows.plus(b, -1);
            let row = at.row.plus(b, i64::from(lane)).min(b, last);
            let place = row.mul(b, positions).add(b, at.position).val(b);
            lanes.push(b.load(mask, place));
        }
        let value = b.from_lanes(&lanes);
        if case.mask == MaskKind::Added {
            return Ok(value);
        }
        let zero = b.zero(value.ty);
        Ok(b.cmpf(pt2c_native::builder::FloatPredicate::Une, value, zero))
    });
    let mask = if case.mask == MaskKind::None { None } else { Some(&mut *give) };
    attention
        .emit(&mut f, begin, end, mask, &mut |b, o| {
            let head = o.batch[0].mul(b, rows);
            let at = head.add(b, o.row).times(b, e).add(b, o.col).val(b);
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

type Run = extern "C" fn(*const f32, *const f32, *const f32, *const f32, *mut f32, usize, usize, usize, usize);

fn check(target: &Target, case: Case, kernel: *const ()) {
    let Case { heads, group, rows, positions, depth, value_depth, .. } = case;
    let kv_heads = heads / group;
    let q = noise(heads * rows * depth, 1);
    let k = noise(kv_heads * positions * depth, 2);
    let v = noise(kv_heads * positions * value_depth, 3);
    let mask: Vec<f32> = match case.mask {
        MaskKind::None => vec![],
        MaskKind::Added => {
            noise(rows * positions, 4).iter().map(|x| if *x > 0.8 { f32::NEG_INFINITY } else { 3.0 * x }).collect()
        }
        // Row 1 keeps nothing.
        MaskKind::Kept => noise(rows * positions, 5)
            .iter()
            .enumerate()
            .map(|(i, x)| if *x > -0.3 && i / positions.max(1) != 1 { 1.0 } else { 0.0 })
            .collect(),
        MaskKind::KeptColumns => noise(positions, 6).iter().map(|x| if *x > -0.3 { 1.0 } else { 0.0 }).collect(),
    };
    let interleave = |x: &[f32], heads: usize, rows: usize| -> Vec<f32> {
        if !case.interleaved {
            return x.to_vec();
        }
        (0..x.len())
            .map(|i| {
                let (r, h, c) = (i / (heads * depth), i / depth % heads, i % depth);
                x[(h * rows + r) * depth + c]
            })
            .collect()
    };
    let (sq, sk) = (interleave(&q, heads, rows), interleave(&k, kv_heads, positions));
    let sv: Vec<f32> = if case.v_transposed {
        (0..v.len())
            .map(|i| {
                let (h, c, p) = (i / (positions * value_depth), i / positions % value_depth, i % positions);
                v[(h * positions + p) * value_depth + c]
            })
            .collect()
    } else {
        v.clone()
    };
    // SAFETY: `kernel` wrote the function with exactly these parameters.
    let run = unsafe { std::mem::transmute::<*const (), Run>(kernel) };
    let mut dummy = Func::new(target, "dummy");
    let size =
        |b: &mut Func<'_>, s: usize| if case.dynamic { Size::Dynamic(b.index(0)) } else { Size::Static(s as i64) };
    let unused = |_: &mut Func<'_>, _: &[Size]| Ok(Size::ZERO);
    let nothing = dummy.param(Type::buffer(Elem::F32));
    let matrix = || Matrix { buffer: nothing, base: &unused, row: Size::ONE, col: Size::ONE };
    let block = Attention {
        batch: vec![],
        rows: size(&mut dummy, rows),
        positions: Size::ONE,
        depth: 1,
        value_depth: 1,
        q: matrix(),
        k: matrix(),
        v: matrix(),
        causal: false,
        scale: 1.0,
        accumulator: Elem::F32,
    }
    .task_rows(target) as usize;
    let tasks = heads * rows.div_ceil(block);
    for front in [false, true] {
        let (gq, gk, gv) = (Guarded::new(&sq, front), Guarded::new(&sk, front), Guarded::new(&sv, front));
        let gm = Guarded::new(&mask, front);
        let go = Guarded::new(&vec![f32::NAN; heads * rows * value_depth], front);
        let cut = tasks / 2;
        for (lo, hi) in [(0, cut), (cut, tasks)] {
            run(gq.ptr(), gk.ptr(), gv.ptr(), gm.ptr(), go.ptr(), lo, hi, rows, positions);
        }
        for h in 0..heads {
            for i in 0..rows {
                let scores: Vec<f64> = (0..positions)
                    .map(|j| {
                        let dot: f64 = (0..depth)
                            .map(|c| {
                                f64::from(q[(h * rows + i) * depth + c])
                                    * f64::from(k[(h / group * positions + j) * depth + c])
                            })
                            .sum();
                        let keep = match case.mask {
                            MaskKind::None => 0.0,
                            MaskKind::Added => f64::from(mask[i * positions + j]),
                            MaskKind::Kept if mask[i * positions + j] != 0.0 => 0.0,
                            MaskKind::KeptColumns if mask[j] != 0.0 => 0.0,
                            _ => f64::NEG_INFINITY,
                        };
                        if case.causal && j > i { f64::NEG_INFINITY } else { dot * SCALE + keep }
                    })
                    .collect();
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> =
                    scores.iter().map(|s| if *s == f64::NEG_INFINITY { 0.0 } else { (s - top).exp() }).collect();
                let sum: f64 = weights.iter().sum();
                for c in 0..value_depth {
                    let mut want: f64 = weights
                        .iter()
                        .enumerate()
                        .map(|(j, w)| w * f64::from(v[(h / group * positions + j) * value_depth + c]))
                        .sum();
                    // Nothing to attend to: zeros.
                    want = if sum == 0.0 { 0.0 } else { want / sum };
                    let got = f64::from(go.values()[(h * rows + i) * value_depth + c]);
                    assert!(
                        (got - want).abs() <= 2e-6,
                        "{:?} {case:?} head {h} row {i} value {c}: {got}, expected {want}",
                        target.isa
                    );
                }
            }
        }
    }
}

#[test]
fn attention_of_odd_shapes() {
    let base = Case {
        heads: 2,
        group: 1,
        rows: 37,
        positions: 53,
        depth: 24,
        value_depth: 32,
        mask: MaskKind::None,
        causal: false,
        dynamic: false,
        v_transposed: false,
        interleaved: false,
    };
    let cases = [
        base,
        Case { rows: 1, positions: 19, depth: 5, value_depth: 7, mask: MaskKind::KeptColumns, ..base },
        Case { rows: 64, positions: 300, depth: 64, value_depth: 64, causal: true, interleaved: true, ..base },
        Case { heads: 4, group: 2, rows: 33, positions: 129, value_depth: 72, mask: MaskKind::Added, ..base },
        Case { rows: 9, positions: 40, value_depth: 20, mask: MaskKind::Kept, v_transposed: true, ..base },
        Case { dynamic: true, causal: true, ..base },
        Case { dynamic: true, heads: 4, group: 4, mask: MaskKind::Kept, interleaved: true, ..base },
    ];
    for target in targets() {
        let names: Vec<String> = (0..cases.len()).map(|c| format!("attention{c}")).collect();
        let functions: Vec<Func<'_>> =
            cases.iter().zip(&names).map(|(case, name)| kernel(&target, *case, name)).collect();
        let public: Vec<&str> = names.iter().map(String::as_str).collect();
        let loaded = load(functions, &target, &public);
        for (case, name) in cases.iter().zip(&names) {
            let address = loaded.symbol(name).expect("the kernel is public");
            check(&target, *case, address);
            if case.dynamic {
                for (rows, positions) in [(1, 1), (5, 3), (16, 128), (40, 257), (1, 300)] {
                    check(&target, Case { rows, positions, ..*case }, address);
                }
            }
        }
    }
}
