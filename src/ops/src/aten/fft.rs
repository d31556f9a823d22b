//! Fourier transforms. All of them are one plan: dimensions, lengths, direction and scale, on complex values, from
//! real ones, or to real ones.

use super::view::of_self;
use crate::host::{self, Lines};
use crate::movement::{self, Chain, PlanFn};
use crate::{Call, OpDef, OpError, Scalar, Tensor, shape, wrap_dim};
use num_complex::Complex64;
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::new("_fft_c2c(Tensor self, SymInt[] dim, int normalization, bool forward) -> Tensor", infer, eval),
    OpDef::new("_fft_c2r(Tensor self, int[] dim, int normalization, SymInt last_dim_size) -> Tensor", infer, eval),
    OpDef::new("_fft_r2c(Tensor self, int[] dim, int normalization, bool onesided) -> Tensor", infer, eval),
    OpDef::new("fft_fft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_fft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_fftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_hfft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_hfft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_hfftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_ifft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_ifft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_ifftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_ihfft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_ihfft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_ihfftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_irfft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_irfft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_irfftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_rfft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_rfft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor", infer, eval),
    OpDef::new("fft_rfftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor", infer, eval),
    OpDef::new(SHIFT, |c| movement::infer(c, |c| shift(c, true)), |c| movement::eval(c, |c| shift(c, true))),
    OpDef::new(UNSHIFT, |c| movement::infer(c, |c| shift(c, false)), |c| movement::eval(c, |c| shift(c, false))),
];

const SHIFT: &str = "fft_fftshift(Tensor self, int[1]? dim=None) -> Tensor";
const UNSHIFT: &str = "fft_ifftshift(Tensor self, int[1]? dim=None) -> Tensor";

/// The operators of the family that only rearrange.
pub const PLANS: &[(&str, PlanFn)] = &[(SHIFT, |c| shift(c, true)), (UNSHIFT, |c| shift(c, false))];

/// What is transformed into what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Complex,
    /// The last transformed dimension has real values; its result may be one half of the symmetric whole.
    FromReal {
        half: bool,
    },
    /// The last transformed dimension is one half of a symmetric whole; its result is real.
    ToReal,
}

/// A Fourier transform.
#[derive(Clone, PartialEq, Debug)]
pub struct Transform {
    pub kind: Kind,
    /// Transformed dimensions; the one that changes between real and complex is the last.
    pub dims: Vec<usize>,
    /// Signal length of each.
    pub sizes: Vec<Dim>,
    /// With `e^(-i…)`; else `e^(+i…)`.
    pub forward: bool,
    /// The result is multiplied with the product of the lengths to this power: 0, -1/2 or -1.
    pub power: f64,
}

impl Transform {
    /// Reads the arguments of any transform of an input of this shape.
    pub fn new<T>(c: &Call<'_, T>, input: &[Dim]) -> Result<Transform, OpError> {
        let name = c.op.schema.name.as_str();
        let rank = input.len();
        let wrap = |dims: Vec<i64>| dims.into_iter().map(|d| wrap_dim(d, rank)).collect::<Result<Vec<_>, _>>();
        if name.starts_with('_') {
            let dims = wrap(c.ints("dim")?)?;
            let mut sizes: Vec<Dim> = dims.iter().map(|&d| input[d].clone()).collect();
            let (kind, forward) = match name {
                "_fft_r2c" => (Kind::FromReal { half: c.bool("onesided")? }, true),
                "_fft_c2r" => {
                    if let Some(last) = sizes.last_mut() {
                        *last = c.dim("last_dim_size")?;
                    }
                    (Kind::ToReal, false)
                }
                _ => (Kind::Complex, c.bool("forward")?),
            };
            let power = -0.5 * c.int("normalization")? as f64;
            return Ok(Transform { kind, dims, sizes, forward, power });
        }
        // fft, ifft, rfft, irfft, hfft, ihfft, with 2 or n behind for several dimensions.
        let base = name.trim_start_matches("fft_").trim_end_matches(['2', 'n']);
        let (kind, forward) = match base {
            "fft" => (Kind::Complex, true),
            "ifft" => (Kind::Complex, false),
            "rfft" => (Kind::FromReal { half: true }, true),
            "ihfft" => (Kind::FromReal { half: true }, false),
            "irfft" => (Kind::ToReal, false),
            "hfft" => (Kind::ToReal, true),
            _ => return Err(OpError::Invalid(format!("`{name}` is no Fourier transform"))),
        };
        let (dims, given) = if c.op.schema.position("n").is_some() {
            (wrap(vec![c.int("dim")?])?, c.opt_dim("n")?.map(|n| vec![n]))
        } else {
            let given = c.opt_dims("s")?;
            let dims = match c.opt_ints("dim")? {
                Some(dims) => wrap(dims)?,
                None => (rank.saturating_sub(given.as_ref().map_or(rank, Vec::len))..rank).collect(),
            };
            (dims, given)
        };
        if dims.is_empty() || dims.iter().any(|&d| d >= rank) || given.as_ref().is_some_and(|s| s.len() != dims.len()) {
            return Err(OpError::Invalid(format!("`{name}`: the dimensions to transform do not fit")));
        }
        let mut sizes = Vec::new();
        for (i, &d) in dims.iter().enumerate() {
            let asked = given.as_ref().and_then(|s| s.get(i)).filter(|n| n.as_int() != Some(-1));
            sizes.push(match asked {
                Some(n) => n.clone(),
                None if kind == Kind::ToReal && i + 1 == dims.len() => &(&input[d] - &Dim::int(1)) * &Dim::int(2),
                None => input[d].clone(),
            });
        }
        let full = match c.opt_str("norm")? {
            None | Some("backward") => !forward,
            Some("forward") => forward,
            Some("ortho") => return Ok(Transform { kind, dims, sizes, forward, power: -0.5 }),
            Some(other) => return Err(OpError::Invalid(format!("there is no normalisation `{other}`"))),
        };
        Ok(Transform { kind, dims, sizes, forward, power: if full { -1.0 } else { 0.0 } })
    }

    /// For transformed dimension number `i`: how much of the input is read (padded with zeros), and the length of
    /// the result.
    pub fn extents(&self, i: usize) -> (Dim, Dim) {
        let n = self.sizes[i].clone();
        let half = || &n.floor_div(&Dim::int(2)) + &Dim::int(1);
        match self.kind {
            _ if i + 1 < self.dims.len() => (n.clone(), n),
            Kind::Complex | Kind::FromReal { half: false } => (n.clone(), n),
            Kind::FromReal { half: true } => (n.clone(), half()),
            Kind::ToReal => (half(), n),
        }
    }

    /// The order in which dimensions are transformed: the one with real values first or last.
    pub fn order(&self) -> Vec<usize> {
        let count = self.dims.len();
        match self.kind {
            Kind::ToReal => (0..count).collect(),
            _ => (0..count).rev().collect(),
        }
    }
}

fn infer(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let x = c.tensor("self")?;
    let transform = Transform::new(c, &x.shape)?;
    let real = match x.dtype {
        d if d.is_complex() => d.to_real(),
        d if d.is_float() => d,
        _ => DType::F32,
    };
    let complex = real.to_complex().ok_or_else(|| OpError::Unsupported(format!("a Fourier transform of {real}")))?;
    if matches!(transform.kind, Kind::FromReal { .. }) && x.dtype.is_complex() {
        return Err(OpError::Invalid(format!("`{}` takes real values", c.op.name)));
    }
    let mut shape = x.shape.clone();
    for i in 0..transform.dims.len() {
        shape[transform.dims[i]] = transform.extents(i).1;
    }
    Ok(vec![Fact::new(if transform.kind == Kind::ToReal { real } else { complex }, shape)])
}

/// `out[k] = Σ_j x[j]·e^(∓2πi·jk/n)` along one dimension.
fn along(x: &Tensor, dim: usize, n: usize, read: usize, out: usize, sign: f64) -> Tensor {
    let lines = Lines::new(x.shape(), dim);
    let mut shape = x.shape().to_vec();
    shape[dim] = out;
    let turn = |m: usize| Complex64::from_polar(1.0, sign * 2.0 * std::f64::consts::PI * m as f64 / n as f64);
    let turns: Vec<Complex64> = (0..n).map(turn).collect();
    let mut values = vec![Complex64::ZERO; shape.iter().product()];
    for l in 0..lines.count {
        for k in 0..out {
            let terms = (0..read.min(lines.len)).map(|j| x.get(lines.at(l, j)).to_complex() * turns[j * k % n]);
            values[lines.at_in(out, l, k)] = terms.sum();
        }
    }
    Tensor::complexes(DType::C128, &shape, values)
}

fn eval(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let mut x = c.tensor("self")?.cast(DType::C128);
    let (dtype, _) = host::result_of(c)?;
    let transform = Transform::new(c, &x.fact().shape)?;
    let sizes = shape::known(&transform.sizes)?;
    if sizes.contains(&0) {
        return Err(OpError::invalid("a Fourier transform needs a positive length"));
    }
    let sign = if transform.forward { -1.0 } else { 1.0 };
    for i in transform.order() {
        let (dim, n) = (transform.dims[i], sizes[i]);
        let (read, out) = transform.extents(i);
        let extents = shape::known(&[read, out])?;
        if transform.kind == Kind::ToReal && i + 1 == sizes.len() {
            // The half that is not stored is the conjugate: count each element twice but the ends of the whole.
            let lines = Lines::new(x.shape(), dim);
            let mut doubled = vec![Complex64::ZERO; x.numel()];
            for l in 0..lines.count {
                for k in 0..lines.len {
                    let twice = if k == 0 || 2 * k == n { 1.0 } else { 2.0 };
                    doubled[lines.at(l, k)] = x.get(lines.at(l, k)).to_complex() * twice;
                }
            }
            x = Tensor::complexes(DType::C128, x.shape(), doubled);
        }
        x = along(&x, dim, n, extents[0], extents[1], sign);
    }
    let scale = (sizes.iter().product::<usize>() as f64).powf(transform.power);
    Ok(vec![Tensor::from_fn(dtype, x.shape(), |i| {
        let v = x.get(i).to_complex() * scale;
        if dtype.is_complex() { Scalar::Complex(v) } else { Scalar::Float(v.re) }
    })])
}

/// Zero frequency moved to the middle, or back: a rotation by half of each size.
fn shift(c: &Call<'_, Fact>, forth: bool) -> Result<Vec<Chain>, OpError> {
    let mut x = of_self(c)?;
    let dims = match c.opt_ints("dim")? {
        Some(dims) => dims.into_iter().map(|d| wrap_dim(d, x.rank())).collect::<Result<Vec<_>, _>>()?,
        None => (0..x.rank()).collect(),
    };
    for dim in dims {
        let Some(n) = x.shape.get(dim).cloned().filter(|n| !n.is_zero()) else { continue };
        let half = n.floor_div(&Dim::int(2));
        let front = if forth { &n - &half } else { half };
        let rest = &n - &front;
        let moved = x.clone().slice(dim, front.clone(), rest, 1);
        let dtype = x.dtype;
        x = Chain::cat(vec![moved, x.slice(dim, Dim::int(0), front, 1)], dim, dtype)?;
    }
    Ok(vec![x])
}
