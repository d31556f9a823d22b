//! Attention is found in all the ways in which models write it, and only there.

use crate::build::*;
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, ValueId};

const F: DType = DType::F32;

/// Attention written out; what varies is passed in.
struct Attention {
    batch: Vec<i64>,
    scale: Option<f64>,
    on_queries: bool,
    divide: bool,
    mask: Option<&'static str>,
    flat: bool,
}

impl Attention {
    fn build(&self) -> P {
        let mut p = P::new();
        let (l, s, e, ev) = (4, 5, 8, 6);
        let shape = |m: i64, n: i64| [&self.batch[..], &[m, n]].concat();
        let (mut q, k, v) = (p.input(F, &shape(l, e)), p.input(F, &shape(s, e)), p.input(F, &shape(s, ev)));
        let rank = self.batch.len() as i64 + 2;
        let mut order: Vec<i64> = (0..rank).collect();
        order.swap(rank as usize - 1, rank as usize - 2);
        let k = p.permute(k, &order);
        let scaled = |p: &mut P, x: ValueId| match self.scale {
            Some(c) if self.divide => {
                let c = p.number(1.0 / c);
                p.binary("div", x, c)
            }
            Some(c) => {
                let c = p.number(c);
                p.binary("mul", x, c)
            }
            None => x,
        };
        if self.on_queries {
            q = scaled(&mut p, q);
        }
        let n: i64 = self.batch.iter().product();
        let product = |p: &mut P, a: ValueId, b: ValueId| {
            if !self.flat {
                return p.binary("matmul", a, b);
            }
            let (sa, sb) = (p.shape(a), p.shape(b));
            let r = sa.len();
            let (x, y) = (p.reshape(a, &[n, sa[r - 2], sa[r - 1]]), p.reshape(b, &[n, sb[r - 2], sb[r - 1]]));
            let z = p.binary("matmul", x, y);
            let mut shape = sa.clone();
            shape[r - 1] = sb[r - 1];
            p.reshape(z, &shape)
        };
        let mut y = product(&mut p, q, k);
        if !self.on_queries {
            y = scaled(&mut p, y);
        }
        match self.mask {
            Some("add") => {
                let m = p.input(F, &[l, s]);
                y = p.binary("add", y, m);
            }
            Some("tril") => {
                // As PyTorch decomposes is_causal: tril(ones), where(mask, 0, -inf), safe softmax.
                let (low, zero) = (p.number(f64::NEG_INFINITY), p.number(0.0));
                let i64 = Arg::DType(DType::I64);
                let (rows, columns) = (
                    p.call("prim.iota", vec![Arg::Int(Dim::int(l)), i64.clone()]),
                    p.call("prim.iota", vec![Arg::Int(Dim::int(s)), i64.clone()]),
                );
                let rows = p.reshape(rows, &[l, 1]);
                let d = p.binary("sub", columns, rows);
                let none = p.call("prim.constant", vec![Arg::Int(Dim::ZERO), i64]);
                let m = p.binary("le", d, none);
                let all = p.call("prim.constant", vec![Arg::Bool(true), Arg::DType(DType::Bool)]);
                let all = p.expand(all, &[l, s]);
                let m = p.binary("and", m, all);
                let m = p.call("prim.where", vec![t(m), t(zero), t(low)]);
                y = p.binary("add", y, m);
                let hidden = p.binary("eq", y, low);
                let seen = p.unary("not", hidden);
                let seen = p.row(seen, "any");
                let nothing = p.unary("not", seen);
                let w = p.softmax(y);
                y = p.call("prim.where", vec![t(nothing), t(zero), t(w)]);
            }
            Some("keep") | Some("drop") => {
                let low = p.number(f64::NEG_INFINITY);
                let iota = |p: &mut P, n: i64| p.call("prim.iota", vec![Arg::Int(Dim::int(n)), Arg::DType(DType::I64)]);
                let (rows, columns) = (iota(&mut p, l), iota(&mut p, s));
                let rows = p.reshape(rows, &[l, 1]);
                let m = p.binary("le", columns, rows);
                let operands = if self.mask == Some("keep") {
                    vec![t(m), t(y), t(low)]
                } else {
                    let m = p.binary("gt", columns, rows);
                    vec![t(m), t(low), t(y)]
                };
                y = p.call("prim.where", operands);
            }
            _ => {}
        }
        if self.mask != Some("tril") {
            y = p.softmax(y);
        }
        let y = product(&mut p, y, v);
        p.out(y);
        p
    }
}

#[test]
fn attention_found() {
    let plain = || Attention {
        batch: vec![2, 3],
        scale: Some(0.35),
        on_queries: false,
        divide: false,
        mask: None,
        flat: false,
    };
    let cases = [
        plain(),
        Attention { scale: None, ..plain() },
        Attention { divide: true, ..plain() },
        Attention { on_queries: true, ..plain() },
        Attention { mask: Some("add"), ..plain() },
        Attention { mask: Some("keep"), ..plain() },
        Attention { mask: Some("drop"), ..plain() },
        Attention { mask: Some("tril"), ..plain() },
        Attention { batch: vec![3], ..plain() },
        Attention { flat: true, ..plain() },
        Attention { flat: true, mask: Some("add"), divide: true, ..plain() },
    ];
    for (i, case) in cases.iter().enumerate() {
        let rewritten = fires(&case.build(), "attention_found");
        assert_eq!(count(&rewritten, "attention"), 1, "{i}: {:?}", ops(&rewritten));
        assert_eq!(count(&rewritten, "matmul") + count(&rewritten, "exp"), 0, "{i}: {:?}", ops(&rewritten));
        if case.on_queries {
            assert_eq!(count(&rewritten, "mul"), 0);
        }
        if matches!(case.mask, Some("keep" | "tril")) {
            assert_eq!(ops(&rewritten), ["attention"], "a causal mask is none");
        }
    }
    // Matrices alone.
    let rewritten = fires(&Attention { batch: vec![], ..plain() }.build(), "attention_found");
    assert_eq!(count(&rewritten, "attention"), 1);
}

#[test]
fn no_attention_where_there_is_none() {
    // Softmax along the rows instead of the columns.
    let mut p = P::new();
    let (q, k, v) = (p.input(F, &[2, 4, 4]), p.input(F, &[2, 4, 4]), p.input(F, &[2, 4, 4]));
    let s = p.binary("matmul", q, k);
    let top = p.reduce(s, &[1], "max");
    let top = p.reshape(top, &[2, 1, 4]);
    let s = p.binary("sub", s, top);
    let e = p.unary("exp", s);
    let sum = p.reduce(e, &[1], "sum");
    let sum = p.reshape(sum, &[2, 1, 4]);
    let w = p.binary("div", e, sum);
    let y = p.binary("matmul", w, v);
    p.out(y);
    assert_eq!(count(&check(&p.program).0, "attention"), 0);
}

#[test]
fn attention_mask() {
    let mut p = P::new();
    let (q, k, v) = (p.input(F, &[2, 4, 8]), p.input(F, &[2, 5, 8]), p.input(F, &[2, 5, 8]));
    let (m, zero, low) = (p.input(DType::Bool, &[4, 5]), p.number(0.0), p.number(f64::NEG_INFINITY));
    let hidden = p.call("prim.where", vec![t(m), t(low), t(zero)]);
    let args = vec![t(q), t(k), t(v), t(hidden), Arg::Float(0.35), Arg::Bool(false)];
    let y = p.call("prim.attention", args);
    p.out(y);
    assert_eq!(ops(&fires(&p, "attention_mask")), ["not", "attention"]);
}

#[test]
fn attention_shares_heads() {
    let mut p = P::new();
    let (q, k, v) = (p.input(F, &[2, 6, 4, 8]), p.input(F, &[2, 3, 5, 8]), p.input(F, &[2, 3, 5, 8]));
    let repeated = |p: &mut P, x: ValueId| {
        let x = p.reshape(x, &[2, 3, 1, 5, 8]);
        let x = p.expand(x, &[2, 3, 2, 5, 8]);
        p.reshape(x, &[2, 6, 5, 8])
    };
    let (k, v) = (repeated(&mut p, k), repeated(&mut p, v));
    let args = vec![t(q), t(k), t(v), Arg::None, Arg::Float(0.35), Arg::Bool(false)];
    let y = p.call("prim.attention", args);
    p.out(y);
    assert_eq!(ops(&fires(&p, "attention_shared_heads")), ["attention"]);
}
