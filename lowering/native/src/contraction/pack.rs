//! Packing of constant weights, bytes to bytes, in the order in which the tiles read them.

/// Bytes of one matrix packed by [`columns`].
pub fn columns_len(k: usize, n: usize, panel: usize, lanes: usize) -> Option<usize> {
    let (panel, lanes) = (panel.max(1), lanes.max(1));
    let rest = (n % panel).div_ceil(lanes) * lanes;
    (n / panel * panel + rest).checked_mul(k)
}

/// Packs a dense row-major `[k, n]` matrix into panels `[⌈n/panel⌉][k][panel]`. The last panel is only as wide as
/// whole vectors of `lanes` need, its missing columns zero. `size` is the element's size in bytes.
///
/// `None` if `data` does not hold `k·n` elements or a size overflows.
pub fn columns(data: &[u8], size: usize, k: usize, n: usize, panel: usize, lanes: usize) -> Option<Vec<u8>> {
    let rows = |i: usize, j0: usize, width: usize| data.get((i * n + j0) * size..(i * n + j0 + width) * size);
    pack_panels(data, size, k, n, panel, lanes, rows)
}

/// Packs the transpose: `data` is dense row-major `[n, k]` (a linear layer's weight).
pub fn columns_transposed(data: &[u8], size: usize, k: usize, n: usize, panel: usize, lanes: usize) -> Option<Vec<u8>> {
    let mut row = vec![0u8; data.len()];
    if data.len() != k.checked_mul(n)?.checked_mul(size)? {
        return None;
    }
    for j in 0..n {
        for i in 0..k {
            let (from, to) = ((j * k + i) * size, (i * n + j) * size);
            row.get_mut(to..to + size)?.copy_from_slice(data.get(from..from + size)?);
        }
    }
    columns(&row, size, k, n, panel, lanes)
}

fn pack_panels<'d>(
    data: &[u8],
    size: usize,
    k: usize,
    n: usize,
    panel: usize,
    lanes: usize,
    piece: impl Fn(usize, usize, usize) -> Option<&'d [u8]>,
) -> Option<Vec<u8>> {
    let (panel, lanes) = (panel.max(1), lanes.max(1));
    if data.len() != k.checked_mul(n)?.checked_mul(size)? {
        return None;
    }
    let mut out = Vec::with_capacity(columns_len(k, n, panel, lanes)?.checked_mul(size)?);
    let mut j0 = 0;
    while j0 < n {
        let width = panel.min(n - j0);
        let padded = if width == panel { panel } else { width.div_ceil(lanes) * lanes };
        for i in 0..k {
            out.extend_from_slice(piece(i, j0, width)?);
            out.resize(out.len() + (padded - width) * size, 0);
        }
        j0 += panel;
    }
    Some(out)
}

/// Elements of a convolution weight packed by [`convolution`].
pub fn convolution_len(
    groups: usize,
    out_per_group: usize,
    taps: usize,
    in_per_group: usize,
    panel: usize,
    lanes: usize,
) -> Option<usize> {
    columns_len(taps.checked_mul(in_per_group)?, out_per_group, panel, lanes)?.checked_mul(groups)
}

/// Packs a convolution weight, dense `[groups·out, in, taps]` (`taps`: the product of the window's extents, outermost
/// first), into `[groups][⌈out/panel⌉][taps][in][panel]`, panels as in [`columns`].
///
/// `None` if `data` has another length or a size overflows.
#[expect(clippy::too_many_arguments, reason = "the dimensions of one array")]
pub fn convolution(
    data: &[u8],
    size: usize,
    groups: usize,
    out_per_group: usize,
    in_per_group: usize,
    taps: usize,
    panel: usize,
    lanes: usize,
) -> Option<Vec<u8>> {
    let k = taps.checked_mul(in_per_group)?;
    let group_bytes = k.checked_mul(out_per_group)?.checked_mul(size)?;
    if data.len() != group_bytes.checked_mul(groups)? {
        return None;
    }
    let mut out = Vec::new();
    let mut matrix = vec![0u8; group_bytes];
    for g in 0..groups {
        // The group as a matrix [taps·in, out].
        for o in 0..out_per_group {
            for i in 0..in_per_group {
                for t in 0..taps {
                    let from = (((g * out_per_group + o) * in_per_group + i) * taps + t) * size;
                    let to = ((t * in_per_group + i) * out_per_group + o) * size;
                    matrix.get_mut(to..to + size)?.copy_from_slice(data.get(from..from + size)?);
                }
            }
        }
        out.extend(columns(&matrix, size, k, out_per_group, panel, lanes)?);
    }
    Some(out)
}

/// Transforms 3×3 windows, dense f32 `[out, input, 3, 3]`, into the factors of Winograd's tiles, and packs each of the 16
/// matrices `[input, out]` with [`columns`], one after the other.
///
/// `None` if `data` has another length or a size overflows.
pub fn winograd(data: &[u8], out: usize, input: usize, panel: usize, lanes: usize) -> Option<Vec<u8>> {
    let pairs = out.checked_mul(input)?;
    if data.len() != pairs.checked_mul(9 * 4)? {
        return None;
    }
    let products = pt2c_kernel::winograd::PRODUCTS as usize;
    let mut matrices = vec![vec![0u8; pairs * 4]; products];
    for (pair, window) in data.chunks_exact(9 * 4).enumerate() {
        let mut taps = [0.0; 9];
        for (tap, bytes) in taps.iter_mut().zip(window.chunks_exact(4)) {
            *tap = f64::from(f32::from_le_bytes(bytes.try_into().ok()?));
        }
        let place = ((pair % input) * out + pair / input) * 4;
        for (matrix, factor) in matrices.iter_mut().zip(pt2c_kernel::winograd::window_factors(&taps)) {
            matrix.get_mut(place..place + 4)?.copy_from_slice(&(factor as f32).to_le_bytes());
        }
    }
    let mut packed = Vec::with_capacity(columns_len(input, out, panel, lanes)?.checked_mul(4 * products)?);
    for matrix in matrices {
        packed.extend(columns(&matrix, 4, input, out, panel, lanes)?);
    }
    Some(packed)
}

/// Elements in front of the scales of a matrix packed by [`strassen`], for half the contracted extent.
pub fn strassen_scales(half: i64, n: i64, panel: i64, lanes: i64) -> i64 {
    let (panel, lanes) = (panel.max(1), lanes.max(1));
    let (rest, _) = super::strassen::rest_of(n % (2 * panel), lanes as u32);
    4 * super::strassen::Blocks::of(half).all() * (n / (2 * panel) * panel + i64::from(rest) * lanes)
}

/// Packs a dense row-major f32 `[k, n]` matrix for Strassen's algorithm ([`pt2c_kernel::strassen`]): for each pair of
/// neighbouring panels of columns and each block of the contracted extent ([`super::strassen::Blocks`]) the four quarters in
/// their basis, `[steps][panel]` each, columns scaled by powers of two; behind all of them, the inverse scales, column by
/// column. The last pair's panels are only as wide as whole vectors of
/// `lanes` need. A column with an infinite element or NaN is zero, its inverse scale NaN.
///
/// `None` if `data` has another length, `k` is odd, or a size overflows.
pub fn strassen(data: &[u8], k: usize, n: usize, panel: usize, lanes: usize) -> Option<Vec<u8>> {
    use pt2c_kernel::strassen::{BASIS, QUARTERS};
    let (panel, lanes) = (panel.max(1), lanes.max(1));
    if data.len() != k.checked_mul(n)?.checked_mul(4)? || k % 2 != 0 {
        return None;
    }
    let mut values: Vec<f32> = data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let mut largest = vec![0f32; n];
    for row in values.chunks_exact(n.max(1)) {
        for (largest, x) in largest.iter_mut().zip(row) {
            // A comparison with NaN fails: NaN stays.
            if !(x.abs() <= *largest) {
                *largest = x.abs();
            }
        }
    }
    // The power of two at or below the largest magnitude, far enough from the ends that its inverse is a normal number.
    let power = |x: &f32| f32::from_bits((x.to_bits() & f32::INFINITY.to_bits()).clamp(1 << 23, 253 << 23));
    let factors: Vec<f32> =
        largest.iter().map(|most| if most.is_finite() { power(most).recip() } else { f32::NAN }).collect();
    for row in values.chunks_exact_mut(n.max(1)) {
        for (x, factor) in row.iter_mut().zip(&factors) {
            *x = if factor.is_nan() { 0.0 } else { *x * factor };
        }
    }
    let half = k / 2;
    let all = usize::try_from(strassen_scales(half as i64, n as i64, panel as i64, lanes as i64)).ok()?;
    let mut out: Vec<f32> = Vec::with_capacity(all.checked_add(n)?);
    let mut first = 0;
    while first < n {
        let (vectors, exist) = super::strassen::rest_of((n - first).min(2 * panel) as i64, lanes as u32);
        let width = vectors as usize * lanes;
        let second = first + width;
        // Columns of both panels that exist, of rows of both halves.
        let parts = |row: usize| -> Option<[&[f32]; QUARTERS]> {
            let part =
                |row: usize, from: usize, count: i64| values.get(row * n + from..row * n + from + count as usize);
            let (left, right) = (exist[0], exist[1]);
            let right_from = second.min(n);
            Some([
                part(row, first, left)?,
                part(row, right_from, right)?,
                part(row + half, first, left)?,
                part(row + half, right_from, right)?,
            ])
        };
        let blocks = super::strassen::Blocks::of(half as i64);
        for (block, combination) in (0..blocks.count).flat_map(|block| BASIS.iter().map(move |basis| (block, basis))) {
            let end = out.len() + (blocks.steps as usize) * width;
            for row in (block * blocks.steps) as usize..(((block + 1) * blocks.steps) as usize).min(half) {
                let quarters = parts(row)?;
                out.extend((0..width).map(|j| {
                    let of = |(factor, part): (&f64, &&[f32])| factor * f64::from(part.get(j).copied().unwrap_or(0.0));
                    combination.iter().zip(&quarters).map(of).sum::<f64>() as f32
                }));
            }
            out.resize(end, 0.0);
        }
        first = second + width;
    }
    out.extend(largest.iter().map(|most| if most.is_finite() { power(most) } else { f32::NAN }));
    // Whole vectors are read.
    out.resize(all + first.max(n), 0.0);
    Some(out.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// Packs a depthwise weight, dense `[channels, 1, taps]`, into `[taps][channels]`.
///
/// `None` if `data` has another length.
pub fn depthwise(data: &[u8], size: usize, channels: usize, taps: usize) -> Option<Vec<u8>> {
    if data.len() != channels.checked_mul(taps)?.checked_mul(size)? {
        return None;
    }
    let mut out = vec![0u8; data.len()];
    for c in 0..channels {
        for t in 0..taps {
            let (from, to) = ((c * taps + t) * size, (t * channels + c) * size);
            out.get_mut(to..to + size)?.copy_from_slice(data.get(from..from + size)?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(n: usize) -> Vec<u8> {
        (1..=n as u32).flat_map(u32::to_le_bytes).collect()
    }

    fn word(data: &[u8], at: usize) -> u32 {
        u32::from_le_bytes([data[4 * at], data[4 * at + 1], data[4 * at + 2], data[4 * at + 3]])
    }

    #[test]
    fn panels_hold_every_element_once_and_zeros_elsewhere() {
        for (k, n, panel, lanes) in [(3, 10, 4, 2), (2, 5, 8, 4), (1, 1, 16, 16), (4, 16, 8, 8), (0, 3, 4, 2)] {
            let data = bytes(k * n);
            let packed = columns(&data, 4, k, n, panel, lanes).expect("right length");
            assert_eq!(packed.len(), 4 * columns_len(k, n, panel, lanes).expect("small"));
            let mut nonzero = 0;
            for p in 0..packed.len() / 4 {
                nonzero += usize::from(word(&packed, p) != 0);
            }
            assert_eq!(nonzero, k * n);
            for i in 0..k {
                for j in 0..n {
                    let p = j / panel;
                    let width = if (p + 1) * panel <= n { panel } else { (n % panel).div_ceil(lanes) * lanes };
                    assert_eq!(word(&packed, p * k * panel + i * width + j % panel), (i * n + j + 1) as u32);
                }
            }
        }
        assert!(columns(&bytes(5), 4, 2, 3, 4, 2).is_none());
    }

    #[test]
    fn a_transposed_weight_packs_as_its_transpose() {
        let (k, n) = (3, 7);
        let data = bytes(k * n);
        let mut transposed = vec![0; data.len()];
        for i in 0..k {
            for j in 0..n {
                transposed[4 * (j * k + i)..4 * (j * k + i) + 4]
                    .copy_from_slice(&data[4 * (i * n + j)..4 * (i * n + j) + 4]);
            }
        }
        assert_eq!(columns(&data, 4, k, n, 4, 2), columns_transposed(&transposed, 4, k, n, 4, 2));
    }

    #[test]
    fn the_basis_of_strassens_algorithm_holds_the_matrix() {
        for (k, n, panel, lanes) in [(4, 16, 4, 4), (6, 21, 8, 4), (2, 3, 16, 8), (8, 50, 12, 4), (1538, 9, 4, 4)] {
            let value = |i: usize, j: usize| ((i * 7 + j * 3) % 11) as f32 * 2f32.powi(j as i32 % 9 - 4) - 2.0;
            let data: Vec<u8> = (0..k * n).flat_map(|e| value(e / n, e % n).to_le_bytes()).collect();
            let packed = strassen(&data, k, n, panel, lanes).expect("right length");
            let at = |place: usize| f32::from_bits(word(&packed, place));
            let scales = strassen_scales(k as i64 / 2, n as i64, panel as i64, lanes as i64) as usize;
            let blocks = super::super::strassen::Blocks::of(k as i64 / 2);
            let mut found = vec![0f32; k * n];
            for first in (0..n).step_by(2 * panel) {
                let width = ((n - first).div_ceil(2 * lanes) * lanes).min(panel);
                for (row, j) in (0..k / 2).flat_map(|row| (0..width).map(move |j| (row, j))) {
                    let (block, step) = (row / blocks.steps as usize, row % blocks.steps as usize);
                    let [b11, b21, b22, mixed] = [0, 1, 2, 3].map(|q| {
                        let steps = (4 * block + q) * blocks.steps as usize + step;
                        at(2 * first * blocks.all() as usize + steps * width + j)
                    });
                    let quarters = [
                        (row, 0, b11),
                        (row, width, b22 + b11 - mixed),
                        (row + k / 2, 0, b21),
                        (row + k / 2, width, b22),
                    ];
                    for (i, side, x) in quarters {
                        let column = first + side + j;
                        if column < n {
                            found[i * n + column] = x * at(scales + column);
                        }
                    }
                }
            }
            for (e, x) in found.iter().enumerate() {
                assert!((x - value(e / n, e % n)).abs() <= 4e-7 * at(scales + e % n), "element {e} of {k} × {n}");
            }
        }
    }

    #[test]
    fn convolution_weights_are_grouped_panels() {
        let (groups, o, i, taps, panel, lanes) = (2, 5, 3, 4, 4, 2);
        let packed = convolution(&bytes(groups * o * i * taps), 4, groups, o, i, taps, panel, lanes).expect("length");
        let per_group = convolution_len(groups, o, taps, i, panel, lanes).expect("small") / groups;
        assert_eq!(packed.len(), 4 * per_group * groups);
        for g in 0..groups {
            for oc in 0..o {
                for ic in 0..i {
                    for t in 0..taps {
                        let width = if oc / panel == 0 { panel } else { 2 };
                        let at = g * per_group + oc / panel * taps * i * panel + (t * i + ic) * width + oc % panel;
                        assert_eq!(word(&packed, at), ((((g * o + oc) * i + ic) * taps + t) + 1) as u32);
                    }
                }
            }
        }
    }
}
