//! Sizes and addresses that are known now or at run time, with arithmetic that folds what is known.

use crate::NativeError;
use crate::builder::{Func, IntPredicate, Val};

/// A non-negative size, stride or address in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Known now.
    Static(i64),
    /// An `index` value.
    Dynamic(Val),
}

use Size::{Dynamic, Static};

impl Size {
    /// 0.
    pub const ZERO: Size = Static(0);
    /// 1.
    pub const ONE: Size = Static(1);

    /// The value if known now.
    pub fn known(self) -> Option<i64> {
        match self {
            Static(n) => Some(n),
            Dynamic(_) => None,
        }
    }

    /// Whether it is this constant.
    pub fn is(self, n: i64) -> bool {
        self == Static(n)
    }

    /// As an `index` value.
    pub fn val(self, b: &mut Func<'_>) -> Val {
        match self {
            Static(n) => b.index(n),
            Dynamic(v) => v,
        }
    }

    /// `self + other`.
    pub fn add(self, b: &mut Func<'_>, other: Size) -> Size {
        match (self, other) {
            (Static(x), Static(y)) => Static(x + y),
            (Dynamic(v), Static(c)) | (Static(c), Dynamic(v)) => Dynamic(b.add_const(v, c)),
            (Dynamic(x), Dynamic(y)) => Dynamic(b.addi(x, y)),
        }
    }

    /// `self - other`.
    pub fn sub(self, b: &mut Func<'_>, other: Size) -> Size {
        match (self, other) {
            (Static(x), Static(y)) => Static(x - y),
            (Dynamic(v), Static(c)) => Dynamic(b.add_const(v, -c)),
            (x, y) => {
                let (x, y) = (x.val(b), y.val(b));
                Dynamic(b.subi(x, y))
            }
        }
    }

    /// `self * other`.
    pub fn mul(self, b: &mut Func<'_>, other: Size) -> Size {
        match (self, other) {
            (Static(x), Static(y)) => Static(x * y),
            (Dynamic(_), Static(0)) | (Static(0), Dynamic(_)) => Static(0),
            (Dynamic(v), Static(c)) | (Static(c), Dynamic(v)) => Dynamic(b.mul_const(v, c)),
            (Dynamic(x), Dynamic(y)) => Dynamic(b.muli(x, y)),
        }
    }

    /// `self + n`.
    pub fn plus(self, b: &mut Func<'_>, n: i64) -> Size {
        self.add(b, Static(n))
    }

    /// `self * n`.
    pub fn times(self, b: &mut Func<'_>, n: i64) -> Size {
        self.mul(b, Static(n))
    }

    /// `self / n` towards zero, for `self >= 0` and a positive constant.
    pub fn div(self, b: &mut Func<'_>, n: i64) -> Size {
        match self {
            Static(x) => Static(x / n.max(1)),
            Dynamic(v) if n == 1 => Dynamic(v),
            Dynamic(v) => {
                let n = b.index(n);
                Dynamic(b.divui(v, n))
            }
        }
    }

    /// `self % n`, for `self >= 0` and a positive constant.
    pub fn rem(self, b: &mut Func<'_>, n: i64) -> Size {
        match self {
            Static(x) => Static(x % n.max(1)),
            Dynamic(_) if n == 1 => Static(0),
            Dynamic(v) => {
                let n = b.index(n);
                Dynamic(b.remui(v, n))
            }
        }
    }

    /// `⌈self / n⌉`.
    pub fn ceil_div(self, b: &mut Func<'_>, n: i64) -> Size {
        self.plus(b, n - 1).div(b, n)
    }

    /// The smaller.
    pub fn min(self, b: &mut Func<'_>, other: Size) -> Size {
        match (self, other) {
            (Static(x), Static(y)) => Static(x.min(y)),
            (x, y) if x == y => x,
            (x, y) => {
                let (x, y) = (x.val(b), y.val(b));
                Dynamic(b.minsi(x, y))
            }
        }
    }

    /// The larger.
    pub fn max(self, b: &mut Func<'_>, other: Size) -> Size {
        match (self, other) {
            (Static(x), Static(y)) => Static(x.max(y)),
            (x, y) if x == y => x,
            (x, y) => {
                let (x, y) = (x.val(b), y.val(b));
                Dynamic(b.maxsi(x, y))
            }
        }
    }

    /// Splits a flat number into `(self / extent, self % extent)`.
    pub fn split(self, b: &mut Func<'_>, extent: Size) -> (Size, Size) {
        match (self, extent) {
            (Static(x), Static(y)) => (Static(x / y.max(1)), Static(x % y.max(1))),
            (x, Static(1)) => (x, Static(0)),
            (x, y) => {
                let (x, y) = (x.val(b), y.val(b));
                (Dynamic(b.divui(x, y)), Dynamic(b.remui(x, y)))
            }
        }
    }

    /// Emits `then` if `self predicate other`; decided now where both are known.
    pub fn if_cmp(
        self,
        b: &mut Func<'_>,
        predicate: IntPredicate,
        other: Size,
        then: impl FnOnce(&mut Func<'_>) -> Result<(), NativeError>,
    ) -> Result<(), NativeError> {
        if let (Static(x), Static(y)) = (self, other) {
            let holds = match predicate {
                IntPredicate::Eq => x == y,
                IntPredicate::Ne => x != y,
                IntPredicate::Slt | IntPredicate::Ult => x < y,
                IntPredicate::Sle | IntPredicate::Ule => x <= y,
                IntPredicate::Sgt | IntPredicate::Ugt => x > y,
                IntPredicate::Sge | IntPredicate::Uge => x >= y,
            };
            return if holds { then(b) } else { Ok(()) };
        }
        let (x, y) = (self.val(b), other.val(b));
        let condition = b.cmpi(predicate, x, y);
        let scope = b.begin_if(condition, &[]);
        then(b)?;
        b.end_if(scope, &[]);
        Ok(())
    }
}

/// `for i in lo..hi` with a body over a [`Size`]; a single iteration becomes straight code.
pub(super) fn for_range(
    b: &mut Func<'_>,
    lo: Size,
    hi: Size,
    body: impl FnOnce(&mut Func<'_>, Size) -> Result<(), NativeError>,
) -> Result<(), NativeError> {
    if let (Static(lo), Static(hi)) = (lo, hi) {
        if hi <= lo {
            return Ok(());
        }
        if hi == lo + 1 {
            return body(b, Static(lo));
        }
    }
    let (lo, hi, step) = (lo.val(b), hi.val(b), b.index(1));
    let (scope, i, _) = b.begin_for(lo, hi, step, &[]);
    body(b, Dynamic(i))?;
    b.end_for(scope, &[]);
    Ok(())
}
