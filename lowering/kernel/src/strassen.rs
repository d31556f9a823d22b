//! Matrix products in seven eighths of the multiplications: one step of Strassen's algorithm in Winograd's form (Strassen,
//! "Gaussian elimination is not optimal", 1969; Winograd, 1971).
//!
//! Rows of A, columns of B and the contracted index are halved; seven products of sums of quarters make the four quarters
//! of C. B is a constant, kept as four quarters in another basis (Karstadt & Schwartz, "Matrix multiplication, a little
//! faster", 2017): each product's factor is one of them or the difference of two, so that it needs neither more memory
//! nor sums that are stored.
//!
//! Sums mix rows and columns, and what is large in one would drown what is small in another. Therefore rows of A and
//! columns of B are first multiplied by powers of two that bring their largest magnitudes into `[1, 2)`, and results by
//! the inverse ones (Ballard, Benson, Druinsky, Lipshitz & Schwartz, "Improving the numerical stability of fast matrix
//! multiplication", 2016). The error of an element is then at most a small constant times
//! `K² · ε · max|row of A| · max|column of B|`: it depends on its own row and column alone, as a direct sum's does, whose
//! bound `K · ε · Σ|a||b|` is the sharper one where a few elements are large. In BERT-base and GPT-2 it is about twice the
//! direct sum's. A row or column with an infinite element or NaN is NaN all over, and does not touch others.

/// Products of quarters.
pub const PRODUCTS: usize = 7;
/// Quarters of a matrix, row-major: (0, 0), (0, 1), (1, 0), (1, 1).
pub const QUARTERS: usize = 4;

/// What each product takes of A: factors of its quarters.
pub const ROWS: [[f64; QUARTERS]; PRODUCTS] = [
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 1.0, 0.0, 0.0],
    [-1.0, 0.0, 1.0, 1.0],
    [0.0, 0.0, 1.0, 1.0],
    [1.0, 1.0, -1.0, -1.0],
    [1.0, 0.0, -1.0, 0.0],
    [0.0, 0.0, 0.0, 1.0],
];

/// The basis that B is kept in: factors of its quarters.
pub const BASIS: [[f64; QUARTERS]; QUARTERS] =
    [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, -1.0, 0.0, 1.0]];

/// What each product takes of B: an element of the basis, or one less another.
pub const FACTORS: [(usize, Option<usize>); PRODUCTS] =
    [(0, None), (1, None), (3, None), (2, Some(3)), (2, None), (3, Some(0)), (1, Some(3))];

/// Which products sum to each quarter of C.
pub const OUTPUT: [[bool; PRODUCTS]; QUARTERS] = [
    [true, true, false, false, false, false, false],
    [true, false, true, true, true, false, false],
    [true, false, true, false, false, true, true],
    [true, false, true, true, false, true, false],
];

/// Elements between the ends of the rows of A's sums: rows fall on different cache sets.
const GAP: i64 = 16;

/// Distance of rows of A's sums, for half the contracted extent.
pub fn row_stride(half: i64) -> i64 {
    half + GAP
}

/// What a product takes of four quarters of B.
pub fn factor(product: usize, quarters: &[f64; QUARTERS]) -> f64 {
    let element = |at: usize| BASIS[at].iter().zip(quarters).map(|(f, q)| f * q).sum::<f64>();
    let (first, second) = FACTORS[product];
    element(first) - second.map_or(0.0, element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_products_are_a_matrix_product() {
        let a = [3.0, -5.0, 7.0, 2.0];
        let b = [11.0, 4.0, -6.0, 9.0];
        let products: Vec<f64> =
            (0..PRODUCTS).map(|p| ROWS[p].iter().zip(a).map(|(f, x)| f * x).sum::<f64>() * factor(p, &b)).collect();
        for (quarter, takes) in OUTPUT.iter().enumerate() {
            let (i, j) = (quarter / 2, quarter % 2);
            let direct = a[2 * i] * b[j] + a[2 * i + 1] * b[2 + j];
            let sum: f64 = takes.iter().zip(&products).filter(|(t, _)| **t).map(|(_, p)| p).sum();
            assert_eq!(direct, sum, "quarter {quarter}");
        }
    }
}
