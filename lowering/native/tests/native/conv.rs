//! Convolutions against an f64 reference, between guard pages, on every instruction set.

use crate::memory::{Guarded, noise};
use crate::support::{load, splitting_target, targets};
use pt2c_native::Target;
use pt2c_native::builder::{Elem, Func, Type, Val};
use pt2c_native::contraction::{Axis, Convolution, Depthwise, Image, Out, Size, Weight, pack, tile};

#[derive(Clone, Debug)]
struct Case {
    batch: usize,
    groups: usize,
    /// Channels of one group.
    cin: usize,
    cout: usize,
    input: Vec<usize>,
    window: Vec<usize>,
    stride: usize,
    dilation: usize,
    pad: usize,
    /// Channels last, else channels first.
    last: bool,
    weight: Kind,
    /// Batch and spatial sizes as run-time values.
    dynamic: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Packed,
    Dense,
    Depthwise,
}

impl Case {
    fn output(&self) -> Vec<usize> {
        let reach = |w: usize| (w - 1) * self.dilation + 1;
        self.input
            .iter()
            .zip(&self.window)
            .map(|(i, w)| (i + 2 * self.pad + self.stride).saturating_sub(reach(*w)) / self.stride)
            .collect()
    }
}

/// Parameters: x, w, out, begin, end, batch, input sizes (3), output sizes (3). Output: channels last, dense.
fn kernel<'t>(target: &'t Target, case: &Case, name: &str) -> (Func<'t>, tile::Tile, (i64, i64)) {
    let mut f = Func::new(target, name).public();
    let buffer = Type::buffer(Elem::F32);
    let (x, w, out) = (f.param(buffer), f.param(buffer), f.param(buffer));
    let (begin, end, batch) = (f.param(Type::INDEX), f.param(Type::INDEX), f.param(Type::INDEX));
    let sizes: Vec<Val> = (0..6).map(|_| f.param(Type::INDEX)).collect();
    let size = |v: Val, s: usize| if case.dynamic { Size::Dynamic(v) } else { Size::Static(s as i64) };
    let rank = case.input.len();
    let input: Vec<Size> = (0..rank).map(|i| size(sizes[i], case.input[i])).collect();
    let output: Vec<Size> = (0..rank).map(|i| size(sizes[3 + i], case.output()[i])).collect();
    let batch = size(batch, case.batch);
    let channels = (case.groups * case.cin) as i64;
    let mut step = if case.last { Size::Static(channels) } else { Size::ONE };
    let mut steps = vec![Size::ONE; rank];
    for i in (0..rank).rev() {
        steps[i] = step;
        step = step.mul(&mut f, input[i]);
    }
    let (channel, image) = if case.last { (Size::ONE, step) } else { (step, step.times(&mut f, channels)) };
    let axes: Vec<Axis> = (0..rank)
        .map(|i| Axis {
            output: output[i],
            input: input[i],
            window: case.window[i] as i64,
            stride: case.stride as i64,
            dilation: case.dilation as i64,
            pad: Size::Static(case.pad as i64),
            step: steps[i],
        })
        .collect();
    let total = (case.groups * case.cout) as i64;
    let mut store = |b: &mut Func<'_>, o: &Out| {
        let mut at = o.batch[0];
        for (i, extent) in output.iter().enumerate() {
            at = at.mul(b, *extent).add(b, o.batch[1 + i]);
        }
        let at = at.times(b, total).add(b, o.col).val(b);
        match o.mask {
            Some(mask) => b.masked_store(o.value, out, at, mask),
            None => b.vstore(o.value, out, at),
        }
        Ok(())
    };
    let image = Image { buffer: x, base: Size::ZERO, batch: image, channel };
    let pixels = axes[Convolution::tiled_axis(&axes)].output;
    let (tile, tasks) = if case.weight == Kind::Depthwise {
        let tile = Depthwise::choose_tile(target, Elem::F32, pixels);
        let conv = Depthwise { batch, channels, axes, x: image, weight: w, accumulator: Elem::F32, signed: true, tile };
        conv.emit(&mut f, begin, end, &mut store).expect("emits");
        (tile, (conv.task_rows(), 1))
    } else {
        let tile = Convolution::choose_tile(target, Elem::F32, pixels, case.cout as i64);
        let weight =
            if case.weight == Kind::Packed { Weight::Packed { buffer: w } } else { Weight::Dense { buffer: w } };
        let conv = Convolution {
            batch,
            groups: case.groups as i64,
            in_per_group: case.cin as i64,
            out_per_group: case.cout as i64,
            axes,
            x: image,
            weight,
            accumulator: Elem::F32,
            signed: true,
            tile,
            long_epilogue: case.cout % 2 == 1,
        };
        conv.emit(&mut f, begin, end, &mut store).expect("emits");
        (tile, (conv.task_rows(), conv.column_tasks()))
    };
    f.ret(&[]);
    (f, tile, tasks)
}

type Run =
    extern "C" fn(*const f32, *const f32, *mut f32, usize, usize, usize, usize, usize, usize, usize, usize, usize);

/// Every multi-index below `extents`.
fn indices(extents: &[usize]) -> Vec<Vec<usize>> {
    extents.iter().fold(vec![vec![]], |all, extent| {
        all.into_iter().flat_map(|i| (0..*extent).map(move |e| [i.clone(), vec![e]].concat())).collect()
    })
}

fn flat(index: &[usize], extents: &[usize]) -> usize {
    index.iter().zip(extents).fold(0, |at, (i, e)| at * e + i)
}

fn check(target: &Target, case: &Case, kernel: *const (), tile: tile::Tile, tasks: (i64, i64)) {
    let (channels, total) = (case.groups * case.cin, case.groups * case.cout);
    let pixels: usize = case.input.iter().product();
    let taps: usize = case.window.iter().product();
    let output = case.output();
    let x = noise(case.batch * channels * pixels, 1);
    let w = noise(total * case.cin * taps, 2);
    // `x` is channels first here.
    let stored: Vec<f32> = if case.last {
        (0..x.len())
            .map(|e| {
                let (z, p, c) = (e / (pixels * channels), e / channels % pixels, e % channels);
                x[(z * channels + c) * pixels + p]
            })
            .collect()
    } else {
        x.clone()
    };
    let bytes: Vec<u8> = w.iter().flat_map(|v| v.to_le_bytes()).collect();
    let packed = match case.weight {
        Kind::Packed => {
            let (panel, lanes) = (tile.columns() as usize, tile.lanes as usize);
            pack::convolution(&bytes, 4, case.groups, case.cout, case.cin, taps, panel, lanes)
        }
        Kind::Dense => Some(bytes),
        Kind::Depthwise => pack::depthwise(&bytes, 4, channels, taps),
    };
    let packed: Vec<f32> =
        packed.expect("length").chunks(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    // Rows: everything but the tiled dimension, the last one with more than one output.
    let tiled =
        if case.dynamic { output.len() - 1 } else { output.iter().rposition(|o| *o != 1).unwrap_or(output.len() - 1) };
    let rows = case.batch * output.iter().enumerate().filter(|(i, _)| *i != tiled).map(|(_, o)| o).product::<usize>();
    let tasks = rows.div_ceil(tasks.0 as usize) * tasks.1 as usize;
    let spatial: usize = output.iter().product();
    // SAFETY: `kernel` wrote the function with exactly these parameters.
    let run = unsafe { std::mem::transmute::<*const (), Run>(kernel) };
    let at = |v: &[usize], i: usize| v.get(i).copied().unwrap_or(1);
    for front in [false, true] {
        let (gx, gw) = (Guarded::new(&stored, front), Guarded::new(&packed, front));
        let go = Guarded::new(&vec![f32::NAN; case.batch * spatial * total], front);
        let cut = tasks / 2;
        for (lo, hi) in [(0, cut), (cut, tasks)] {
            let (i, o) = (&case.input, &output);
            run(
                gx.ptr(),
                gw.ptr(),
                go.ptr(),
                lo,
                hi,
                case.batch,
                at(i, 0),
                at(i, 1),
                at(i, 2),
                at(o, 0),
                at(o, 1),
                at(o, 2),
            );
        }
        for z in 0..case.batch {
            for o in indices(&output) {
                for k in 0..total {
                    let g = k / case.cout;
                    let mut sum = 0.0;
                    for t in indices(&case.window) {
                        let place: Option<Vec<usize>> = (0..o.len())
                            .map(|d| {
                                (o[d] * case.stride + t[d] * case.dilation)
                                    .checked_sub(case.pad)
                                    .filter(|i| *i < case.input[d])
                            })
                            .collect();
                        let Some(place) = place else { continue };
                        for c in 0..case.cin {
                            let xv = x[(z * channels + g * case.cin + c) * pixels + flat(&place, &case.input)];
                            sum += f64::from(xv) * f64::from(w[(k * case.cin + c) * taps + flat(&t, &case.window)]);
                        }
                    }
                    let got = f64::from(go.values()[(z * spatial + flat(&o, &output)) * total + k]);
                    let bound = 2e-6 * ((case.cin * taps) as f64).sqrt().max(1.0);
                    assert!(
                        (got - sum).abs() <= bound,
                        "{:?} {case:?} image {z} at {o:?} channel {k}: {got}, expected {sum}",
                        target.isa
                    );
                }
            }
        }
    }
}

/// Batches and input sizes.
type Sizes = Vec<(usize, Vec<usize>)>;

#[test]
fn convolutions_of_odd_shapes() {
    let base = Case {
        batch: 2,
        groups: 1,
        cin: 5,
        cout: 20,
        input: vec![9, 11],
        window: vec![3, 3],
        stride: 1,
        dilation: 1,
        pad: 1,
        last: true,
        weight: Kind::Packed,
        dynamic: false,
    };
    let c = |change: &dyn Fn(&mut Case)| {
        let mut case = base.clone();
        change(&mut case);
        case
    };
    // Kernels and the input sizes each is run with beside its own.
    let mut kernels: Vec<(Case, Sizes)> = vec![
        (c(&|_| {}), vec![]),
        (c(&|c| (c.cin, c.cout, c.last, c.stride) = (3, 33, false, 2)), vec![]),
        (c(&|c| (c.cin, c.cout, c.window, c.pad) = (16, 70, vec![1, 1], 0)), vec![]),
        (c(&|c| (c.groups, c.cin, c.cout, c.dilation, c.pad) = (3, 4, 6, 2, 2)), vec![]),
        (c(&|c| (c.cin, c.input, c.window, c.pad) = (1, vec![100], vec![31], 15)), vec![]),
        (c(&|c| (c.cin, c.input, c.window, c.pad, c.stride) = (4, vec![70, 1], vec![16, 1], 0, 4)), vec![]),
        (c(&|c| (c.batch, c.input, c.window) = (1, vec![3, 5, 4], vec![3, 2, 3])), vec![]),
        (c(&|c| (c.input, c.window, c.pad) = (vec![2, 2], vec![5, 5], 3)), vec![]),
        (c(&|c| (c.weight, c.cin, c.cout) = (Kind::Dense, 3, 19)), vec![]),
        (c(&|c| (c.weight, c.groups, c.cin, c.cout) = (Kind::Depthwise, 37, 1, 1)), vec![]),
        (
            c(&|c| {
                (c.weight, c.groups, c.cin, c.cout, c.stride, c.window) = (Kind::Depthwise, 16, 1, 1, 2, vec![5, 5])
            }),
            vec![],
        ),
        (c(&|c| c.dynamic = true), vec![(1, vec![1, 1]), (1, vec![4, 2]), (3, vec![7, 30]), (1, vec![16, 5])]),
        (
            c(&|c| (c.dynamic, c.stride, c.last, c.cin, c.pad) = (true, 2, false, 3, 2)),
            vec![(1, vec![1, 1]), (2, vec![6, 2]), (1, vec![7, 40])],
        ),
        (
            c(&|c| (c.dynamic, c.weight, c.groups, c.cin, c.cout) = (true, Kind::Depthwise, 21, 1, 1)),
            vec![(1, vec![1, 1]), (2, vec![6, 2]), (1, vec![7, 40])],
        ),
    ];
    for (case, sizes) in &mut kernels {
        sizes.push((case.batch, case.input.clone()));
    }
    for target in targets().into_iter().chain(splitting_target()) {
        let mut functions = Vec::new();
        let mut plans = Vec::new();
        let names: Vec<String> = (0..kernels.len()).map(|c| format!("conv{c}")).collect();
        for ((case, _), name) in kernels.iter().zip(&names) {
            let (f, tile, tasks) = kernel(&target, case, name);
            functions.push(f);
            plans.push((tile, tasks));
        }
        let public: Vec<&str> = names.iter().map(String::as_str).collect();
        let loaded = load(functions, &target, &public);
        for (((case, sizes), name), (tile, tasks)) in kernels.iter().zip(&names).zip(plans) {
            for (batch, input) in sizes {
                let address = loaded.symbol(name).expect("the kernel is public");
                check(&target, &Case { batch: *batch, input: input.clone(), ..case.clone() }, address, tile, tasks);
            }
        }
    }
}
