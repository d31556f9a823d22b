//! Typed arithmetic on scalars and vectors: the vocabulary that the function emitters are written in.
//!
//! [`Ops`] pairs the text builder with one value type, so that an algorithm is written once and serves a scalar `f32`,
//! a `vector<4xf32>` on the SSE2 baseline and a `vector<16xf32>` on AVX-512.

use crate::builder::{Elem, Func, Type, Val};
use crate::target::Isa;

/// Emits operations on values of one floating-point type, f32 or f64, scalar or vector.
pub(super) struct Ops<'a, 't> {
    pub b: &'a mut Func<'t>,
    pub ty: Type,
}

/// Comparison predicates used by the emitters (all ordered: false when an operand is NaN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cmp {
    Lt,
    Gt,
    Ge,
    Eq,
}

impl<'a, 't> Ops<'a, 't> {
    /// Operations on `ty`.
    pub fn new(b: &'a mut Func<'t>, ty: Type) -> Self {
        Ops { b, ty }
    }

    /// The same lanes in f64: algorithms that need more than 24 bits on the way run there.
    pub fn wide(&mut self) -> Ops<'_, 't> {
        Ops { b: self.b, ty: self.ty.with_elem(Elem::F64) }
    }

    pub fn is_f64(&self) -> bool {
        self.ty.elem() == Elem::F64
    }
    /// The integer type of the same width and lanes.
    fn it(&self) -> Type {
        self.ty.with_elem(self.ty.elem().same_width_int())
    }
    /// The type of a comparison's result.
    fn mt(&self) -> Type {
        self.ty.with_elem(Elem::I1)
    }

    /// A floating-point constant in every lane.
    pub fn f(&mut self, x: f64) -> Val {
        self.b.float(self.ty, x)
    }
    /// An integer constant of the companion integer type.
    pub fn i(&mut self, x: i64) -> Val {
        let it = self.it();
        self.b.int(it, x)
    }

    fn bin(&mut self, op: &str, x: Val, y: Val) -> Val {
        let t = self.ty;
        self.b.op(t, format!("{op} {x}, {y} : {t}"))
    }
    fn ibin(&mut self, op: &str, x: Val, y: Val) -> Val {
        let t = self.it();
        self.b.op(t, format!("{op} {x}, {y} : {t}"))
    }
    fn mbin(&mut self, op: &str, x: Val, y: Val) -> Val {
        let t = self.mt();
        self.b.op(t, format!("{op} {x}, {y} : {t}"))
    }
    fn un(&mut self, op: &str, x: Val) -> Val {
        let t = self.ty;
        self.b.op(t, format!("{op} {x} : {t}"))
    }

    pub fn add(&mut self, x: Val, y: Val) -> Val {
        self.bin("arith.addf", x, y)
    }
    pub fn sub(&mut self, x: Val, y: Val) -> Val {
        self.bin("arith.subf", x, y)
    }
    pub fn mul(&mut self, x: Val, y: Val) -> Val {
        self.bin("arith.mulf", x, y)
    }
    pub fn div(&mut self, x: Val, y: Val) -> Val {
        self.bin("arith.divf", x, y)
    }
    pub fn neg(&mut self, x: Val) -> Val {
        self.un("arith.negf", x)
    }
    pub fn abs(&mut self, x: Val) -> Val {
        self.un("math.absf", x)
    }
    pub fn sqrt(&mut self, x: Val) -> Val {
        self.un("math.sqrt", x)
    }
    pub fn copysign(&mut self, magnitude: Val, sign: Val) -> Val {
        self.bin("math.copysign", magnitude, sign)
    }
    pub fn add_c(&mut self, x: Val, c: f64) -> Val {
        let c = self.f(c);
        self.add(x, c)
    }
    pub fn mul_c(&mut self, x: Val, c: f64) -> Val {
        let c = self.f(c);
        self.mul(x, c)
    }
    /// `c - x`.
    pub fn c_sub(&mut self, c: f64, x: Val) -> Val {
        let c = self.f(c);
        self.sub(c, x)
    }
    /// `c / x`.
    pub fn c_div(&mut self, c: f64, x: Val) -> Val {
        let c = self.f(c);
        self.div(c, x)
    }
    /// `x * y + z`: one rounding where the target has FMA, two where a fused operation would be a library call per lane.
    pub fn fma(&mut self, x: Val, y: Val, z: Val) -> Val {
        if self.b.target.fma {
            let t = self.ty;
            self.b.op(t, format!("math.fma {x}, {y}, {z} : {t}"))
        } else {
            let p = self.mul(x, y);
            self.add(p, z)
        }
    }
    /// `x * c + z` with a constant factor.
    pub fn fma_c(&mut self, x: Val, c: f64, z: Val) -> Val {
        let c = self.f(c);
        self.fma(x, c, z)
    }
    /// Horner's scheme; `c[0]` is the constant term.
    pub fn poly(&mut self, x: Val, c: &[f64]) -> Val {
        let mut y = self.f(c.last().copied().unwrap_or(0.0));
        for &c in c.iter().rev().skip(1) {
            let c = self.f(c);
            y = self.fma(y, x, c);
        }
        y
    }

    pub fn cmp(&mut self, p: Cmp, x: Val, y: Val) -> Val {
        let (t, mt) = (self.ty, self.mt());
        let p = match p {
            Cmp::Lt => "olt",
            Cmp::Gt => "ogt",
            Cmp::Ge => "oge",
            Cmp::Eq => "oeq",
        };
        self.b.op(mt, format!("arith.cmpf {p}, {x}, {y} : {t}"))
    }
    pub fn cmp_c(&mut self, p: Cmp, x: Val, c: f64) -> Val {
        let c = self.f(c);
        self.cmp(p, x, c)
    }
    /// Whether a lane is NaN.
    pub fn is_nan(&mut self, x: Val) -> Val {
        let (t, mt) = (self.ty, self.mt());
        self.b.op(mt, format!("arith.cmpf uno, {x}, {x} : {t}"))
    }
    /// `mask ? x : y` per lane.
    pub fn select(&mut self, mask: Val, x: Val, y: Val) -> Val {
        let (t, mt) = (self.ty, self.mt());
        if t.is_vector() {
            self.b.op(t, format!("arith.select {mask}, {x}, {y} : {mt}, {t}"))
        } else {
            self.b.op(t, format!("arith.select {mask}, {x}, {y} : {t}"))
        }
    }
    pub fn and(&mut self, x: Val, y: Val) -> Val {
        self.mbin("arith.andi", x, y)
    }
    /// Logical not of a mask.
    pub fn not(&mut self, x: Val) -> Val {
        let mt = self.mt();
        let ones = self.b.boolean(mt, true);
        self.mbin("arith.xori", x, ones)
    }
    /// `min(x, c)` that keeps NaN (the comparison is false for it).
    pub fn min_c(&mut self, x: Val, c: f64) -> Val {
        let m = self.cmp_c(Cmp::Gt, x, c);
        let c = self.f(c);
        self.select(m, c, x)
    }
    /// `max(x, c)` that keeps NaN.
    pub fn max_c(&mut self, x: Val, c: f64) -> Val {
        let m = self.cmp_c(Cmp::Lt, x, c);
        let c = self.f(c);
        self.select(m, c, x)
    }

    /// The bits of a float as an integer.
    pub fn bits(&mut self, x: Val) -> Val {
        let (t, it) = (self.ty, self.it());
        self.b.op(it, format!("arith.bitcast {x} : {t} to {it}"))
    }
    /// The float with these bits.
    pub fn float(&mut self, x: Val) -> Val {
        let (t, it) = (self.ty, self.it());
        self.b.op(t, format!("arith.bitcast {x} : {it} to {t}"))
    }
    pub fn iadd(&mut self, x: Val, y: Val) -> Val {
        self.ibin("arith.addi", x, y)
    }
    pub fn isub(&mut self, x: Val, y: Val) -> Val {
        self.ibin("arith.subi", x, y)
    }
    pub fn iand_c(&mut self, x: Val, c: i64) -> Val {
        let c = self.i(c);
        self.ibin("arith.andi", x, c)
    }
    pub fn ixor(&mut self, x: Val, y: Val) -> Val {
        self.ibin("arith.xori", x, y)
    }
    pub fn shl_c(&mut self, x: Val, n: i64) -> Val {
        let n = self.i(n);
        self.ibin("arith.shli", x, n)
    }
    /// Arithmetic shift right.
    pub fn sar_c(&mut self, x: Val, n: i64) -> Val {
        let n = self.i(n);
        self.ibin("arith.shrsi", x, n)
    }
    /// Whether an integer lane is not zero.
    pub fn nonzero(&mut self, x: Val) -> Val {
        let z = self.i(0);
        let (it, mt) = (self.it(), self.mt());
        self.b.op(mt, format!("arith.cmpi ne, {x}, {z} : {it}"))
    }

    /// f32 to f64, lane by lane. Call on the narrow type.
    pub fn extend(&mut self, x: Val) -> Val {
        let (t, wt) = (self.ty, self.ty.with_elem(Elem::F64));
        self.b.op(wt, format!("arith.extf {x} : {t} to {wt}"))
    }
    /// f64 to f32, rounding to nearest (subnormals and overflow come out right). Call on the narrow type.
    pub fn truncate(&mut self, x: Val) -> Val {
        let (t, wt) = (self.ty, self.ty.with_elem(Elem::F64));
        self.b.op(t, format!("arith.truncf {x} : {wt} to {t}"))
    }

    /// Rounds to the nearest integer by adding and subtracting 1.5·2^(mantissa bits): the sum's low bits hold the
    /// integer. Right for |x| < 2^22 (f32) or 2^51 (f64), on every instruction set, without a library call.
    /// Returns the integer (two's complement, companion integer type) and the rounded float.
    pub fn round(&mut self, x: Val) -> (Val, Val) {
        let magic: f64 = if self.is_f64() { 6_755_399_441_055_744.0 } else { 12_582_912.0 };
        let t = self.add_c(x, magic);
        let bits = self.bits(t);
        let m = self.f(magic);
        let mbits = self.bits(m);
        (self.isub(bits, mbits), self.sub(t, m))
    }
    /// `2^n` for an integer lane within the normal exponents.
    pub fn pow2(&mut self, n: Val) -> Val {
        let (bias, shift) = if self.is_f64() { (1023, 52) } else { (127, 23) };
        let bias = self.i(bias);
        let e = self.iadd(n, bias);
        let e = self.shl_c(e, shift);
        self.float(e)
    }

    /// Whether the target scales by powers of two in one instruction for this type ([`Ops::scalef`]).
    pub fn has_scalef(&self) -> bool {
        self.b.target.isa == Isa::Avx512 && matches!((self.ty.lanes(), self.ty.elem()), (8 | 16, Elem::F32))
    }
    /// `y · 2^n` for whole floats n, rounded once, subnormal results included.
    pub fn scalef(&mut self, y: Val, n: Val) -> Val {
        let (t, all) = (self.ty, Type::Scalar(if self.ty.lanes() == 16 { Elem::I16 } else { Elem::I8 }));
        let mask = self.b.int(all, -1);
        if t.lanes() == 8 {
            let name = "llvm.x86.avx512.mask.scalef.ps.256";
            let types = format!("({t}, {t}, {t}, {all}) -> {t}");
            return self.b.op(t, format!("llvm.call_intrinsic \"{name}\"({y}, {n}, {y}, {mask}) : {types}"));
        }
        // 4: round as the processor is set to.
        let rounding = self.b.int(Type::I32, 4);
        let name = "llvm.x86.avx512.mask.scalef.ps.512";
        let types = format!("({t}, {t}, {t}, {all}, i32) -> {t}");
        self.b.op(t, format!("llvm.call_intrinsic \"{name}\"({y}, {n}, {y}, {mask}, {rounding}) : {types}"))
    }

    /// True when any lane of a mask is set, as an `i1`.
    pub fn any(&mut self, mask: Val) -> Val {
        let mt = self.mt();
        if !mt.is_vector() {
            return mask;
        }
        self.b.op(Type::BOOL, format!("vector.reduction <or>, {mask} : {mt} into i1"))
    }

    /// Calls a C library function of one or two arguments on every lane. `name` must be listed in [`super::LIBM`].
    pub fn libm(&mut self, name: &str, args: &[Val]) -> Val {
        let e = Type::Scalar(self.ty.elem());
        let name = if self.is_f64() { name.to_string() } else { format!("{name}f") };
        let mut out = self.f(0.0);
        for lane in 0..self.ty.lanes() {
            let scalars: Vec<Val> = args.iter().map(|a| self.b.extract(*a, lane)).collect();
            if let [r] = self.b.call(&name, &scalars, &[e])[..] {
                out = self.b.insert(r, out, lane);
            }
        }
        out
    }
}
