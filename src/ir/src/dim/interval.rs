//! Integer intervals with optional ends.

use std::fmt;

/// `min <= x <= max`, either end possibly open (`None` = unbounded).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interval {
    /// The least possible value.
    pub min: Option<i64>,
    /// The greatest possible value.
    pub max: Option<i64>,
}

impl Interval {
    /// All integers.
    pub const ALL: Interval = Interval { min: None, max: None };

    /// One value only.
    pub fn point(value: i64) -> Self {
        Interval { min: Some(value), max: Some(value) }
    }

    /// `min..=max`.
    pub fn new(min: Option<i64>, max: Option<i64>) -> Self {
        Interval { min, max }
    }

    /// The values in both intervals.
    #[must_use]
    pub fn intersect(self, other: Interval) -> Interval {
        Interval {
            min: match (self.min, other.min) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            },
            max: match (self.max, other.max) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }

    /// The least interval that has the values of both.
    #[must_use]
    pub fn hull(self, other: Interval) -> Interval {
        Interval {
            min: self.min.zip(other.min).map(|(a, b)| a.min(b)),
            max: self.max.zip(other.max).map(|(a, b)| a.max(b)),
        }
    }

    /// The value, where there is only one.
    pub fn as_point(self) -> Option<i64> {
        match (self.min, self.max) {
            (Some(a), Some(b)) if a == b => Some(a),
            _ => None,
        }
    }

    /// Whether the value lies in the interval.
    pub fn contains(self, value: i64) -> bool {
        self.min.is_none_or(|min| min <= value) && self.max.is_none_or(|max| value <= max)
    }
}

/// `[2, 512]`, `[0, ∞)`, `(-∞, ∞)`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.min {
            Some(min) => write!(f, "[{min}, ")?,
            None => write!(f, "(-∞, ")?,
        }
        match self.max {
            Some(max) => write!(f, "{max}]"),
            None => write!(f, "∞)"),
        }
    }
}
