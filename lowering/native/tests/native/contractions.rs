//! Contraction kernels of kernel IR: operands behind views, packed constants, epilogues.

use crate::harness::{Data, Outcome, Runner, one_kernel};
use crate::support::{splitting_target, targets};
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{Bytes, DType};
use pt2c_kernel::{
    Access, Attention, BinaryOp, Body, BufferKind, Convolution, Epilogue, Expr, KernelProgram, Matmul, MatmulB, Param,
    Var, WeightType, quantize_weights,
};

fn param(dtype: DType, access: Access) -> Param {
    Param { name: "p".to_string(), dtype, access }
}

fn sym(name: &str) -> Dim {
    Dim::sym(name)
}

fn named(name: &str, extent: Dim) -> (Symbol, Dim) {
    (Symbol::new(name), extent)
}

fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// `max(acc + bias, 0)`.
fn bias_relu(param: usize, address: Dim) -> Expr {
    let bias = Expr::Load { param, address };
    let sum = Expr::Binary(BinaryOp::Add, Box::new(Expr::Var(Var(0))), Box::new(bias));
    Expr::Binary(BinaryOp::Max, Box::new(sum), Box::new(Expr::Float(0.0, DType::F32)))
}

fn set_constant(program: &mut KernelProgram, buffer: usize, data: &Data) {
    program.buffers[buffer].kind = BufferKind::Constant(Bytes::new(data.bytes.clone()));
}

fn close(got: &[f32], want: &[f64], size: f64, what: &str) {
    for (k, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*g) - w).abs() <= 1e-5 * size, "{what}: element {k} is {g}, not {w}");
    }
}

#[test]
fn a_linear_layer_with_a_packed_weight_and_any_number_of_rows() {
    // out[m, n] = relu(Σ_k a[m, k] · w[n, k] + bias[n]), w constant.
    for (n, k) in [(70i64, 33i64), (16, 64), (5, 7), (130, 50)] {
        let matmul = Matmul {
            batch: vec![],
            m: named("m", sym("s0")),
            n: named("n", Dim::int(n)),
            k: named("k", Dim::int(k)),
            a: (0, sym("m") * k + sym("k")),
            b: MatmulB::Constant { param: 1, address: sym("n") * k + sym("k") },
            accumulator: DType::F32,
            rounding: None,
            epilogue: Epilogue { lets: vec![], stores: vec![(3, sym("m") * n + sym("n"), bias_relu(2, sym("n")))] },
        };
        let read = param(DType::F32, Access::Read);
        let params = vec![read.clone(), read.clone(), read, param(DType::F32, Access::Write)];
        let mut scope = Scope::new();
        scope.declare("s0", Some(1), Some(1000));
        let mut program = one_kernel(params, Body::Matmul(matmul), scope);
        let (n, k) = (n as usize, k as usize);
        let (w, bias) = (noise(n * k, 2), noise(n, 3));
        set_constant(&mut program, 1, &Data::f32(&w));
        for target in targets() {
            let runner = Runner::new(&program, &["s0"], &target);
            for m in [1usize, 3, 20, 97] {
                let a = noise(m * k, 1);
                let mut buffers = [Data::f32(&a), Data::f32(&[]), Data::f32(&bias), Data::f32(&vec![9.0; m * n])];
                assert_eq!(runner.run(&mut buffers, &[m as i64]), Outcome::Done);
                let want: Vec<f64> = (0..m * n)
                    .map(|i| {
                        let (r, c) = (i / n, i % n);
                        let dot: f64 = (0..k).map(|j| f64::from(a[r * k + j]) * f64::from(w[c * k + j])).sum();
                        (dot + f64::from(bias[c])).max(0.0)
                    })
                    .collect();
                close(&buffers[3].as_f32(), &want, k as f64, &format!("{:?} {m}x{n}x{k}", target.isa));
            }
        }
    }
}

/// The nearest number with eight significant bits, ties to even.
fn eight_bits(x: f32) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let step = 2f64.powi(f64::from(x.abs()).log2().floor() as i32 - 7);
    (f64::from(x) / step).round_ties_even() * step
}

#[test]
fn a_linear_layer_with_weights_in_fewer_bits() {
    // The second one is contracted in several pieces, and narrow enough for half vectors; so is the last, of whole groups.
    for (n, k) in [(130i64, 150i64), (20, 1700), (130, 160), (20, 1600)] {
        let matmul = Matmul {
            batch: vec![],
            m: named("m", sym("s0")),
            n: named("n", Dim::int(n)),
            k: named("k", Dim::int(k)),
            a: (0, sym("m") * k + sym("k")),
            b: MatmulB::Constant { param: 1, address: sym("n") * k + sym("k") },
            accumulator: DType::F32,
            rounding: None,
            epilogue: Epilogue { lets: vec![], stores: vec![(3, sym("m") * n + sym("n"), bias_relu(2, sym("n")))] },
        };
        let read = param(DType::F32, Access::Read);
        let params = vec![read.clone(), read.clone(), read, param(DType::F32, Access::Write)];
        let mut scope = Scope::new();
        scope.declare("s0", Some(1), Some(1000));
        let mut plain = one_kernel(params, Body::Matmul(matmul), scope);
        let (n, k) = (n as usize, k as usize);
        let (w, bias) = (noise(n * k, 2), noise(n, 3));
        set_constant(&mut plain, 1, &Data::f32(&w));
        for to in [WeightType::Int4, WeightType::Int8, WeightType::Bf16, WeightType::Bf16Products] {
            let mut program = plain.clone();
            assert_eq!(quantize_weights(&mut program, to), 1);
            // What the weights are now, computed from the definition.
            let now: Vec<f64> = match to {
                WeightType::Int4 if k % 32 == 0 => w
                    .chunks(32)
                    .flat_map(|group| {
                        let most = group.iter().fold(0.0f32, |m, x| if x.abs() > m.abs() { *x } else { m });
                        let scale = most / -8.0;
                        group
                            .iter()
                            .map(move |x| f64::from((x / scale).round_ties_even().clamp(-8.0, 7.0)) * f64::from(scale))
                    })
                    .collect(),
                WeightType::Int4 | WeightType::Int8 => w
                    .chunks(k)
                    .flat_map(|column| {
                        let scale = column.iter().fold(0.0f32, |m, x| m.max(x.abs())) / 127.0;
                        column.iter().map(move |x| f64::from((x / scale).round_ties_even()) * f64::from(scale))
                    })
                    .collect(),
                WeightType::Bf16 | WeightType::Bf16Products => w.iter().map(|x| eight_bits(*x)).collect(),
            };
            for target in targets().into_iter().chain(splitting_target()) {
                let runner = Runner::new(&program, &["s0"], &target);
                let rounds = to == WeightType::Bf16Products && target.has_bf16_products();
                // Few rows are widened in registers, many in a copy.
                for m in [1usize, 3, 20, 97] {
                    let a = noise(m * k, 1);
                    let mut buffers = vec![
                        Data::f32(&a),
                        Data::f32(&[]),
                        Data::f32(&bias),
                        Data::f32(&vec![9.0; m * n]),
                        Data::f32(&[]),
                    ];
                    if let Some(BufferKind::Constant(scales)) = program.buffers.get(5).map(|b| &b.kind) {
                        buffers.push(Data { dtype: DType::F32, bytes: scales.to_vec() });
                    }
                    assert_eq!(runner.run(&mut buffers, &[m as i64]), Outcome::Done);
                    let read = |x: f32| if rounds { eight_bits(x) } else { f64::from(x) };
                    let want: Vec<f64> = (0..m * n)
                        .map(|i| {
                            let (r, c) = (i / n, i % n);
                            let dot: f64 = (0..k).map(|j| read(a[r * k + j]) * now[c * k + j]).sum();
                            (dot + f64::from(bias[c])).max(0.0)
                        })
                        .collect();
                    close(&buffers[3].as_f32(), &want, k as f64, &format!("{to:?} {} {m}x{n}x{k}", target.cpu));
                }
            }
        }
    }
}

#[test]
fn batched_products_of_transposed_views() {
    // out[b, m, n] = Σ_k a[b, m, k] · c[b, n, k] for b < s0, all of them 11.
    let (m, n, k) = (11i64, 19i64, 13i64);
    let matmul = Matmul {
        batch: vec![named("b", sym("s0"))],
        m: named("m", Dim::int(m)),
        n: named("n", Dim::int(n)),
        k: named("k", Dim::int(k)),
        a: (0, sym("b") * (m * k) + sym("m") * k + sym("k")),
        b: MatmulB::Strided { param: 1, address: sym("b") * (n * k) + sym("n") * k + sym("k") },
        accumulator: DType::F32,
        rounding: None,
        epilogue: Epilogue {
            lets: vec![],
            stores: vec![(2, sym("b") * (m * n) + sym("m") * n + sym("n"), Expr::Var(Var(0)))],
        },
    };
    let read = param(DType::F32, Access::Read);
    let params = vec![read.clone(), read, param(DType::F32, Access::Write)];
    let program = one_kernel(params, Body::Matmul(matmul), Scope::new());
    let (m, n, k, batch) = (m as usize, n as usize, k as usize, 3);
    for target in targets() {
        let runner = Runner::new(&program, &["s0"], &target);
        let (a, c) = (noise(batch * m * k, 1), noise(batch * n * k, 2));
        let mut buffers = [Data::f32(&a), Data::f32(&c), Data::f32(&vec![0.0; batch * m * n])];
        runner.run(&mut buffers, &[batch as i64]);
        let want: Vec<f64> = (0..batch * m * n)
            .map(|i| {
                let (z, r, col) = (i / (m * n), i / n % m, i % n);
                (0..k).map(|j| f64::from(a[(z * m + r) * k + j]) * f64::from(c[(z * n + col) * k + j])).sum()
            })
            .collect();
        close(&buffers[2].as_f32(), &want, k as f64, &format!("{:?}", target.isa));
    }
}

#[test]
fn convolutions_with_grouped_and_depthwise_weights() {
    // Channels-last input and output, 3×3, stride 2, padding 1, bias and relu; batch symbolic.
    let (h, w, oh, ow) = (9i64, 12i64, 5i64, 6i64);
    for (channels, out, groups) in [(6i64, 10i64, 1i64), (8, 12, 2), (20, 20, 20)] {
        let conv = Convolution {
            batch: named("i", sym("s0")),
            channel: named("o", Dim::int(out)),
            spatial: vec![named("y", Dim::int(oh)), named("x", Dim::int(ow))],
            input_spatial: vec![Dim::int(h), Dim::int(w)],
            input_channels: channels,
            groups,
            window: vec![3, 3],
            stride: vec![2, 2],
            dilation: vec![1, 1],
            pad_low: vec![Dim::ONE, Dim::ONE],
            x: (0, [h * w * channels, 1, w * channels, channels].map(Dim::int).to_vec()),
            x_offset: Dim::ZERO,
            w: 1,
            weight_is_constant: true,
            accumulator: DType::F32,
            epilogue: Epilogue {
                lets: vec![],
                stores: vec![(
                    3,
                    sym("i") * (oh * ow * out) + sym("y") * (ow * out) + sym("x") * out + sym("o"),
                    bias_relu(2, sym("o")),
                )],
            },
        };
        let read = param(DType::F32, Access::Read);
        let params = vec![read.clone(), read.clone(), read, param(DType::F32, Access::Write)];
        let mut program = one_kernel(params, Body::Convolution(conv), Scope::new());
        let n = |x: i64| x as usize;
        let (ci, co) = (n(channels / groups), n(out / groups));
        let (weight, bias) = (noise(n(out) * ci * 9, 2), noise(n(out), 3));
        set_constant(&mut program, 1, &Data::f32(&weight));
        let images = 2;
        let x = noise(images * n(h * w * channels), 1);
        let mut want = Vec::new();
        for image in 0..images {
            for (y, xx, o) in (0..oh).flat_map(|y| (0..ow).flat_map(move |x| (0..out).map(move |o| (y, x, o)))) {
                let mut sum = f64::from(bias[n(o)]);
                for (r, s, c) in (0..3).flat_map(|r| (0..3).flat_map(move |s| (0..ci).map(move |c| (r, s, c)))) {
                    let (iy, ix) = (y * 2 + r - 1, xx * 2 + s - 1);
                    if (0..h).contains(&iy) && (0..w).contains(&ix) {
                        let channel = n(o) / co * ci + c;
                        let at = ((image * n(h) + n(iy)) * n(w) + n(ix)) * n(channels) + channel;
                        let tap = (n(o) * ci + c) * 9 + n(r * 3 + s);
                        sum += f64::from(x[at]) * f64::from(weight[tap]);
                    }
                }
                want.push(sum.max(0.0));
            }
        }
        for target in targets() {
            let runner = Runner::new(&program, &["s0"], &target);
            let mut buffers = [Data::f32(&x), Data::f32(&[]), Data::f32(&bias), Data::f32(&vec![9.0; want.len()])];
            assert_eq!(runner.run(&mut buffers, &[images as i64]), Outcome::Done);
            close(&buffers[3].as_f32(), &want, 9.0 * ci as f64, &format!("{:?} {channels}/{groups}", target.isa));
        }
    }
}

#[test]
fn attention_with_grouped_heads_a_mask_and_any_length() {
    // 4 query heads share 2 key heads; the mask keeps positions whose entry is not 0; result plus a residual.
    let (heads, d) = (4i64, 10i64);
    let (rows, positions) = (sym("s0"), sym("s1"));
    let key_head = sym("h").floor_div(&Dim::int(2));
    let keep = Expr::Load { param: 3, address: sym("i") * &positions + sym("j") };
    let place = sym("h") * (&rows * d) + sym("i") * d + sym("e");
    let attention = Attention {
        batch: vec![named("h", Dim::int(heads))],
        row: named("i", rows.clone()),
        position: named("j", positions.clone()),
        depth: named("d", Dim::int(d)),
        value_depth: named("e", Dim::int(d)),
        q: (0, sym("h") * (&rows * d) + sym("i") * d + sym("d")),
        k: (1, &key_head * (&positions * d) + sym("j") * d + sym("d")),
        v: (2, &key_head * (&positions * d) + sym("j") * d + sym("e")),
        mask: Some(keep),
        causal: false,
        scale: 0.4,
        epilogue: Epilogue {
            lets: vec![],
            stores: vec![(
                4,
                place.clone(),
                Expr::Binary(
                    BinaryOp::Add,
                    Box::new(Expr::Var(Var(0))),
                    Box::new(Expr::Load { param: 0, address: place }),
                ),
            )],
        },
    };
    let read = param(DType::F32, Access::Read);
    let params =
        vec![read.clone(), read.clone(), read, param(DType::Bool, Access::Read), param(DType::F32, Access::Write)];
    let mut scope = Scope::new();
    scope.declare("s0", Some(1), Some(4096));
    scope.declare("s1", Some(1), Some(4096));
    let program = one_kernel(params, Body::Attention(attention), scope);
    for target in targets() {
        let runner = Runner::new(&program, &["s0", "s1"], &target);
        for (l, s) in [(1usize, 1usize), (7, 20), (33, 150)] {
            let (h, d) = (heads as usize, d as usize);
            let (q, k, v) = (noise(h * l * d, 1), noise(h / 2 * s * d, 2), noise(h / 2 * s * d, 3));
            let keep: Vec<u8> = (0..l * s).map(|i| u8::from(i % s == 0 || i * 7 % 5 < 3)).collect();
            let mut buffers = [
                Data::f32(&q),
                Data::f32(&k),
                Data::f32(&v),
                Data::u8(&keep).of(DType::Bool),
                Data::f32(&vec![0.0; h * l * d]),
            ];
            assert_eq!(runner.run(&mut buffers, &[l as i64, s as i64]), Outcome::Done);
            let mut want = Vec::new();
            for (head, i) in (0..h).flat_map(|z| (0..l).map(move |i| (z, i))) {
                let at = |m: &[f32], row: usize, e: usize| f64::from(m[(head / 2 * s + row) * d + e]);
                let query = |e: usize| f64::from(q[(head * l + i) * d + e]);
                let scores: Vec<f64> = (0..s)
                    .map(|j| {
                        let dot: f64 = (0..d).map(|e| query(e) * at(&k, j, e)).sum();
                        if keep[i * s + j] == 1 { 0.4 * dot } else { f64::NEG_INFINITY }
                    })
                    .collect();
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|x| (x - top).exp()).sum();
                for e in 0..d {
                    let mix: f64 = scores.iter().enumerate().map(|(j, x)| (x - top).exp() / sum * at(&v, j, e)).sum();
                    want.push(mix + query(e));
                }
            }
            close(&buffers[4].as_f32(), &want, 4.0, &format!("{:?} {l}x{s}", target.isa));
        }
    }
}
