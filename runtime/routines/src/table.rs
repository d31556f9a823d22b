//! The table of routines: name, buffers with the length of an item's part, sizes, what is done to an item.

use crate::real::Real;
use crate::scalar::{Complex, Scalar};
use crate::vision::{Deform, Pooling};
use crate::{ctc, eigen, exponential, factor, householder, schur, singular, special, triangular, vision};

/// The words of a call: addresses of buffers, then sizes.
#[derive(Clone, Copy)]
pub(crate) struct Words(pub *const u64);

impl Words {
    /// # Safety
    /// The word exists.
    unsafe fn size(self, at: usize) -> usize {
        // SAFETY: by the caller's promise.
        unsafe { *self.0.add(at) as usize }
    }

    /// An item's part of a buffer.
    ///
    /// # Safety
    /// The word exists and is the address of a buffer of at least `(item + 1)·len` elements that nothing else uses.
    unsafe fn part<'a, E>(self, at: usize, item: usize, len: usize) -> &'a mut [E] {
        // SAFETY: by the caller's promise.
        unsafe {
            let start = *self.0.add(at) as *mut E;
            core::slice::from_raw_parts_mut(start.add(item * len), len)
        }
    }
}

/// A routine as the task of a thread pool.
pub(crate) type Task = unsafe extern "C" fn(*const u64, i64, i64);

/// What a buffer holds.
#[cfg(feature = "host")]
#[derive(Clone, Copy)]
pub(crate) enum Element {
    /// Real numbers of the routine's precision.
    Real,
    /// Real or complex numbers of that precision.
    Scalar,
    /// So many bytes each.
    Bytes(usize),
}

/// A routine for the compiler: its name, itself for every kind of number, and the lengths of its buffers.
#[cfg(feature = "host")]
pub(crate) struct Routine {
    pub name: &'static str,
    /// In f32 and f64.
    pub real: [Task; 2],
    /// In complex numbers of both, if it is one of matrices.
    pub complex: Option<[Task; 2]>,
    /// Number of sizes.
    pub sizes: usize,
    /// For each buffer: what an element is, and elements of an item.
    pub parts: fn(&[usize]) -> std::vec::Vec<(Element, usize)>,
    /// Number of items besides the batch, 1 where the batch is all there is.
    pub shared: &'static [bool],
}

/// `T` is a real number, `S` a real or complex one.
macro_rules! element {
    (T, $s:ident) => {
        <$s as Scalar>::Real
    };
    (S, $s:ident) => {
        $s
    };
    ($e:ident, $s:ident) => {
        $e
    };
}

#[cfg(feature = "host")]
macro_rules! element_of {
    (T) => { Element::Real };
    (S) => { Element::Scalar };
    ($e:ident) => { Element::Bytes(core::mem::size_of::<$e>()) };
}

/// An exported function for one kind of number.
macro_rules! export {
    ($function:ident, $name:ident, $suffix:literal, $s:ty) => {
        /// # Safety
        /// The words are what the table says.
        #[unsafe(export_name = concat!("pt2c_rt_routine_", stringify!($name), $suffix))]
        pub unsafe extern "C" fn $function(words: *const u64, begin: i64, end: i64) {
            // SAFETY: by the caller's promise.
            unsafe { items::<$s>(Words(words), begin, end) }
        }
    };
}

macro_rules! exports_of {
    (real, $name:ident) => {
        #[cfg(feature = "host")]
        pub const COMPLEX: Option<[Task; 2]> = None;
    };
    (matrix, $name:ident) => {
        export!(single_complex, $name, "_c64", Complex<f32>);
        export!(double_complex, $name, "_c128", Complex<f64>);
        #[cfg(feature = "host")]
        pub const COMPLEX: Option<[Task; 2]> = Some([single_complex, double_complex]);
    };
}

/// Whether a buffer is one for all items.
macro_rules! item_of {
    (each, $item:ident) => {
        $item
    };
    (all, $item:ident) => {
        0
    };
}

#[cfg(feature = "host")]
macro_rules! is_shared {
    (each) => {
        false
    };
    (all) => {
        true
    };
}

macro_rules! routines {
    ($($kind:ident $name:ident ($($buffer:ident: $how:ident $element:ident[$len:expr]),*; $($size:ident),*) => $body:expr;)*) => {
        $(
            mod $name {
                #[allow(unused_imports)]
                use super::*;

                #[allow(unused_variables, unused_mut, unused_assignments)]
                unsafe fn items<S: Scalar>(words: Words, begin: i64, end: i64) {
                    const BUFFERS: usize = [$(stringify!($buffer)),*].len();
                    let mut at = BUFFERS;
                    $(
                        // SAFETY: the compiler passes as many words as the table says.
                        let $size = unsafe { words.size(at) };
                        at += 1;
                    )*
                    for item in begin as usize..end as usize {
                        let mut at = 0;
                        $(
                            // SAFETY: the compiler passes buffers of the lengths that the table says; items are apart.
                            let $buffer: &mut [element!($element, S)] =
                                unsafe { words.part(at, item_of!($how, item), $len) };
                            at += 1;
                        )*
                        $body
                    }
                }

                export!(single, $name, "_f32", f32);
                export!(double, $name, "_f64", f64);
                exports_of!($kind, $name);
            }
        )*

        /// All routines.
        #[cfg(feature = "host")]
        pub(crate) const ROUTINES: &[Routine] = &[
            $(
                Routine {
                    name: stringify!($name),
                    real: [$name::single, $name::double],
                    complex: $name::COMPLEX,
                    sizes: { const NAMES: &[&str] = &[$(stringify!($size)),*]; NAMES.len() },
                    parts: |sizes| {
                        let mut at = sizes.iter().copied();
                        $(#[allow(unused_variables)] let $size = at.next().unwrap_or(0);)*
                        let _ = at.next();
                        std::vec![$((element_of!($element), $len)),*]
                    },
                    shared: &[$(is_shared!($how)),*],
                },
            )*
        ];
    };
}

fn least(a: usize, b: usize) -> usize {
    a.min(b)
}

/// Writes a result.
fn set<T: Real>(x: &mut [T], value: f64) {
    x[0] = T::from_f64(value);
}

/// A function of one number, element by element.
fn one<T: Real>(x: &mut [T], f: fn(f64) -> f64) {
    x[0] = T::from_f64(f(x[0].to_f64()));
}

/// A function of two numbers.
fn two<T: Real>(x: &mut [T], y: &[T], f: fn(f64, f64) -> f64) {
    x[0] = T::from_f64(f(x[0].to_f64(), y[0].to_f64()));
}

routines! {
    matrix lu(a: each S[m * n], pivots: each i32[least(m, n)], info: each i32[1]; m, n) => factor::lu(a, pivots, info, m, n);
    real permutation(pivots: each i32[k], order: each i64[m]; k, m) => factor::permutation(pivots, order);
    matrix cholesky(a: each S[n * n], info: each i32[1]; n) => factor::cholesky(a, info, n);
    matrix ldl(a: each S[n * n], pivots: each i32[n], info: each i32[1]; n, hermitian) =>
        factor::ldl(a, pivots, info, n, hermitian != 0);
    matrix ldl_solve(a: each S[n * n], pivots: each i32[n], b: each S[n * r]; n, r, hermitian) =>
        factor::ldl_solve(a, pivots, b, n, r, hermitian != 0);
    matrix qr(a: each S[m * n], tau: each S[least(m, n)], work: each S[n]; m, n) => householder::qr(a, tau, work, m, n);
    matrix householder_product(a: each S[m * n], tau: each S[k], q: each S[m * p], work: each S[p]; m, n, k, p) =>
        householder::product(a, tau, q, work, m, n, k, p);
    matrix solve_triangular(a: each S[n * n], b: each S[n * r]; n, r, upper, unit) =>
        triangular::solve(a, b, n, r, upper != 0, unit != 0);
    matrix eigh(a: each S[n * n], values: each T[n], vectors: each S[n * n]; n) => eigen::symmetric(a, values, vectors, n);
    matrix eig(a: each S[n * n], values: each S[n], vectors: each S[n * n], basis: each S[n * n], info: each i32[1]; n) =>
        schur::eigen(a, values, vectors, basis, info, n);
    matrix svd(a: each S[m * n], s: each T[least(m, n)], u: each S[p * m], vh: each S[q * n]; m, n, p, q) =>
        singular::svd(a, s, u, vh, [m, n, p, q]);
    real matrix_exp(a: each T[n * n], x: each T[n * n], work: each T[n * n]; n) =>
        exponential::exponential(a, x, work, n);
    real ctc_loss(log_probs: each T[t * c], labels: each i64[s], lengths: each i64[2], loss: each T[1], alpha: each f64[2 * (2 * s + 1)]; t, c, s, blank) =>
        set(loss, ctc::loss(log_probs, labels, [lengths[0], lengths[1]], alpha, c, blank));
    real nms(boxes: each T[4 * n], threshold: each f64[1], keep: each u8[n]; n) => vision::nms(boxes, threshold[0], keep, n);
    real roi_align(x: all T[batch * channels * height * width], rois: each T[5], scale: all f64[1], out: each T[channels * rows * columns];
        batch, channels, height, width, rows, columns, sampling, aligned) => {
        let p = Pooling {
            batch, channels, height, width, rows, columns, scale: scale[0], sampling: sampling as i64, aligned: aligned != 0,
        };
        vision::roi_align(&p, x, rois, out)
    };
    real roi_pool(x: all T[batch * channels * height * width], rois: each T[5], scale: all f64[1], out: each T[channels * rows * columns], places: each i32[channels * rows * columns];
        batch, channels, height, width, rows, columns) => {
        let p = Pooling { batch, channels, height, width, rows, columns, scale: scale[0], sampling: 0, aligned: false };
        vision::roi_pool(&p, x, rois, out, places)
    };
    real ps_roi_align(x: all T[batch * channels * height * width], rois: each T[5], scale: all f64[1], out: each T[channels], places: each i32[channels];
        batch, channels, height, width, rows, columns, sampling) => {
        let p = Pooling {
            batch, channels, height, width, rows, columns, scale: scale[0], sampling: sampling as i64, aligned: true,
        };
        vision::ps_roi_align(&p, x, rois, out, places)
    };
    real ps_roi_pool(x: all T[batch * channels * height * width], rois: each T[5], scale: all f64[1], out: each T[channels], places: each i32[channels];
        batch, channels, height, width, rows, columns) => {
        let p = Pooling { batch, channels, height, width, rows, columns, scale: scale[0], sampling: 0, aligned: false };
        vision::ps_roi_pool(&p, x, rois, out, places)
    };
    real deform_columns(x: each T[channels * height * width], offset: each T[2 * groups * kh * kw * rows * columns], mask: each T[masks * groups * kh * kw * rows * columns], out: each T[channels * kh * kw * rows * columns];
        channels, height, width, rows, columns, kh, kw, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, masks) => {
        let p = Deform {
            channels, height, width, rows, columns, window: [kh, kw], groups, masked: masks != 0,
            stride: [stride_h as i64, stride_w as i64],
            padding: [pad_h as i64, pad_w as i64],
            dilation: [dilation_h as i64, dilation_w as i64],
        };
        vision::deform_columns(&p, x, offset, mask, out)
    };
    real airy_ai(x: each T[1];) => one(x, special::airy_ai);
    real bessel_j0(x: each T[1];) => one(x, special::bessel_j0);
    real bessel_j1(x: each T[1];) => one(x, special::bessel_j1);
    real bessel_y0(x: each T[1];) => one(x, special::bessel_y0);
    real bessel_y1(x: each T[1];) => one(x, special::bessel_y1);
    real modified_bessel_i0(x: each T[1];) => one(x, special::modified_bessel_i0);
    real modified_bessel_i1(x: each T[1];) => one(x, special::modified_bessel_i1);
    real modified_bessel_k0(x: each T[1];) => one(x, special::modified_bessel_k0);
    real modified_bessel_k1(x: each T[1];) => one(x, special::modified_bessel_k1);
    real scaled_modified_bessel_k0(x: each T[1];) => one(x, special::scaled_modified_bessel_k0);
    real scaled_modified_bessel_k1(x: each T[1];) => one(x, special::scaled_modified_bessel_k1);
    real spherical_bessel_j0(x: each T[1];) => one(x, special::spherical_bessel_j0);
    real igamma(x: each T[1], y: each T[1];) => two(x, y, special::igamma);
    real igammac(x: each T[1], y: each T[1];) => two(x, y, special::igammac);
    real zeta(x: each T[1], y: each T[1];) => two(x, y, special::zeta);
    real chebyshev_polynomial_t(x: each T[1], y: each T[1];) => two(x, y, special::chebyshev_polynomial_t);
    real chebyshev_polynomial_u(x: each T[1], y: each T[1];) => two(x, y, special::chebyshev_polynomial_u);
    real chebyshev_polynomial_v(x: each T[1], y: each T[1];) => two(x, y, special::chebyshev_polynomial_v);
    real chebyshev_polynomial_w(x: each T[1], y: each T[1];) => two(x, y, special::chebyshev_polynomial_w);
    real shifted_chebyshev_polynomial_t(x: each T[1], y: each T[1];) => two(x, y, special::shifted_chebyshev_polynomial_t);
    real shifted_chebyshev_polynomial_u(x: each T[1], y: each T[1];) => two(x, y, special::shifted_chebyshev_polynomial_u);
    real shifted_chebyshev_polynomial_v(x: each T[1], y: each T[1];) => two(x, y, special::shifted_chebyshev_polynomial_v);
    real shifted_chebyshev_polynomial_w(x: each T[1], y: each T[1];) => two(x, y, special::shifted_chebyshev_polynomial_w);
    real hermite_polynomial_h(x: each T[1], y: each T[1];) => two(x, y, special::hermite_polynomial_h);
    real hermite_polynomial_he(x: each T[1], y: each T[1];) => two(x, y, special::hermite_polynomial_he);
    real laguerre_polynomial_l(x: each T[1], y: each T[1];) => two(x, y, special::laguerre_polynomial_l);
    real legendre_polynomial_p(x: each T[1], y: each T[1];) => two(x, y, special::legendre_polynomial_p);
}
