//! Constants: hoisted to the function's entry, each once.

use super::{Elem, Func, Type, Val};

impl Func<'_> {
    /// A constant from its full MLIR text.
    fn constant(&mut self, ty: Type, text: String) -> Val {
        if let Some(v) = self.constants.get(&text) {
            return *v;
        }
        let v = self.fresh(ty);
        self.constants.insert(text, v);
        v
    }

    /// An `index` constant.
    pub fn index(&mut self, value: i64) -> Val {
        self.int(Type::INDEX, value)
    }

    /// An integer constant (scalar, or a vector with it in every lane), wrapped to the type's width.
    pub fn int(&mut self, ty: Type, value: i64) -> Val {
        let value = wrap(value, ty.elem());
        let text = match ty {
            Type::Vector(..) | Type::Matrix(..) => format!("arith.constant dense<{value}> : {ty}"),
            _ => format!("arith.constant {value} : {ty}"),
        };
        self.constant(ty, text)
    }

    /// A truth-value constant (scalar or every lane).
    pub fn boolean(&mut self, ty: Type, value: bool) -> Val {
        let text = if ty.is_vector() {
            format!("arith.constant dense<{value}> : {ty}")
        } else {
            format!("arith.constant {value}")
        };
        self.constant(ty, text)
    }

    /// A float constant (scalar, or in every lane), rounded to nearest from f64; written by its bits, so exact.
    pub fn float(&mut self, ty: Type, value: f64) -> Val {
        let bits = float_bits(ty.elem(), value);
        let text = if ty.is_vector() {
            format!("arith.constant dense<{bits}> : {ty}")
        } else {
            format!("arith.constant {bits} : {ty}")
        };
        self.constant(ty, text)
    }

    /// Zero of any scalar or vector type.
    pub fn zero(&mut self, ty: Type) -> Val {
        match ty.elem() {
            Elem::I1 => self.boolean(ty, false),
            e if e.is_float() => self.float(ty, 0.0),
            _ => self.int(ty, 0),
        }
    }

    /// A vector constant with the given integer lanes.
    pub fn int_lanes(&mut self, elem: Elem, lanes: &[i64]) -> Val {
        let ty = Type::Vector(lanes.len() as u32, elem);
        let lanes: Vec<i64> = lanes.iter().map(|&x| wrap(x, elem)).collect();
        self.constant(ty, format!("arith.constant dense<{lanes:?}> : {ty}"))
    }

    /// A vector constant with the given float lanes.
    pub fn float_lanes(&mut self, elem: Elem, lanes: &[f64]) -> Val {
        let ty = Type::Vector(lanes.len() as u32, elem);
        let lanes: Vec<String> = lanes.iter().map(|&x| float_bits(elem, x)).collect();
        self.constant(ty, format!("arith.constant dense<[{}]> : {ty}", lanes.join(", ")))
    }

    /// The lane numbers 0, 1, … of a vector type with integer or float elements.
    pub fn iota(&mut self, ty: Type) -> Val {
        let n = ty.lanes();
        if ty.elem().is_float() {
            self.float_lanes(ty.elem(), &(0..n).map(f64::from).collect::<Vec<_>>())
        } else {
            self.int_lanes(ty.elem(), &(0..n).map(i64::from).collect::<Vec<_>>())
        }
    }
}

/// `value` reduced to the element's width, as MLIR's parser wants it (signed).
fn wrap(value: i64, elem: Elem) -> i64 {
    match elem {
        Elem::I8 => i64::from(value as i8),
        Elem::I16 => i64::from(value as i16),
        Elem::I32 => i64::from(value as i32),
        _ => value,
    }
}

/// The bits of a float constant in MLIR's hexadecimal notation.
fn float_bits(elem: Elem, value: f64) -> String {
    match elem {
        Elem::F16 => format!("0x{:04X}", half::f16::from_f64(value).to_bits()),
        Elem::BF16 => format!("0x{:04X}", half::bf16::from_f64(value).to_bits()),
        Elem::F64 => format!("0x{:016X}", value.to_bits()),
        _ => format!("0x{:08X}", (value as f32).to_bits()),
    }
}
