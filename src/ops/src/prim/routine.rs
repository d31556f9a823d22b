//! Classical routines of the runtime (`runtime/routines`) as one primitive: what their buffers are. The first results
//! are the operands as the routine leaves them, so that a routine works in place on copies; scratch memory is a result
//! that nobody reads.

use crate::{Call, OpDef, OpError, Tensor, shape};
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};
use pt2c_routines::host::Numbers;

/// The family.
pub const OPS: &[OpDef] =
    &[OpDef::new("routine(Tensor[] operands, str name, SymInt[] batch, SymInt[] sizes) -> Tensor[]", infer, eval)];

/// Element type of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Element {
    /// The precision of the call: f32 or f64, as its first operand of numbers.
    Real,
    /// Real or complex numbers of that precision.
    Scalar,
    /// This one.
    Is(DType),
}

/// A buffer of a routine.
#[derive(Clone, Copy)]
pub struct Slot {
    /// Starts as a copy of the next operand; otherwise with zeros, which the routine does not rely on.
    pub operand: bool,
    /// One for all items of the batch.
    pub shared: bool,
    /// Its element type.
    pub element: Element,
    /// The shape of an item's part.
    pub shape: fn(&[Dim]) -> Vec<Dim>,
}

/// A routine.
pub struct Routine {
    /// Its name in the runtime.
    pub name: &'static str,
    /// How many sizes it takes.
    pub sizes: usize,
    /// Its buffers in order.
    pub slots: &'static [Slot],
    /// Rough work on an item, in multiplications.
    pub cost: fn(&[Dim]) -> Dim,
}

const fn slot(operand: bool, element: Element, shape: fn(&[Dim]) -> Vec<Dim>) -> Slot {
    Slot { operand, shared: false, element, shape }
}

/// What the name of a routine begins with that works on complex numbers as pairs of reals: wherever it has `Scalar`
/// elements, operands and results have a last dimension of 2.
pub const PAIRS: &str = "complex.";

const REAL: Element = Element::Real;
const ANY: Element = Element::Scalar;
const I32: Element = Element::Is(DType::I32);
const I64: Element = Element::Is(DType::I64);
const F64: Element = Element::Is(DType::F64);
const BOOL: Element = Element::Is(DType::Bool);

/// The shape of these sizes: `shape!(0, 1)` is a matrix of the first two.
macro_rules! sized {
    () => { |_| Vec::new() };
    ($($at:literal),+) => { |s| vec![$(s[$at].clone()),+] };
}

fn least(s: &[Dim]) -> Dim {
    Dim::min_of([s[0].clone(), s[1].clone()])
}

fn cube(s: &[Dim]) -> Dim {
    &s[0] * &s[0] * &s[0]
}

fn area(s: &[Dim]) -> Dim {
    s.iter().take(2).fold(Dim::int(8), |n, d| n * d)
}

const fn elementwise(name: &'static str, operands: usize) -> Routine {
    const ONE: &[Slot] = &[slot(true, REAL, sized!())];
    const TWO: &[Slot] = &[slot(true, REAL, sized!()), slot(true, REAL, sized!())];
    Routine { name, sizes: 0, slots: if operands == 1 { ONE } else { TWO }, cost: |_| Dim::int(64) }
}

const fn pooling(name: &'static str, sizes: usize, places: bool, all_channels: bool) -> Routine {
    const X: Slot = Slot { operand: true, shared: true, element: REAL, shape: sized!(0, 1, 2, 3) };
    const SCALE: Slot = Slot { operand: true, shared: true, element: F64, shape: sized!() };
    const ROI: Slot = slot(true, REAL, |_| vec![Dim::int(5)]);
    const ALL: fn(&[Dim]) -> Vec<Dim> = sized!(1, 4, 5);
    const OWN: fn(&[Dim]) -> Vec<Dim> = |s| vec![s[1].floor_div(&(&s[4] * &s[5])), s[4].clone(), s[5].clone()];
    const WITHOUT: &[Slot] = &[X, ROI, SCALE, slot(false, REAL, ALL)];
    const WITH: &[Slot] = &[X, ROI, SCALE, slot(false, REAL, ALL), slot(false, I32, ALL)];
    const POSITION: &[Slot] = &[X, ROI, SCALE, slot(false, REAL, OWN), slot(false, I32, OWN)];
    let slots = if !places {
        WITHOUT
    } else if all_channels {
        WITH
    } else {
        POSITION
    };
    Routine { name, sizes, slots, cost: |s| &s[1] * &s[4] * &s[5] * 32 }
}

/// All routines.
pub const ROUTINES: &[Routine] = &[
    Routine {
        name: "lu",
        sizes: 2,
        slots: &[slot(true, ANY, sized!(0, 1)), slot(false, I32, |s| vec![least(s)]), slot(false, I32, sized!())],
        cost: cube,
    },
    Routine {
        name: "permutation",
        sizes: 2,
        slots: &[slot(true, I32, sized!(0)), slot(false, I64, sized!(1))],
        cost: area,
    },
    Routine {
        name: "cholesky",
        sizes: 1,
        slots: &[slot(true, ANY, sized!(0, 0)), slot(false, I32, sized!())],
        cost: cube,
    },
    Routine {
        name: "ldl",
        sizes: 2,
        slots: &[slot(true, ANY, sized!(0, 0)), slot(false, I32, sized!(0)), slot(false, I32, sized!())],
        cost: cube,
    },
    Routine {
        name: "ldl_solve",
        sizes: 3,
        slots: &[slot(true, ANY, sized!(0, 0)), slot(true, I32, sized!(0)), slot(true, ANY, sized!(0, 1))],
        cost: cube,
    },
    Routine {
        name: "qr",
        sizes: 2,
        slots: &[slot(true, ANY, sized!(0, 1)), slot(false, ANY, |s| vec![least(s)]), slot(false, ANY, sized!(1))],
        cost: cube,
    },
    Routine {
        name: "householder_product",
        sizes: 4,
        slots: &[
            slot(true, ANY, sized!(0, 1)),
            slot(true, ANY, sized!(2)),
            slot(false, ANY, sized!(0, 3)),
            slot(false, ANY, sized!(3)),
        ],
        cost: cube,
    },
    Routine {
        name: "solve_triangular",
        sizes: 4,
        slots: &[slot(true, ANY, sized!(0, 0)), slot(true, ANY, sized!(0, 1))],
        cost: |s| &s[0] * &s[0] * &s[1],
    },
    Routine {
        name: "eigh",
        sizes: 1,
        slots: &[slot(true, ANY, sized!(0, 0)), slot(false, REAL, sized!(0)), slot(false, ANY, sized!(0, 0))],
        cost: |s| cube(s) * 16,
    },
    Routine {
        name: "eig",
        sizes: 1,
        slots: &[
            slot(true, ANY, sized!(0, 0)),
            slot(false, ANY, sized!(0)),
            slot(false, ANY, sized!(0, 0)),
            slot(false, ANY, sized!(0, 0)),
            slot(false, I32, sized!()),
        ],
        cost: |s| cube(s) * 32,
    },
    Routine {
        name: "svd",
        sizes: 4,
        slots: &[
            slot(true, ANY, sized!(0, 1)),
            slot(false, REAL, |s| vec![least(s)]),
            slot(false, ANY, sized!(2, 0)),
            slot(false, ANY, sized!(3, 1)),
        ],
        cost: |s| cube(s) * 16,
    },
    Routine {
        name: "matrix_exp",
        sizes: 1,
        slots: &[slot(true, REAL, sized!(0, 0)), slot(false, REAL, sized!(0, 0)), slot(false, REAL, sized!(0, 0))],
        cost: |s| cube(s) * 24,
    },
    Routine {
        name: "ctc_loss",
        sizes: 4,
        slots: &[
            slot(true, REAL, sized!(0, 1)),
            slot(true, I64, sized!(2)),
            slot(true, I64, |_| vec![Dim::int(2)]),
            slot(false, REAL, sized!()),
            slot(false, F64, |s| vec![&s[2] * 4 + 2]),
        ],
        cost: |s| &s[0] * &s[2] * 64,
    },
    Routine {
        name: "nms",
        sizes: 1,
        slots: &[
            slot(true, REAL, |s| vec![s[0].clone(), Dim::int(4)]),
            slot(true, F64, sized!()),
            slot(false, BOOL, sized!(0)),
        ],
        cost: |s| &s[0] * &s[0] * 8,
    },
    pooling("roi_align", 8, false, true),
    pooling("roi_pool", 6, true, true),
    pooling("ps_roi_align", 7, true, false),
    pooling("ps_roi_pool", 6, true, false),
    Routine {
        name: "deform_columns",
        sizes: 15,
        slots: &[
            slot(true, REAL, sized!(0, 1, 2)),
            slot(true, REAL, |s| vec![&s[13] * &s[5] * &s[6] * 2, s[3].clone(), s[4].clone()]),
            slot(true, REAL, |s| vec![&s[14] * &s[13] * &s[5] * &s[6], s[3].clone(), s[4].clone()]),
            slot(false, REAL, |s| vec![&s[0] * &s[5] * &s[6], &s[3] * &s[4]]),
        ],
        cost: |s| &s[0] * &s[5] * &s[6] * &s[3] * &s[4] * 16,
    },
    elementwise("airy_ai", 1),
    elementwise("bessel_j0", 1),
    elementwise("bessel_j1", 1),
    elementwise("bessel_y0", 1),
    elementwise("bessel_y1", 1),
    elementwise("modified_bessel_i0", 1),
    elementwise("modified_bessel_i1", 1),
    elementwise("modified_bessel_k0", 1),
    elementwise("modified_bessel_k1", 1),
    elementwise("scaled_modified_bessel_k0", 1),
    elementwise("scaled_modified_bessel_k1", 1),
    elementwise("spherical_bessel_j0", 1),
    elementwise("igamma", 2),
    elementwise("igammac", 2),
    elementwise("zeta", 2),
    elementwise("chebyshev_polynomial_t", 2),
    elementwise("chebyshev_polynomial_u", 2),
    elementwise("chebyshev_polynomial_v", 2),
    elementwise("chebyshev_polynomial_w", 2),
    elementwise("shifted_chebyshev_polynomial_t", 2),
    elementwise("shifted_chebyshev_polynomial_u", 2),
    elementwise("shifted_chebyshev_polynomial_v", 2),
    elementwise("shifted_chebyshev_polynomial_w", 2),
    elementwise("hermite_polynomial_h", 2),
    elementwise("hermite_polynomial_he", 2),
    elementwise("laguerre_polynomial_l", 2),
    elementwise("legendre_polynomial_p", 2),
];

/// The routine of this name, and whether it works on pairs.
pub fn routine(name: &str) -> Option<(&'static Routine, bool)> {
    let plain = name.strip_prefix(PAIRS);
    let known = ROUTINES.iter().find(|r| r.name == plain.unwrap_or(name))?;
    Some((known, plain.is_some()))
}

/// Runs a routine over dense little-endian buffers, which it changes; see [`pt2c_routines::host::call`].
///
/// # Errors
/// If there is no such routine, or a buffer is too small for it.
pub fn run(
    name: &str,
    double: bool,
    complex: bool,
    buffers: &mut [Vec<u8>],
    sizes: &[usize],
    count: usize,
) -> Result<(), String> {
    pt2c_routines::host::call(name, Numbers { double, complex }, buffers, sizes, count)
}

fn infer(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let name = c.str("name")?;
    let (known, pairs) = routine(name).ok_or_else(|| OpError::Invalid(format!("there is no routine `{name}`")))?;
    let (batch, sizes, operands) = (c.dims("batch")?, c.dims("sizes")?, c.tensors("operands")?);
    let taken: Vec<&Slot> = known.slots.iter().filter(|s| s.operand).collect();
    if sizes.len() != known.sizes || operands.len() != taken.len() {
        return Err(OpError::Invalid(format!("`{name}` takes {} operands and {} sizes", taken.len(), known.sizes)));
    }
    let number = operands.iter().zip(&taken).find(|(_, s)| matches!(s.element, Element::Real | Element::Scalar));
    let scalar = number.map_or(DType::F32, |(f, _)| f.dtype);
    let real = if scalar.is_complex() { scalar.to_real() } else { scalar };
    if !matches!(real, DType::F32 | DType::F64) {
        return Err(OpError::Invalid(format!("`{name}` computes in f32 or f64, not {real}")));
    }
    let mut given = operands.iter();
    let mut facts = Vec::new();
    for slot in known.slots {
        let dtype = match slot.element {
            Element::Real => real,
            Element::Scalar => scalar,
            Element::Is(dtype) => dtype,
        };
        let mut part = (slot.shape)(&sizes);
        if pairs && slot.element == Element::Scalar {
            part.push(Dim::int(2));
        }
        let shape = if slot.shared { part } else { [&batch[..], &part[..]].concat() };
        if slot.operand
            && let Some(operand) = given.next()
        {
            let fits = operand.dtype == dtype
                && operand.rank() == shape.len()
                && operand.shape.iter().zip(&shape).all(|(a, b)| !c.scope.prove_eq(a, b).is_no());
            if !fits {
                let wanted = Fact::new(dtype, shape);
                return Err(OpError::Invalid(format!("an operand of `{name}` is {operand}, not {wanted}")));
            }
        }
        facts.push(Fact::new(dtype, shape));
    }
    Ok(facts)
}

fn eval(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let facts = crate::host::inferred(c)?;
    let name = c.str("name")?;
    let (known, pairs) = routine(name).ok_or_else(|| OpError::Invalid(format!("there is no routine `{name}`")))?;
    let (batch, sizes) = (c.sizes("batch")?, crate::host::ints(&c.dims("sizes")?)?);
    let mut operands = c.tensors("operands")?.into_iter();
    let mut buffers = Vec::new();
    let mut numbers = Numbers { double: false, complex: pairs };
    for (slot, fact) in known.slots.iter().zip(&facts) {
        let count: usize = shape::known(&fact.shape)?.iter().product();
        if matches!(slot.element, Element::Real | Element::Scalar) {
            numbers.double |= matches!(fact.dtype, DType::F64 | DType::C128);
            numbers.complex |= fact.dtype.is_complex();
        }
        let given = if slot.operand { operands.next() } else { None };
        buffers.push(given.map_or_else(|| vec![0; count * fact.dtype.size()], Tensor::to_bytes));
    }
    // Negative sizes (of padding, say) travel as they are.
    let sizes: Vec<usize> = sizes.iter().map(|&n| n as usize).collect();
    let count = batch.iter().product();
    pt2c_routines::host::call(known.name, numbers, &mut buffers, &sizes, count).map_err(OpError::Invalid)?;
    facts.iter().zip(&buffers).map(|(f, bytes)| Tensor::from_bytes(f.dtype, &shape::known(&f.shape)?, bytes)).collect()
}
