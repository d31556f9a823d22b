//! Convolutions and their transposes, and the gathering of their windows (`im2col`, `col2im`).

use crate::host::{self, rounded, widened};
use crate::{Call, OpDef, OpError, Scalar, Tensor, shape, unravel};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    rounded!("_convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, bool benchmark, bool deterministic, bool cudnn_enabled, bool allow_tf32) -> Tensor", infer, eval),
    rounded!("conv1d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=[1], SymInt[1] padding=[0], SymInt[1] dilation=[1], SymInt groups=1) -> Tensor", infer, eval),
    rounded!("conv1d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=[1], str padding=\"valid\", SymInt[1] dilation=[1], SymInt groups=1) -> Tensor", infer, eval),
    rounded!("conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor", infer, eval),
    rounded!("conv2d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], str padding=\"valid\", SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor", infer, eval),
    rounded!("conv3d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], SymInt[3] padding=[0, 0, 0], SymInt[3] dilation=[1, 1, 1], SymInt groups=1) -> Tensor", infer, eval),
    rounded!("conv3d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], str padding=\"valid\", SymInt[3] dilation=[1, 1, 1], SymInt groups=1) -> Tensor", infer, eval),
    rounded!("conv_transpose1d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=[1], SymInt[1] padding=[0], SymInt[1] output_padding=[0], SymInt groups=1, SymInt[1] dilation=[1]) -> Tensor", infer, eval),
    rounded!("conv_transpose2d.input(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], SymInt[2] output_padding=[0, 0], SymInt groups=1, SymInt[2] dilation=[1, 1]) -> Tensor", infer, eval),
    rounded!("conv_transpose3d.input(Tensor input, Tensor weight, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], SymInt[3] padding=[0, 0, 0], SymInt[3] output_padding=[0, 0, 0], SymInt groups=1, SymInt[3] dilation=[1, 1, 1]) -> Tensor", infer, eval),
    rounded!("convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups) -> Tensor", infer, eval),
    rounded!("col2im(Tensor self, SymInt[2] output_size, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride) -> Tensor", col2im_fact, col2im),
    rounded!("im2col(Tensor self, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride) -> Tensor", im2col_fact, im2col),
];

/// What a convolution call asks for, in one form for all overloads: one value per spatial dimension.
#[derive(Clone, PartialEq, Debug)]
pub struct Convolution {
    /// Step of the windows.
    pub stride: Vec<Dim>,
    /// Zeros before.
    pub pad_low: Vec<Dim>,
    /// Zeros behind.
    pub pad_high: Vec<Dim>,
    /// Distance of the taps.
    pub dilation: Vec<Dim>,
    /// Whether this is the transpose.
    pub transposed: bool,
    /// Added to the size of a transpose's output.
    pub output_padding: Vec<Dim>,
    /// Groups of channels that do not see each other.
    pub groups: Dim,
    /// Whether the input has a batch dimension.
    pub batched: bool,
}

impl Convolution {
    /// Reads the arguments of any overload; `x` and `w` are the operands' facts.
    pub fn new<T>(c: &Call<'_, T>, x: &Fact, w: &Fact) -> Result<Convolution, OpError> {
        let spatial = w.rank().checked_sub(2).filter(|&n| n > 0);
        let spatial = spatial.ok_or_else(|| OpError::Invalid(format!("{w} is no weight of a convolution")))?;
        let batched = match x.rank() {
            r if r == spatial + 2 => true,
            r if r == spatial + 1 => false,
            _ => return Err(OpError::Invalid(format!("a convolution with weight {w} cannot take {x}"))),
        };
        let has = |name: &str| c.op.schema.position(name).is_some();
        let list = |name: &str| shape::spread(&c.dims(name)?, spatial, name);
        let (stride, dilation) = (list("stride")?, list("dilation")?);
        let transposed = c.op.schema.name.starts_with("conv_transpose") || has("transposed") && c.bool("transposed")?;
        let (pad_low, pad_high) = match c.arg("padding")? {
            Arg::Str(mode) if mode == "valid" => (vec![Dim::int(0); spatial], vec![Dim::int(0); spatial]),
            Arg::Str(mode) if mode == "same" => {
                let total = |d: usize| &dilation[d] * &(&w.shape[d + 2] - &Dim::int(1));
                let low: Vec<Dim> = (0..spatial).map(|d| total(d).floor_div(&Dim::int(2))).collect();
                let high = (0..spatial).map(|d| &total(d) - &low[d]).collect();
                (low, high)
            }
            _ => (list("padding")?, list("padding")?),
        };
        let output_padding = if transposed { list("output_padding")? } else { vec![Dim::int(0); spatial] };
        let groups = c.dim("groups")?;
        Ok(Convolution { stride, pad_low, pad_high, dilation, transposed, output_padding, groups, batched })
    }
}

fn infer(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let (x, w) = (c.tensor("input")?, c.tensor("weight")?);
    let conv = Convolution::new(c, x, w)?;
    let lead = usize::from(conv.batched);
    let channels = &x.shape[lead];
    let own = if conv.transposed { w.shape[0].clone() } else { &w.shape[1] * &conv.groups };
    if x.dtype != w.dtype || channels.as_int().zip(own.as_int()).is_some_and(|(a, b)| a != b) {
        return Err(OpError::Invalid(format!(
            "a convolution with weight {w} in {} groups cannot take {x}",
            conv.groups
        )));
    }
    let mut shape: Vec<Dim> = x.shape[..lead].to_vec();
    shape.push(if conv.transposed { &w.shape[1] * &conv.groups } else { w.shape[0].clone() });
    let one = Dim::int(1);
    for d in 0..conv.stride.len() {
        let (size, taps, stride) = (&x.shape[lead + 1 + d], &w.shape[d + 2], &conv.stride[d]);
        let reach = &conv.dilation[d] * &(taps - &one);
        let pad = &conv.pad_low[d] + &conv.pad_high[d];
        let out = if conv.transposed {
            &(&(&(&(size - &one) * stride) - &pad) + &reach) + &(&conv.output_padding[d] + &one)
        } else {
            // PyTorch: (size + 2·padding - dilation·(kernel - 1) - 1) // stride + 1.
            &(&(&(size + &pad) - &reach) - &one).floor_div(stride) + &one
        };
        if out.as_int().is_some_and(|n| n < 0) {
            return Err(OpError::Invalid(format!("a window of {taps} does not fit a size of {size}")));
        }
        shape.push(out);
    }
    Ok(vec![Fact::new(x.dtype, shape)])
}

fn eval(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    let (x, w) = (c.tensor("input")?, c.tensor("weight")?);
    let conv = Convolution::new(c, &x.fact(), &w.fact())?;
    let batch = |x: Tensor| if conv.batched { Ok(x) } else { x.reshape(&[&[1], x.shape()].concat()) };
    let mut args = vec![Arg::Tensor(batch(widened(x))?), Arg::Tensor(widened(w)), Arg::Ints(conv.stride.clone())];
    let op = if conv.transposed {
        args.extend([conv.pad_low, conv.output_padding, conv.dilation].map(Arg::Ints));
        "prim.conv_transpose"
    } else {
        args.extend([conv.pad_low, conv.pad_high, conv.dilation].map(Arg::Ints));
        "prim.conv"
    };
    args.push(Arg::Int(conv.groups));
    let mut out = host::call1(op, args)?;
    if let Some(bias) = c.opt_tensor("bias")? {
        let mut shape = vec![1; out.rank()];
        shape[1] = bias.numel();
        let bias = bias.reshape(&shape)?;
        out = match out.dtype().is_complex() {
            true => return Err(OpError::Unsupported("a complex convolution with a bias".into())),
            false => host::binary(&out, &bias, |x, b| x + b)?,
        };
    }
    if conv.batched { Ok(out) } else { out.reshape(&out.shape()[1..]) }
}

/// Kernel, dilation, padding and stride of `im2col` and `col2im`, for height and width.
pub fn window_args<T>(c: &Call<'_, T>) -> Result<[[i64; 2]; 4], OpError> {
    let pair = |name: &str| -> Result<[i64; 2], OpError> {
        let v = shape::spread(&c.ints(name)?, 2, name)?;
        Ok([v[0], v[1]])
    };
    Ok([pair("kernel_size")?, pair("dilation")?, pair("padding")?, pair("stride")?])
}

/// Number of windows along a dimension of this size.
pub fn window_count(size: &Dim, [kernel, dilation, padding, stride]: [i64; 4]) -> Dim {
    let room = size + &Dim::int(2 * padding - dilation * (kernel - 1) - 1);
    &room.floor_div(&Dim::int(stride)) + &Dim::int(1)
}

fn im2col_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let [k, d, p, s] = window_args(c)?;
    let [lead @ .., channels, h, w] = &x.shape[..] else {
        return Err(OpError::invalid("im2col takes an image"));
    };
    let windows = &window_count(h, [k[0], d[0], p[0], s[0]]) * &window_count(w, [k[1], d[1], p[1], s[1]]);
    let shape = [lead, &[channels * &Dim::int(k[0] * k[1]), windows]].concat();
    Ok(vec![Fact::new(x.dtype, shape)])
}

/// Calls `visit` with the row-major position in a `[channels·kernel, windows]` matrix and that in a
/// `[channels, height, width]` image, for every tap of every window that lies inside.
fn for_windows(
    c: &Call<'_, Tensor>,
    channels: usize,
    [height, width]: [usize; 2],
    mut visit: impl FnMut(usize, usize),
) -> Result<(), OpError> {
    let [k, d, p, s] = window_args(c)?;
    let count = |i: usize, n: usize| window_count(&Dim::int(n as i64), [k[i], d[i], p[i], s[i]]);
    let counts = shape::known(&[count(0, height), count(1, width)])?;
    let space = [channels, k[0] as usize, k[1] as usize, counts[0], counts[1]];
    let mut at = [0; 5];
    for i in 0..space.iter().product() {
        unravel(i, &space, &mut at);
        let y = at[3] as i64 * s[0] - p[0] + at[1] as i64 * d[0];
        let x = at[4] as i64 * s[1] - p[1] + at[2] as i64 * d[1];
        if (0..height as i64).contains(&y) && (0..width as i64).contains(&x) {
            visit(i, (at[0] * height + y as usize) * width + x as usize);
        }
    }
    Ok(())
}

fn im2col(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    let x = c.tensor("self")?;
    let (dtype, shape) = host::result_of(c)?;
    let &[.., channels, h, w] = x.shape() else { return Err(OpError::invalid("im2col takes an image")) };
    let (size, plane) = (channels * h * w, shape.iter().rev().take(2).product::<usize>());
    let mut from: Vec<Option<usize>> = vec![None; shape.iter().product()];
    for n in 0..x.numel() / size.max(1) {
        for_windows(c, channels, [h, w], |column, image| from[n * plane + column] = Some(n * size + image))?;
    }
    Ok(Tensor::from_fn(dtype, &shape, |i| from[i].map_or(Scalar::Int(0), |j| x.get(j))))
}

fn col2im_fact(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let [k, ..] = window_args(c)?;
    let [lead @ .., rows, _] = &x.shape[..] else { return Err(OpError::invalid("col2im takes columns")) };
    let channels = rows.floor_div(&Dim::int(k[0] * k[1]));
    let size = shape::spread(&c.dims("output_size")?, 2, "output_size")?;
    Ok(vec![Fact::new(x.dtype, [lead, &[channels], &size].concat())])
}

fn col2im(c: &Call<'_, Tensor>) -> Result<Tensor, OpError> {
    let x = c.tensor("self")?;
    let (_, shape) = host::result_of(c)?;
    let &[.., channels, h, w] = &shape[..] else { return Err(OpError::invalid("col2im makes an image")) };
    let (size, plane) = (channels * h * w, x.shape().iter().rev().take(2).product::<usize>());
    let mut out = vec![0.0; shape.iter().product()];
    for n in 0..out.len() / size.max(1) {
        for_windows(c, channels, [h, w], |column, image| out[n * size + image] += x.f64(n * plane + column))?;
    }
    Ok(Tensor::from_f64(DType::F64, &shape, &out))
}
