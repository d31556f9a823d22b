//! torchvision's operators over boxes: suppression, pooling of regions, sampling with learnt offsets.

use crate::real::{Real, ceil, floor, round};

/// Marks the boxes to keep, `boxes` (`[n, 4]`) being in the order of their scores: not those that overlap one kept
/// before by more than the threshold.
pub fn nms<T: Real>(boxes: &[T], threshold: f64, keep: &mut [u8], n: usize) {
    let side = |i: usize, j: usize| boxes[i * 4 + j];
    let area = |i: usize| (side(i, 2) - side(i, 0)) * (side(i, 3) - side(i, 1));
    let least = |a: T, b: T| if a < b { a } else { b };
    let most = |a: T, b: T| if a > b { a } else { b };
    keep.fill(1);
    for i in 0..n {
        if keep[i] == 0 {
            continue;
        }
        for j in i + 1..n {
            let w = most(least(side(i, 2), side(j, 2)) - most(side(i, 0), side(j, 0)), T::ZERO);
            let h = most(least(side(i, 3), side(j, 3)) - most(side(i, 1), side(j, 1)), T::ZERO);
            let shared = w * h;
            if (shared / (area(i) + area(j) - shared)).to_f64() > threshold {
                keep[j] = 0;
            }
        }
    }
}

/// A plane of a picture.
pub struct Plane<'a, T> {
    pub data: &'a [T],
    pub height: usize,
    pub width: usize,
}

impl<T: Real> Plane<'_, T> {
    /// Between pixels, as `roi_align` samples: the border reaches half a pixel out.
    fn aligned(&self, y: f64, x: f64) -> f64 {
        let (h, w) = (self.height, self.width);
        if !(y >= -1.0 && y <= h as f64 && x >= -1.0 && x <= w as f64) {
            return 0.0;
        }
        let cell = |v: f64, n: usize| {
            let v = if v > 0.0 { v } else { 0.0 };
            let low = v as usize;
            if low + 1 >= n { (n - 1, n - 1, 0.0) } else { (low, low + 1, v - low as f64) }
        };
        let ((y0, y1, ly), (x0, x1, lx)) = (cell(y, h), cell(x, w));
        let at = |y: usize, x: usize| self.data[y * w + x].to_f64();
        (1.0 - ly) * ((1.0 - lx) * at(y0, x0) + lx * at(y0, x1)) + ly * ((1.0 - lx) * at(y1, x0) + lx * at(y1, x1))
    }

    /// Between pixels with zeros around.
    fn padded(&self, y: f64, x: f64) -> f64 {
        let (h, w) = (self.height as i64, self.width as i64);
        if !(y > -1.0 && y < h as f64 && x > -1.0 && x < w as f64) {
            return 0.0;
        }
        let (y0, x0) = (floor(y) as i64, floor(x) as i64);
        let (ly, lx) = (y - y0 as f64, x - x0 as f64);
        let at = |y: i64, x: i64| {
            if y < 0 || y >= h || x < 0 || x >= w { 0.0 } else { self.data[(y * w + x) as usize].to_f64() }
        };
        (1.0 - ly) * ((1.0 - lx) * at(y0, x0) + lx * at(y0, x0 + 1))
            + ly * ((1.0 - lx) * at(y0 + 1, x0) + lx * at(y0 + 1, x0 + 1))
    }
}

/// What pooling of regions is told: sizes of the picture and of the result.
#[derive(Clone, Copy)]
pub struct Pooling {
    pub batch: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub rows: usize,
    pub columns: usize,
    pub scale: f64,
    /// Samples along a side of a bin; 0 or less for as many as it has pixels.
    pub sampling: i64,
    pub aligned: bool,
}

impl Pooling {
    fn plane<'a, T>(&self, x: &'a [T], image: usize, channel: usize) -> Plane<'a, T> {
        let area = self.height * self.width;
        let start = (image * self.channels + channel) * area;
        Plane { data: &x[start..start + area], height: self.height, width: self.width }
    }

    /// The picture that a region is of.
    fn image<T: Real>(&self, roi: &[T]) -> usize {
        let i = roi[0].to_f64();
        if i >= 0.0 { (i as usize).min(self.batch - 1) } else { 0 }
    }
}

/// The mean of samples in the bin `(i, j)` of a region.
fn bin<T: Real>(p: &Pooling, plane: &Plane<'_, T>, region: [f64; 4], i: usize, j: usize) -> f64 {
    let [x, y, width, height] = region;
    let (bin_h, bin_w) = (height / p.rows as f64, width / p.columns as f64);
    let count = |side: f64| if p.sampling > 0 { p.sampling } else { (ceil(side) as i64).clamp(0, 1 << 20) };
    let (rows, columns) = (count(bin_h), count(bin_w));
    let mut sum = 0.0;
    for a in 0..rows {
        for b in 0..columns {
            let at_y = y + i as f64 * bin_h + (a as f64 + 0.5) * bin_h / rows as f64;
            let at_x = x + j as f64 * bin_w + (b as f64 + 0.5) * bin_w / columns as f64;
            sum += plane.aligned(at_y, at_x);
        }
    }
    sum / (rows * columns).max(1) as f64
}

/// `roi_align` of one region `[image, x1, y1, x2, y2]`: `out` is `[channels, rows, columns]`.
pub fn roi_align<T: Real>(p: &Pooling, x: &[T], roi: &[T], out: &mut [T]) {
    let image = p.image(roi);
    let offset = if p.aligned { 0.5 } else { 0.0 };
    let corner = |k: usize| roi[k].to_f64() * p.scale - offset;
    let (mut width, mut height) = (corner(3) - corner(1), corner(4) - corner(2));
    if !p.aligned {
        width = if width > 1.0 { width } else { 1.0 };
        height = if height > 1.0 { height } else { 1.0 };
    }
    for c in 0..p.channels {
        let plane = p.plane(x, image, c);
        for i in 0..p.rows {
            for j in 0..p.columns {
                let mean = bin(p, &plane, [corner(1), corner(2), width, height], i, j);
                out[(c * p.rows + i) * p.columns + j] = T::from_f64(mean);
            }
        }
    }
}

/// `ps_roi_align` of one region: every bin of the result has channels of its own.
pub fn ps_roi_align<T: Real>(p: &Pooling, x: &[T], roi: &[T], out: &mut [T], mapping: &mut [i32]) {
    let image = p.image(roi);
    let corner = |k: usize| roi[k].to_f64() * p.scale - 0.5;
    let region = [corner(1), corner(2), corner(3) - corner(1), corner(4) - corner(2)];
    for at in 0..out.len() {
        let (i, j) = (at / p.columns % p.rows, at % p.columns);
        out[at] = T::from_f64(bin(p, &p.plane(x, image, at), region, i, j));
        mapping[at] = at as i32;
    }
}

/// First and last (excluded) pixel of a bin, within the picture.
fn pixels(bin: f64, k: usize, start: f64, n: usize) -> (usize, usize) {
    let inside = |v: f64| if v > 0.0 { (v as usize).min(n) } else { 0 };
    (inside(floor(k as f64 * bin) + start), inside(ceil((k + 1) as f64 * bin) + start))
}

/// `roi_pool` of one region: the largest pixel of every bin, and where it is.
pub fn roi_pool<T: Real>(p: &Pooling, x: &[T], roi: &[T], out: &mut [T], places: &mut [i32]) {
    let image = p.image(roi);
    let corner = |k: usize| round((roi[k].to_f64() as f32 * p.scale as f32).into());
    let side = |a: usize, b: usize| if corner(b) - corner(a) + 1.0 > 1.0 { corner(b) - corner(a) + 1.0 } else { 1.0 };
    let (bin_w, bin_h) = (side(1, 3) / p.columns as f64, side(2, 4) / p.rows as f64);
    for c in 0..p.channels {
        let plane = p.plane(x, image, c);
        for i in 0..p.rows {
            let (top, bottom) = pixels(bin_h, i, corner(2), p.height);
            for j in 0..p.columns {
                let (left, right) = pixels(bin_w, j, corner(1), p.width);
                let (mut best, mut place) = (T::ZERO, -1);
                for y in top..bottom {
                    for x in left..right {
                        let v = plane.data[y * p.width + x];
                        if place < 0 || v > best {
                            (best, place) = (v, (y * p.width + x) as i32);
                        }
                    }
                }
                let at = (c * p.rows + i) * p.columns + j;
                out[at] = best;
                places[at] = place;
            }
        }
    }
}

/// `ps_roi_pool` of one region: the mean of every bin, each from channels of its own.
pub fn ps_roi_pool<T: Real>(p: &Pooling, x: &[T], roi: &[T], out: &mut [T], mapping: &mut [i32]) {
    let image = p.image(roi);
    let corner = |k: usize| round((roi[k].to_f64() as f32 * p.scale as f32).into());
    let side = |a: usize, b: usize| if corner(b) - corner(a) > 1.0 { corner(b) - corner(a) } else { 1.0 };
    let (bin_w, bin_h) = (side(1, 3) / p.columns as f64, side(2, 4) / p.rows as f64);
    for at in 0..out.len() {
        let (i, j) = (at / p.columns % p.rows, at % p.columns);
        // The last row and column are never read, as in torchvision.
        let (top, bottom) = pixels(bin_h, i, corner(2), p.height.saturating_sub(1));
        let (left, right) = pixels(bin_w, j, corner(1), p.width.saturating_sub(1));
        let plane = p.plane(x, image, at);
        let mut sum = 0.0;
        for y in top..bottom {
            for x in left..right {
                sum += plane.data[y * p.width + x].to_f64();
            }
        }
        let area = bottom.saturating_sub(top) * right.saturating_sub(left);
        out[at] = T::from_f64(if area == 0 { 0.0 } else { sum / area as f64 });
        mapping[at] = at as i32;
    }
}

/// What deformable convolution is told.
#[derive(Clone, Copy)]
pub struct Deform {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub rows: usize,
    pub columns: usize,
    pub window: [usize; 2],
    pub stride: [i64; 2],
    pub padding: [i64; 2],
    pub dilation: [i64; 2],
    /// Groups of channels that share offsets.
    pub groups: usize,
    pub masked: bool,
}

/// The columns `[channels, window, rows·columns]` of one picture, each element read where the offsets say.
pub fn deform_columns<T: Real>(p: &Deform, x: &[T], offset: &[T], mask: &[T], out: &mut [T]) {
    let [kh, kw] = p.window;
    let (taps, area) = (kh * kw, p.rows * p.columns);
    for c in 0..p.channels {
        let start = c * p.height * p.width;
        let plane = Plane { data: &x[start..start + p.height * p.width], height: p.height, width: p.width };
        let group = c / (p.channels / p.groups.max(1)).max(1);
        for tap in 0..taps {
            let (i, j) = ((tap / kw) as i64, (tap % kw) as i64);
            for at in 0..area {
                let (row, column) = ((at / p.columns) as i64, (at % p.columns) as i64);
                let shift = |k: usize| offset[((group * taps + tap) * 2 + k) * area + at].to_f64();
                let y = (row * p.stride[0] - p.padding[0] + i * p.dilation[0]) as f64 + shift(0);
                let x = (column * p.stride[1] - p.padding[1] + j * p.dilation[1]) as f64 + shift(1);
                let weight = if p.masked { mask[(group * taps + tap) * area + at].to_f64() } else { 1.0 };
                out[(c * taps + tap) * area + at] = T::from_f64(weight * plane.padded(y, x));
            }
        }
    }
}
