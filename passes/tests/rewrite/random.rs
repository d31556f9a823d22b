//! Random graphs of primitives keep their values.

use crate::build::*;
use pt2c_ir::{DType, ValueId};

const F: DType = DType::F32;

/// A program of `size` calls over a few inputs and weights, with numbers that rules look for.
fn graph(seed: u64, size: usize) -> P {
    let mut random = Random(seed);
    let mut p = P::new();
    let mut values: Vec<ValueId> = vec![p.input(F, &[4, 4]), p.input(F, &[4, 4]), p.input(F, &[1, 4])];
    values.extend([p.weight(&[4, 4]), p.weight(&[4]), p.weight(&[4, 1])]);
    for n in [0.0, 1.0, -1.0, 2.0, 0.5] {
        values.push(p.number(n));
    }
    for _ in 0..size {
        let pick = |random: &mut Random, values: &[ValueId]| {
            // Mostly what was made last, so that calls are nested.
            let back = random.below(values.len()).min(random.below(values.len()));
            values[values.len() - 1 - back]
        };
        let (x, y) = (pick(&mut random, &values), pick(&mut random, &values));
        let shape = p.shape(x);
        let new = match random.below(12) {
            0 => p.binary("add", x, y),
            1 => p.binary("mul", x, y),
            2 => p.binary("sub", x, y),
            3 => p.unary("neg", x),
            4 => p.unary("tanh", x),
            5 => p.unary("abs", x),
            6 if shape.len() == 2 => p.permute(x, &[1, 0]),
            7 if shape == [4, 4] => p.reshape(x, &[2, 8]),
            8 if shape.len() == 2 && !shape.contains(&1) && shape != [8, 8] => {
                let back = p.shape(x).iter().product::<i64>();
                if back == 16 { p.reshape(x, &[4, 4]) } else { p.unary("neg", x) }
            }
            9 if shape.len() == 2 => {
                let last = p.row(x, if random.below(2) == 0 { "max" } else { "sum" });
                p.expand(last, &shape)
            }
            10 if shape == [4, 4] && p.shape(y) == [4, 4] => {
                let z = p.binary("matmul", x, y);
                p.unary("tanh", z)
            }
            11 => {
                let z = p.cast(x, DType::F64);
                p.cast(z, F)
            }
            _ => p.unary("tanh", x),
        };
        // Shapes that other calls do not take are used once.
        if p.shape(new).len() <= 2 && p.shape(new).iter().all(|n| matches!(n, 1 | 4)) {
            values.push(new);
        } else {
            let n: i64 = p.shape(new).iter().product();
            if n == 16 {
                let back = p.reshape(new, &[4, 4]);
                values.push(back);
            }
        }
    }
    for i in 1..=3 {
        let v = values[values.len() - i];
        let v = p.unary("tanh", v);
        p.out(v);
    }
    p
}

#[test]
fn random_graphs_keep_their_values() {
    for seed in 0..150 {
        let p = graph(seed, 5 + (seed as usize % 30));
        check(&p.program);
    }
}
