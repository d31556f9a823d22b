//! Vector structure: broadcasts, lanes, masks, reductions, shuffles.

use super::{Elem, Func, Type, Val, list};

/// How the lanes of a vector are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Sum.
    Add,
    /// Product.
    Mul,
    /// Smallest: floats propagate NaN, integers are signed.
    Min,
    /// Largest: floats propagate NaN, integers are signed.
    Max,
    /// Smallest of unsigned integers.
    MinUnsigned,
    /// Largest of unsigned integers.
    MaxUnsigned,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
}

impl Func<'_> {
    /// A scalar in every lane. A value that is a vector already is returned as it is, as is a scalar for one lane.
    pub fn broadcast(&mut self, value: Val, lanes: u32) -> Val {
        if value.ty.is_vector() || lanes == 1 {
            return value;
        }
        let ty = Type::Vector(lanes, value.ty.elem());
        self.op(ty, format!("vector.broadcast {value} : {} to {ty}", value.ty))
    }

    /// Combines all lanes into a scalar. Float sums and products may be reordered (a tree, not lane after lane).
    pub fn reduce(&mut self, kind: Reduction, value: Val) -> Val {
        if !value.ty.is_vector() {
            return value;
        }
        let float = value.ty.elem().is_float();
        let name = match (kind, float) {
            (Reduction::Add, _) => "add",
            (Reduction::Mul, _) => "mul",
            (Reduction::Min, true) => "minimumf",
            (Reduction::Max, true) => "maximumf",
            (Reduction::Min, false) => "minsi",
            (Reduction::Max, false) => "maxsi",
            (Reduction::MinUnsigned, _) => "minui",
            (Reduction::MaxUnsigned, _) => "maxui",
            (Reduction::And, _) => "and",
            (Reduction::Or, _) => "or",
            (Reduction::Xor, _) => "xor",
        };
        let ty = Type::Scalar(value.ty.elem());
        let flags = if float && matches!(kind, Reduction::Add | Reduction::Mul) { " fastmath<reassoc>" } else { "" };
        self.op(ty, format!("vector.reduction <{name}>, {value}{flags} : {} into {ty}", value.ty))
    }

    /// One lane, its number a constant.
    pub fn extract(&mut self, value: Val, lane: u32) -> Val {
        let ty = match value.ty {
            Type::Matrix(_, c, e) => Type::Vector(c, e),
            t if !t.is_vector() => return value,
            t => Type::Scalar(t.elem()),
        };
        self.op(ty, format!("vector.extract {value}[{lane}] : {ty} from {}", value.ty))
    }

    /// `into` with one lane (or one row of a matrix) replaced.
    pub fn insert(&mut self, value: Val, into: Val, lane: u32) -> Val {
        if !into.ty.is_vector() {
            return value;
        }
        self.op(into.ty, format!("vector.insert {value}, {into} [{lane}] : {} into {}", value.ty, into.ty))
    }

    /// A vector from scalars.
    pub fn from_lanes(&mut self, lanes: &[Val]) -> Val {
        match lanes {
            [one] => *one,
            _ => {
                let elem = lanes.first().map_or(Elem::F32, |v| v.ty.elem());
                let ty = Type::Vector(lanes.len() as u32, elem);
                self.op(ty, format!("vector.from_elements {} : {ty}", list(lanes)))
            }
        }
    }

    /// Lanes of `a` followed by `b`, picked by constant numbers.
    pub fn shuffle(&mut self, a: Val, b: Val, lanes: &[u32]) -> Val {
        let ty = Type::Vector(lanes.len() as u32, a.ty.elem());
        self.op(ty, format!("vector.shuffle {a}, {b} {lanes:?} : {}, {}", a.ty, b.ty))
    }

    /// Transposes a matrix value.
    pub fn transpose(&mut self, value: Val) -> Val {
        let ty = match value.ty {
            Type::Matrix(r, c, e) => Type::Matrix(c, r, e),
            other => other,
        };
        self.op(ty, format!("vector.transpose {value}, [1, 0] : {} to {ty}", value.ty))
    }

    /// A mask whose first `count` lanes are set (`count` an `index`; negative counts as none, large as all).
    pub fn mask(&mut self, count: Val, lanes: u32) -> Val {
        let ty = Type::Vector(lanes, Elem::I1);
        self.op(ty, format!("vector.create_mask {count} : {ty}"))
    }

    /// A mask with every lane set.
    pub fn full_mask(&mut self, lanes: u32) -> Val {
        self.boolean(Type::of_lanes(lanes, Elem::I1), true)
    }

    /// Whether any lane of a mask is set.
    pub fn any(&mut self, mask: Val) -> Val {
        self.reduce(Reduction::Or, mask)
    }

    /// The index `base + k` in every lane `k`, as the given integer element type.
    pub fn lane_indices(&mut self, base: Val, ty: Type) -> Val {
        let base = self.cast_int(base, Type::Scalar(ty.elem()), true);
        let base = self.broadcast(base, ty.lanes());
        let iota = self.iota(ty);
        self.addi(base, iota)
    }
}
