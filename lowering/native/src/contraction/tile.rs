//! The one table of tile shapes: (shape, instruction set, element) → register tile.

use super::size::Size;
use crate::builder::Elem;
use crate::target::{Isa, Target};
use pt2c_kernel::strassen::FACTORS;

/// A register tile: `rows × vectors` accumulators, each one hardware register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Rows (pixels of a convolution).
    pub rows: u32,
    /// Vectors of columns (output channels).
    pub vectors: u32,
    /// Lanes of a vector.
    pub lanes: u32,
}

impl Tile {
    /// Columns of the tile: the width of a packed panel.
    pub fn columns(self) -> i64 {
        i64::from(self.vectors) * i64::from(self.lanes)
    }
}

/// Tiles that keep the multipliers busy on each instruction set (rows, vectors), best first. Accumulators, the vectors
/// of the second operand and one broadcast fit the registers; without FMA one register more holds the product.
fn candidates(isa: Isa) -> &'static [(u32, u32)] {
    match isa {
        Isa::Avx512 => {
            &[(6, 4), (8, 3), (12, 2), (9, 3), (14, 2), (5, 4), (4, 4), (7, 3), (6, 3), (10, 2), (16, 1), (24, 1)]
        }
        Isa::Avx2 => &[(4, 3), (6, 2), (5, 2), (12, 1), (10, 1)],
        Isa::Baseline => &[(4, 2), (5, 2), (3, 3), (8, 1), (10, 1)],
    }
}

/// Candidates of half as wide vectors, for processors that execute two of them in the time of a whole one.
const HALVES: &[(u32, u32)] = &[(8, 3), (12, 2), (10, 2), (6, 4), (5, 5), (24, 1), (16, 1)];

/// Estimated cycles of one step of the contracted loop over all of an `m × n` output: multiply-adds, the loads beside
/// them, and a floor that covers the latency of the multiply-add. `each` is what a vector instruction takes, `reads` how
/// often a vector of a panel is read in a step.
fn cost(m: i64, n: i64, lanes: i64, rows: i64, vectors: i64, each: f64, reads: f64) -> f64 {
    let step = |rows: i64, vectors: i64| -> f64 {
        let adds = (rows * vectors) as f64 * each;
        let loads = vectors as f64 * each * reads + 0.5 * rows as f64;
        // Four cycles of latency; loads beside the arithmetic cost a little even where they overlap.
        adds.max(4.0).max(loads) + 0.12 * loads
    };
    let panels = n.div_euclid(vectors * lanes);
    let rest = (n.rem_euclid(vectors * lanes) + lanes - 1) / lanes;
    let column = |vectors: i64| -> f64 {
        let full = m.div_euclid(rows) as f64 * step(rows, vectors);
        let left = m.rem_euclid(rows);
        if left > 0 { full + step(left, vectors) } else { full }
    };
    panels as f64 * column(vectors) + if rest > 0 { column(rest) } else { 0.0 }
}

/// The tile for an output of `m` rows and `n` columns accumulated in `elem`. Where a size is unknown a large one is
/// assumed.
pub fn choose(target: &Target, elem: Elem, m: Size, n: Size) -> Tile {
    // Wide panels win near ties: they are read from the second-level cache with more work per byte.
    choose_by(target, elem, m, n, 1.0, 0.99)
}

/// The tile for a half of a product by [`super::Strassen`], whose factors are often differences of two elements.
pub fn choose_for_differences(target: &Target, m: Size, n: Size) -> Tile {
    let elements: usize = FACTORS.iter().map(|(_, second)| 1 + usize::from(second.is_some())).sum();
    choose_by(target, Elem::F32, m, n, elements as f64 / FACTORS.len() as f64, 1.0)
}

/// The cheapest tile; a candidate must cost less than `gain` of those before it.
fn choose_by(target: &Target, elem: Elem, m: Size, n: Size, reads: f64, gain: f64) -> Tile {
    let m = m.known().unwrap_or(240).max(1);
    let n = n.known().unwrap_or(480).max(1);
    // Few columns: narrower vectors waste fewer lanes, and two of them start in a cycle.
    let mut lanes = target.lanes_of(elem.bytes());
    while lanes > 4 && n <= i64::from(lanes / 2) {
        lanes /= 2;
    }
    let l = i64::from(lanes);
    let mut best = Tile { rows: 4, vectors: 2, lanes };
    let mut least = f64::INFINITY;
    if m == 1 {
        // Bound by the stream of the second operand: a row of independent sums as wide as the registers allow.
        let vectors = match target.isa {
            Isa::Avx512 => 8,
            Isa::Avx2 | Isa::Baseline => 6,
        };
        let vectors = vectors.min((n + l - 1) / l).max(1) as u32;
        return Tile { rows: 1, vectors, lanes };
    }
    let later = gain;
    let mut consider = |list: &[(u32, u32)], lanes: u32, each: f64, gain: f64| {
        let mut gain = gain;
        for (rows, vectors) in list {
            // An even split: 9 rows are 5 + 4, not 8 + 1.
            let tiles = (m + i64::from(*rows) - 1) / i64::from(*rows);
            let even = (m + tiles - 1) / tiles;
            let c = cost(m, n, i64::from(lanes), even, i64::from(*vectors), each, reads);
            if c < gain * least {
                (least, gain) = (c, later);
                best = Tile { rows: even as u32, vectors: *vectors, lanes };
            }
        }
    };
    consider(candidates(target.isa), lanes, 1.0, later);
    if target.splits_vectors() && lanes == target.lanes_of(elem.bytes()) && lanes > 4 {
        consider(HALVES, lanes / 2, 0.5, 0.93);
    }
    best
}
