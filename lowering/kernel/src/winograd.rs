//! Winograd's minimal filtering F(2×2, 3×3) (Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", 2015):
//! four outputs of a 3×3 window of stride 1 by 16 multiplications for each pair of channels instead of 36.
//!
//! `Y = Aᵀ [ Σ_c (G g_c Gᵀ) ⊙ (Bᵀ d_c B) ] A` for a 4×4 piece `d` of the input and the window `g`. All constants are 0,
//! ±1 and ½, so that results differ from the direct sum by little more than another order of summation does; the larger
//! F(4×4, 3×3) saves more multiplications, but costs two decimal digits and 4× the weights.

/// Outputs of a tile along a dimension.
pub const OUTPUTS: usize = 2;
/// Inputs of a tile along a dimension.
pub const INPUTS: usize = 4;
/// Products of a tile.
pub const PRODUCTS: i64 = (INPUTS * INPUTS) as i64;

/// Bᵀ: transforms inputs.
pub const INPUT: [[f64; INPUTS]; INPUTS] =
    [[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0, 1.0, 0.0, -1.0]];
/// G: transforms windows.
pub const WINDOW: [[f64; 3]; INPUTS] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
/// Aᵀ: transforms sums of products.
pub const OUTPUT: [[f64; INPUTS]; OUTPUTS] = [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, -1.0]];

/// `G g Gᵀ` of a window in row-major order, as the 16 factors of a tile.
pub fn window_factors(window: &[f64; 9]) -> [f64; INPUTS * INPUTS] {
    let mut factors = [0.0; INPUTS * INPUTS];
    for (at, factor) in factors.iter_mut().enumerate() {
        let (i, j) = (at / INPUTS, at % INPUTS);
        for (tap, w) in window.iter().enumerate() {
            *factor += WINDOW[i][tap / 3] * w * WINDOW[j][tap % 3];
        }
    }
    factors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_transforms_make_a_convolution() {
        let d: Vec<f64> = (0..16).map(|i| f64::from(i * i % 11) - 3.0).collect();
        let g: [f64; 9] = std::array::from_fn(|i| (i as f64 * 7.0) % 5.0 - 1.5);
        let factors = window_factors(&g);
        let transformed = |i: usize, j: usize| -> f64 {
            let mut sum = 0.0;
            for (at, x) in d.iter().enumerate() {
                sum += INPUT[i][at / 4] * x * INPUT[j][at % 4];
            }
            sum
        };
        for y in 0..2 {
            for x in 0..2 {
                let mut direct = 0.0;
                for (tap, w) in g.iter().enumerate() {
                    direct += d[(y + tap / 3) * 4 + x + tap % 3] * w;
                }
                let mut fast = 0.0;
                for i in 0..4 {
                    for j in 0..4 {
                        fast += OUTPUT[y][i] * transformed(i, j) * factors[i * 4 + j] * OUTPUT[x][j];
                    }
                }
                assert!((direct - fast).abs() < 1e-12, "{direct} {fast}");
            }
        }
    }
}
