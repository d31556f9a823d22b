//! Scalar and lane-wise arithmetic (`arith`, `math`). Operands of one operation have one type; results follow it.

use super::{Elem, Func, Type, Val};

/// Float comparisons. `O*`: false when an operand is NaN; `U*`: true then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatPredicate {
    /// Equal.
    Oeq,
    /// Greater.
    Ogt,
    /// Greater or equal.
    Oge,
    /// Less.
    Olt,
    /// Less or equal.
    Ole,
    /// Not equal, or a NaN (C's `!=`).
    Une,
    /// Greater, or a NaN.
    Ugt,
    /// Less, or a NaN.
    Ult,
    /// An operand is NaN.
    Uno,
    /// No operand is NaN.
    Ord,
}

impl FloatPredicate {
    fn name(self) -> &'static str {
        match self {
            FloatPredicate::Oeq => "oeq",
            FloatPredicate::Ogt => "ogt",
            FloatPredicate::Oge => "oge",
            FloatPredicate::Olt => "olt",
            FloatPredicate::Ole => "ole",
            FloatPredicate::Une => "une",
            FloatPredicate::Ugt => "ugt",
            FloatPredicate::Ult => "ult",
            FloatPredicate::Uno => "uno",
            FloatPredicate::Ord => "ord",
        }
    }
}

/// Integer comparisons; `S*` signed, `U*` unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntPredicate {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Signed less.
    Slt,
    /// Signed less or equal.
    Sle,
    /// Signed greater.
    Sgt,
    /// Signed greater or equal.
    Sge,
    /// Unsigned less.
    Ult,
    /// Unsigned less or equal.
    Ule,
    /// Unsigned greater.
    Ugt,
    /// Unsigned greater or equal.
    Uge,
}

impl IntPredicate {
    fn name(self) -> &'static str {
        match self {
            IntPredicate::Eq => "eq",
            IntPredicate::Ne => "ne",
            IntPredicate::Slt => "slt",
            IntPredicate::Sle => "sle",
            IntPredicate::Sgt => "sgt",
            IntPredicate::Sge => "sge",
            IntPredicate::Ult => "ult",
            IntPredicate::Ule => "ule",
            IntPredicate::Ugt => "ugt",
            IntPredicate::Uge => "uge",
        }
    }
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl Func<'_> {
            $($(#[$doc])* pub fn $name(&mut self, a: Val, b: Val) -> Val {
                self.op(a.ty, format!(concat!($text, " {}, {} : {}"), a, b, a.ty))
            })*
        }
    };
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl Func<'_> {
            $($(#[$doc])* pub fn $name(&mut self, a: Val) -> Val {
                self.op(a.ty, format!(concat!($text, " {} : {}"), a, a.ty))
            })*
        }
    };
}

binary! {
    /// `a + b` of integers or indices, wrapping.
    addi = "arith.addi";
    /// `a - b`, wrapping.
    subi = "arith.subi";
    /// `a * b`, wrapping.
    muli = "arith.muli";
    /// Signed division towards zero; `b` must not be 0, nor −1 with the smallest `a`.
    divsi = "arith.divsi";
    /// Unsigned division; `b` must not be 0.
    divui = "arith.divui";
    /// Signed remainder with the sign of `a`.
    remsi = "arith.remsi";
    /// Unsigned remainder.
    remui = "arith.remui";
    /// Bitwise and.
    andi = "arith.andi";
    /// Bitwise or.
    ori = "arith.ori";
    /// Bitwise exclusive or.
    xori = "arith.xori";
    /// Shift left; the amount must be below the width.
    shli = "arith.shli";
    /// Arithmetic shift right.
    shrsi = "arith.shrsi";
    /// Logical shift right.
    shrui = "arith.shrui";
    /// Signed minimum.
    minsi = "arith.minsi";
    /// Signed maximum.
    maxsi = "arith.maxsi";
    /// Unsigned minimum.
    minui = "arith.minui";
    /// Unsigned maximum.
    maxui = "arith.maxui";
    /// `a + b` of floats.
    addf = "arith.addf";
    /// `a - b` of floats.
    subf = "arith.subf";
    /// `a * b` of floats.
    mulf = "arith.mulf";
    /// `a / b` of floats.
    divf = "arith.divf";
    /// C's `fmod` (a call per lane; exact).
    remf = "arith.remf";
    /// Smaller of floats; NaN if either is.
    minimumf = "arith.minimumf";
    /// Larger of floats; NaN if either is.
    maximumf = "arith.maximumf";
    /// Smaller of floats; the other one if one is NaN.
    minnumf = "arith.minnumf";
    /// Larger of floats; the other one if one is NaN.
    maxnumf = "arith.maxnumf";
    /// Magnitude of `a`, sign of `b`.
    copysign = "math.copysign";
}

unary! {
    /// `-a` of floats (flips the sign bit).
    negf = "arith.negf";
    /// Magnitude.
    absf = "math.absf";
    /// Square root, correctly rounded.
    sqrt = "math.sqrt";
    /// Round towards −∞ (slow on the baseline target: a call per lane).
    floor = "math.floor";
    /// Round towards +∞ (see [`Func::floor`]).
    ceil = "math.ceil";
    /// Round towards zero (see [`Func::floor`]).
    trunc = "math.trunc";
    /// Round to nearest, ties to even (see [`Func::floor`]).
    roundeven = "math.roundeven";
    /// Magnitude of a signed integer, wrapping.
    absi = "math.absi";
    /// Leading zero bits.
    ctlz = "math.ctlz";
    /// Trailing zero bits.
    cttz = "math.cttz";
    /// Set bits.
    ctpop = "math.ctpop";
}

impl Func<'_> {
    /// Integer comparison; the result is `i1` per lane.
    pub fn cmpi(&mut self, predicate: IntPredicate, a: Val, b: Val) -> Val {
        self.op(a.ty.with_elem(Elem::I1), format!("arith.cmpi {}, {a}, {b} : {}", predicate.name(), a.ty))
    }

    /// Float comparison; the result is `i1` per lane.
    pub fn cmpf(&mut self, predicate: FloatPredicate, a: Val, b: Val) -> Val {
        self.op(a.ty.with_elem(Elem::I1), format!("arith.cmpf {}, {a}, {b} : {}", predicate.name(), a.ty))
    }

    /// `condition ? a : b`, lane by lane; a scalar condition chooses whole vectors.
    pub fn select(&mut self, condition: Val, a: Val, b: Val) -> Val {
        let text = if condition.ty.is_vector() {
            format!("arith.select {condition}, {a}, {b} : {}, {}", condition.ty, a.ty)
        } else {
            format!("arith.select {condition}, {a}, {b} : {}", a.ty)
        };
        self.op(a.ty, text)
    }

    /// Logical not of truth values.
    pub fn not(&mut self, a: Val) -> Val {
        let one = self.boolean(a.ty, true);
        self.xori(a, one)
    }

    /// `a * b + c`: one rounding where the target has FMA (f32, f64), two elsewhere (never a library call).
    pub fn mul_add(&mut self, a: Val, b: Val, c: Val) -> Val {
        let fusible = matches!(a.ty.elem(), Elem::F32 | Elem::F64);
        if self.target.fma && fusible {
            self.op(a.ty, format!("math.fma {a}, {b}, {c} : {}", a.ty))
        } else {
            let product = self.mulf(a, b);
            self.addf(product, c)
        }
    }

    /// The same bits as another type of equal total width.
    pub fn bitcast(&mut self, a: Val, elem: Elem) -> Val {
        let ty = a.ty.with_elem(elem);
        if ty == a.ty {
            return a;
        }
        self.op(ty, format!("arith.bitcast {a} : {} to {ty}", a.ty))
    }

    /// Integer (or index, or truth value) to integer of the element type of `ty`: extended by sign or by zeros, or
    /// truncated. The shape stays that of `a`.
    pub fn cast_int(&mut self, a: Val, ty: Type, signed: bool) -> Val {
        let elem = ty.elem();
        let to = a.ty.with_elem(elem);
        let from = a.ty.elem();
        if from == elem {
            return a;
        }
        if from == Elem::Index || elem == Elem::Index {
            let name = if signed { "index_cast" } else { "index_castui" };
            return self.op(to, format!("arith.{name} {a} : {} to {to}", a.ty));
        }
        let name = if from.bits() > elem.bits() {
            "trunci"
        } else if signed && from != Elem::I1 {
            "extsi"
        } else {
            "extui"
        };
        self.op(to, format!("arith.{name} {a} : {} to {to}", a.ty))
    }

    /// Integer (or truth value) to float, rounded to nearest.
    pub fn int_to_float(&mut self, a: Val, elem: Elem, signed: bool) -> Val {
        let to = a.ty.with_elem(elem);
        let name = if signed && a.ty.elem() != Elem::I1 { "sitofp" } else { "uitofp" };
        self.op(to, format!("arith.{name} {a} : {} to {to}", a.ty))
    }

    /// Float to integer towards zero; the value must fit (poison otherwise).
    pub fn float_to_int(&mut self, a: Val, elem: Elem, signed: bool) -> Val {
        let to = a.ty.with_elem(elem);
        let name = if signed { "fptosi" } else { "fptoui" };
        self.op(to, format!("arith.{name} {a} : {} to {to}", a.ty))
    }

    /// An `index` as `i64`.
    pub fn index_to_i64(&mut self, a: Val) -> Val {
        self.cast_int(a, Type::I64, true)
    }

    /// An integer as `index` (signed).
    pub fn to_index(&mut self, a: Val) -> Val {
        self.cast_int(a, Type::INDEX, true)
    }

    /// `a + constant`; nothing is written for 0.
    pub fn add_const(&mut self, a: Val, constant: i64) -> Val {
        if constant == 0 {
            return a;
        }
        let c = self.int(a.ty, constant);
        self.addi(a, c)
    }

    /// `a * constant`; nothing is written for 1.
    pub fn mul_const(&mut self, a: Val, constant: i64) -> Val {
        match constant {
            1 => a,
            0 => self.int(a.ty, 0),
            _ => {
                let c = self.int(a.ty, constant);
                self.muli(a, c)
            }
        }
    }
}
