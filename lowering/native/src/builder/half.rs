//! Conversions to and from f16, bf16 and the 8-bit floats.
//!
//! Where the target has no instruction, LLVM would call compiler-rt (`__extendhfsf2`, `__truncsfbf2`, …), which a
//! library that depends on libc alone must not need. So bf16 always, and f16 without F16C, are converted by integer
//! operations here, and so are the 8-bit floats: round to nearest even, subnormals kept, NaN stays NaN.

use super::{Elem, Func, IntPredicate, Type, Val};

/// A binary float narrower than f32, by its fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Format {
    /// Memory element.
    elem: Elem,
    bits: u32,
    mantissa: u32,
    bias: i64,
    /// The first f32 that is too large, as bits.
    limit: i64,
    /// What a number that is too large becomes.
    overflow: i64,
    nan: i64,
    /// Whether all codes of the largest exponent are infinite or NaN, not only the last one.
    ieee: bool,
}

impl Format {
    const F16: Format = Format {
        elem: Elem::I16,
        bits: 16,
        mantissa: 10,
        bias: 15,
        limit: (127 + 16) << 23,
        overflow: 0x7c00,
        nan: 0x7e00,
        ieee: true,
    };
    /// 5 bits of exponent, 2 of mantissa.
    pub const F8E5M2: Format =
        Format { elem: Elem::I8, bits: 8, mantissa: 2, overflow: 0x7c, nan: 0x7f, ..Format::F16 };
    /// 4 bits of exponent, 3 of mantissa, no infinities: what is too large, infinity as well, becomes the largest value,
    /// 448, as PyTorch casts.
    pub const F8E4M3FN: Format = Format {
        elem: Elem::I8,
        bits: 8,
        mantissa: 3,
        bias: 7,
        limit: 0x43e0_0000,
        overflow: 0x7e,
        nan: 0x7f,
        ieee: false,
    };

    fn shift(self) -> i64 {
        23 - i64::from(self.mantissa)
    }
}

impl Func<'_> {
    /// Float to float of another width (widening exact, narrowing to nearest even; f64 to a 16-bit format goes
    /// through f32, as PyTorch does).
    pub fn cast_float(&mut self, a: Val, elem: Elem) -> Val {
        let from = a.ty.elem();
        let ty = a.ty.with_elem(elem);
        match (from, elem) {
            _ if from == elem => a,
            (Elem::F32, Elem::F64) => self.op(ty, format!("arith.extf {a} : {} to {ty}", a.ty)),
            (Elem::F64, Elem::F32) => self.op(ty, format!("arith.truncf {a} : {} to {ty}", a.ty)),
            (Elem::F16 | Elem::BF16, Elem::F32) => {
                let bits = self.bitcast(a, Elem::I16);
                self.widen_bits(bits, from)
            }
            (Elem::F32, Elem::F16 | Elem::BF16) => {
                let bits = self.narrow_to_bits(a, elem);
                self.bitcast(bits, elem)
            }
            _ => {
                let single = self.cast_float(a, Elem::F32);
                self.cast_float(single, elem)
            }
        }
    }

    /// `acc[i] + x[2i]·y[2i] + x[2i+1]·y[2i+1]` over pairs of bf16 that lie in the lanes of two f32 vectors (8 or 16 of
    /// them), for targets with [`crate::Target::has_bf16_products`].
    pub fn bf16_products(&mut self, x: Val, y: Val, acc: Val) -> Val {
        let ty = acc.ty;
        let pairs = Type::Vector(2 * ty.lanes(), Elem::BF16);
        let [x, y] = [x, y].map(|v| self.op(pairs, format!("vector.bitcast {v} : {ty} to {pairs}")));
        let name = format!("llvm.x86.avx512bf16.dpbf16ps.{}", 32 * ty.lanes());
        self.op(ty, format!("llvm.call_intrinsic \"{name}\"({acc}, {x}, {y}) : ({ty}, {pairs}, {pairs}) -> {ty}"))
    }

    /// Two f32 vectors rounded to bf16, one behind the other, as pairs in the lanes of one f32 vector.
    pub fn bf16_pairs(&mut self, low: Val, high: Val) -> Val {
        let ty = low.ty;
        let pairs = Type::Vector(2 * ty.lanes(), Elem::BF16);
        let name = format!("llvm.x86.avx512bf16.cvtne2ps2bf16.{}", 32 * ty.lanes());
        let text = format!("llvm.call_intrinsic \"{name}\"({high}, {low}) : ({ty}, {ty}) -> {pairs}");
        let rounded = self.op(pairs, text);
        self.op(ty, format!("vector.bitcast {rounded} : {pairs} to {ty}"))
    }

    /// The f32 value of f16 or bf16 (`format`) bits, given as i16.
    pub fn widen_bits(&mut self, bits: Val, format: Elem) -> Val {
        if format == Elem::BF16 {
            let wide = self.cast_int(bits, Type::I32, false);
            let amount = self.int(wide.ty, 16);
            let wide = self.shli(wide, amount);
            return self.bitcast(wide, Elem::F32);
        }
        if self.target.f16c {
            let half = self.bitcast(bits, Elem::F16);
            let ty = half.ty.with_elem(Elem::F32);
            return self.op(ty, format!("arith.extf {half} : {} to {ty}", half.ty));
        }
        self.widen_format(bits, Format::F16)
    }

    /// An f32 value rounded to f16 or bf16 (`format`), as i16 bits.
    ///
    /// Memory is best accessed through [`Func::buffer_as`] i16: LLVM turns even a plain store of a bf16 scalar into a
    /// call where the target has no such type.
    pub fn narrow_to_bits(&mut self, value: Val, format: Elem) -> Val {
        if format == Elem::BF16 {
            return self.f32_to_bf16_bits(value);
        }
        // Of a scalar that comes from f64, LLVM would make one conversion, which is a call.
        if self.target.f16c && value.ty.is_vector() {
            let ty = value.ty.with_elem(Elem::F16);
            let half = self.op(ty, format!("arith.truncf {value} : {} to {ty}", value.ty));
            return self.bitcast(half, Elem::I16);
        }
        self.narrow_format(value, Format::F16)
    }

    fn f32_to_bf16_bits(&mut self, a: Val) -> Val {
        let int = a.ty.with_elem(Elem::I32);
        let u = self.bitcast(a, Elem::I32);
        let sixteen = self.int(int, 16);
        let one = self.int(int, 1);
        let half = self.int(int, 0x7fff);
        let odd = self.shrui(u, sixteen);
        let odd = self.andi(odd, one);
        let bias = self.addi(odd, half);
        let rounded = self.addi(u, bias);
        let rounded = self.shrui(rounded, sixteen);
        let nan = self.cmpf(super::FloatPredicate::Uno, a, a);
        let quiet = self.int(int, 0x7fc0);
        let bits = self.select(nan, quiet, rounded);
        self.cast_int(bits, Type::Scalar(Elem::I16), false)
    }

    /// The f32 value of a narrow float's bits.
    pub fn widen_format(&mut self, bits: Val, format: Format) -> Val {
        let h = self.cast_int(bits, Type::I32, false);
        let int = h.ty;
        let c = |b: &mut Self, x: i64| b.int(int, x);
        let top = 1i64 << (format.bits - 1);
        let (magnitude, sign) = (c(self, top - 1), c(self, top));
        let (up, left) = (c(self, format.shift()), c(self, i64::from(32 - format.bits)));
        let sign = self.andi(h, sign);
        let sign = self.shli(sign, left);
        let m = self.andi(h, magnitude);
        let m = self.shli(m, up);
        let exponents = ((top - 1) >> format.mantissa) << 23;
        let exponent_mask = c(self, exponents);
        let exponent = self.andi(m, exponent_mask);
        let rebias = c(self, (127 - format.bias) << 23);
        let normal = self.addi(m, rebias);
        let special = self.addi(normal, rebias);
        let is_special = if format.ieee {
            self.cmpi(IntPredicate::Eq, exponent, exponent_mask)
        } else {
            let last = c(self, (top - 1) << format.shift());
            self.cmpi(IntPredicate::Eq, m, last)
        };
        let zero = c(self, 0);
        let is_small = self.cmpi(IntPredicate::Eq, exponent, zero);
        let unit = c(self, 1 << 23);
        let small = self.addi(normal, unit);
        let small = self.bitcast(small, Elem::F32);
        let magic = self.float(small.ty, 2f64.powi(1 - format.bias as i32));
        let small = self.subf(small, magic);
        let small = self.bitcast(small, Elem::I32);
        let r = self.select(is_special, special, normal);
        let r = self.select(is_small, small, r);
        let r = self.ori(r, sign);
        self.bitcast(r, Elem::F32)
    }

    /// An f32 value rounded to a narrow float, as bits.
    pub fn narrow_format(&mut self, a: Val, format: Format) -> Val {
        let u = self.bitcast(a, Elem::I32);
        let int = u.ty;
        let c = |b: &mut Self, x: i64| b.int(int, x);
        let (sign_mask, right) = (c(self, 0x8000_0000), c(self, i64::from(32 - format.bits)));
        let (down, one) = (c(self, format.shift()), c(self, 1));
        let sign = self.andi(u, sign_mask);
        let m = self.xori(u, sign);
        let sign = self.shrui(sign, right);
        // Too large, infinite, NaN.
        let limit = c(self, format.limit);
        let infinity = c(self, 255 << 23);
        let is_big = self.cmpi(IntPredicate::Uge, m, limit);
        let is_nan = self.cmpi(IntPredicate::Ugt, m, infinity);
        let (nan, overflow) = (c(self, format.nan), c(self, format.overflow));
        let big = self.select(is_nan, nan, overflow);
        // Subnormal: the adder rounds.
        let small_limit = c(self, (128 - format.bias) << 23);
        let is_small = self.cmpi(IntPredicate::Ult, m, small_limit);
        let magic_bits = (128 - format.bias + format.shift()) << 23;
        let f = self.bitcast(m, Elem::F32);
        let magic = self.float(f.ty, f64::from(f32::from_bits(magic_bits as u32)));
        let f = self.addf(f, magic);
        let f = self.bitcast(f, Elem::I32);
        let magic_int = c(self, magic_bits);
        let small = self.subi(f, magic_int);
        // Normal.
        let odd = self.shrui(m, down);
        let odd = self.andi(odd, one);
        let rebias = c(self, ((format.bias - 127) << 23) + (1 << (format.shift() - 1)) - 1);
        let normal = self.addi(m, rebias);
        let normal = self.addi(normal, odd);
        let normal = self.shrui(normal, down);
        let r = self.select(is_small, small, normal);
        let r = self.select(is_big, big, r);
        let r = self.ori(r, sign);
        self.cast_int(r, Type::Scalar(format.elem), false)
    }
}
