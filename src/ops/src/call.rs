//! A call as inference and evaluation see it: arguments by the names of the schema, typed access, typed errors.

use crate::{Op, Scalar, Tensor, Typed, result_type, shape};
use num_complex::Complex64;
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{Arg, DType, Fact};

/// A call of `op`; tensors are facts (`T = Fact`), host tensors (`T = Tensor`), or values of some graph.
pub struct Call<'a, T> {
    /// The operator.
    pub op: &'a Op,
    /// Arguments in schema order, complete.
    pub args: &'a [Arg<T>],
    /// What is known of the symbols.
    pub scope: &'a Scope,
}

/// Why a call means nothing, or cannot be handled.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum OpError {
    /// No such operator in the table.
    #[error("operator `{0}` is not in the operator table")]
    UnknownOperator(String),
    /// An argument is missing or of another type than the schema says.
    #[error("argument `{arg}` of `{op}`: expected {expected}, found {found}")]
    Argument { op: String, arg: String, expected: &'static str, found: String },
    /// The call contradicts the operator's rules (shapes that do not fit, a dimension out of range …).
    #[error("{0}")]
    Invalid(String),
    /// Legal in PyTorch, but beyond what is implemented; says what and what to do instead.
    #[error("{0}")]
    Unsupported(String),
    /// What PyTorch raises at run time for these values (index out of range, assertion failed).
    #[error("{0}")]
    Runtime(String),
}

impl OpError {
    /// An [`OpError::Invalid`] from anything printable.
    pub fn invalid(message: impl Into<String>) -> OpError {
        OpError::Invalid(message.into())
    }
}

impl<'a, T> Call<'a, T> {
    /// The argument of this name.
    pub fn arg(&self, name: &str) -> Result<&'a Arg<T>, OpError> {
        let at = self.op.schema.position(name).and_then(|i| self.args.get(i));
        at.ok_or_else(|| OpError::Argument {
            op: self.op.name.clone(),
            arg: name.to_string(),
            expected: "an argument",
            found: "nothing".into(),
        })
    }

    fn wrong(&self, name: &str, expected: &'static str) -> OpError {
        let found = match self.arg(name) {
            Ok(Arg::None) => "None",
            Ok(Arg::Tensor(_)) => "a tensor",
            Ok(Arg::Tensors(_)) => "tensors",
            Ok(Arg::Int(_)) => "an integer",
            Ok(Arg::Ints(_)) => "integers",
            Ok(Arg::Float(_) | Arg::Floats(_)) => "a float",
            Ok(Arg::Bool(_) | Arg::Bools(_)) => "a boolean",
            Ok(Arg::Complex(..)) => "a complex number",
            Ok(Arg::Str(_)) => "a string",
            Ok(Arg::DType(_)) => "a dtype",
            Ok(Arg::Opaque(_)) => "a device or format",
            Ok(Arg::Graph(_)) => "a graph",
            Err(_) => "nothing",
        };
        OpError::Argument { op: self.op.name.clone(), arg: name.to_string(), expected, found: found.into() }
    }

    /// A tensor.
    pub fn tensor(&self, name: &str) -> Result<&'a T, OpError> {
        self.arg(name)?.as_tensor().ok_or_else(|| self.wrong(name, "a tensor"))
    }

    /// A tensor or None.
    pub fn opt_tensor(&self, name: &str) -> Result<Option<&'a T>, OpError> {
        match self.arg(name)? {
            Arg::None => Ok(None),
            Arg::Tensor(t) => Ok(Some(t)),
            _ => Err(self.wrong(name, "a tensor or None")),
        }
    }

    /// A list of tensors without None among them.
    pub fn tensors(&self, name: &str) -> Result<Vec<&'a T>, OpError> {
        self.opt_tensors(name)?.into_iter().collect::<Option<_>>().ok_or_else(|| self.wrong(name, "tensors"))
    }

    /// A list of tensors, some possibly None.
    pub fn opt_tensors(&self, name: &str) -> Result<Vec<Option<&'a T>>, OpError> {
        match self.arg(name)? {
            Arg::Tensors(ts) => Ok(ts.iter().map(Option::as_ref).collect()),
            _ => Err(self.wrong(name, "tensors")),
        }
    }

    /// An integer, possibly symbolic.
    pub fn dim(&self, name: &str) -> Result<Dim, OpError> {
        self.arg(name)?.as_dim().cloned().ok_or_else(|| self.wrong(name, "an integer"))
    }

    /// An integer or None.
    pub fn opt_dim(&self, name: &str) -> Result<Option<Dim>, OpError> {
        if self.arg(name)?.is_none() { Ok(None) } else { self.dim(name).map(Some) }
    }

    /// An integer that must be known.
    pub fn int(&self, name: &str) -> Result<i64, OpError> {
        self.dim(name)?.as_int().ok_or_else(|| self.wrong(name, "an integer known at compile time"))
    }

    /// A known integer or None.
    pub fn opt_int(&self, name: &str) -> Result<Option<i64>, OpError> {
        if self.arg(name)?.is_none() { Ok(None) } else { self.int(name).map(Some) }
    }

    /// Integers, possibly symbolic. A single integer counts as a list of one.
    pub fn dims(&self, name: &str) -> Result<Vec<Dim>, OpError> {
        match self.arg(name)? {
            Arg::Ints(ds) => Ok(ds.clone()),
            Arg::Int(d) => Ok(vec![d.clone()]),
            _ => Err(self.wrong(name, "integers")),
        }
    }

    /// Integers or None.
    pub fn opt_dims(&self, name: &str) -> Result<Option<Vec<Dim>>, OpError> {
        if self.arg(name)?.is_none() { Ok(None) } else { self.dims(name).map(Some) }
    }

    /// Integers that must be known.
    pub fn ints(&self, name: &str) -> Result<Vec<i64>, OpError> {
        let dims = self.dims(name)?;
        let known: Option<Vec<i64>> = dims.iter().map(Dim::as_int).collect();
        known.ok_or_else(|| self.wrong(name, "integers known at compile time"))
    }

    /// Known integers or None.
    pub fn opt_ints(&self, name: &str) -> Result<Option<Vec<i64>>, OpError> {
        if self.arg(name)?.is_none() { Ok(None) } else { self.ints(name).map(Some) }
    }

    /// A number as a float.
    pub fn float(&self, name: &str) -> Result<f64, OpError> {
        self.arg(name)?.as_float().ok_or_else(|| self.wrong(name, "a number"))
    }

    /// A number as a float, or None.
    pub fn opt_float(&self, name: &str) -> Result<Option<f64>, OpError> {
        if self.arg(name)?.is_none() { Ok(None) } else { self.float(name).map(Some) }
    }

    /// A boolean.
    pub fn bool(&self, name: &str) -> Result<bool, OpError> {
        self.arg(name)?.as_bool().ok_or_else(|| self.wrong(name, "a boolean"))
    }

    /// A string.
    pub fn str(&self, name: &str) -> Result<&'a str, OpError> {
        self.arg(name)?.as_str().ok_or_else(|| self.wrong(name, "a string"))
    }

    /// A string or None.
    pub fn opt_str(&self, name: &str) -> Result<Option<&'a str>, OpError> {
        if self.arg(name)?.is_none() { Ok(None) } else { self.str(name).map(Some) }
    }

    /// An element type.
    pub fn dtype(&self, name: &str) -> Result<DType, OpError> {
        self.arg(name)?.as_dtype().ok_or_else(|| self.wrong(name, "a dtype"))
    }

    /// An element type or None.
    pub fn opt_dtype(&self, name: &str) -> Result<Option<DType>, OpError> {
        if self.arg(name)?.is_none() { Ok(None) } else { self.dtype(name).map(Some) }
    }
}

impl<T: Typed> Call<'_, T> {
    /// The dtype PyTorch computes these arguments (tensors and numbers; others do not count) in.
    pub fn result_type(&self, names: &[&str]) -> Result<DType, OpError> {
        let operands = names.iter().map(|n| self.arg(n)).collect::<Result<Vec<_>, _>>()?;
        result_type(operands).ok_or_else(|| OpError::Invalid(format!("`{}` has no operand", self.op.name)))
    }
}

impl Call<'_, Fact> {
    /// The broadcast shape of these arguments: numbers have no dimensions, absent ones do not count.
    pub fn broadcast(&self, names: &[&str]) -> Result<Vec<Dim>, OpError> {
        let operands = names.iter().map(|n| self.arg(n)).collect::<Result<Vec<_>, _>>()?;
        shape::broadcast_all(self.scope, operands.iter().filter_map(|a| a.as_tensor()).map(|f| f.shape.as_slice()))
    }
}

impl Call<'_, Tensor> {
    /// A tensor or number as a tensor of `dtype`; a number has no dimensions.
    pub fn operand(&self, name: &str, dtype: DType) -> Result<Tensor, OpError> {
        match self.arg(name)? {
            Arg::Tensor(t) => Ok(t.cast(dtype)),
            _ => Ok(Tensor::scalar(dtype, self.number(name)?)),
        }
    }

    /// As [`Call::operand`], or None.
    pub fn opt_operand(&self, name: &str, dtype: DType) -> Result<Option<Tensor>, OpError> {
        if self.arg(name)?.is_none() { Ok(None) } else { self.operand(name, dtype).map(Some) }
    }
}

impl<T> Call<'_, T> {
    /// A known number: integer, float, boolean or complex.
    pub fn number(&self, name: &str) -> Result<Scalar, OpError> {
        number(self.arg(name)?).ok_or_else(|| self.wrong(name, "a number"))
    }

    /// The sizes of a known shape argument.
    pub fn sizes(&self, name: &str) -> Result<Vec<usize>, OpError> {
        shape::known(&self.dims(name)?)
    }

    /// Dimension numbers that are already non-negative, as the primitives take them.
    pub fn positions(&self, name: &str) -> Result<Vec<usize>, OpError> {
        let positions: Option<Vec<usize>> = self.ints(name)?.iter().map(|&d| usize::try_from(d).ok()).collect();
        positions.ok_or_else(|| self.wrong(name, "dimension numbers"))
    }

    /// One dimension number that is already non-negative and below `rank`.
    pub fn position(&self, name: &str, rank: usize) -> Result<usize, OpError> {
        let position = usize::try_from(self.int(name)?).ok().filter(|&d| d < rank);
        position
            .ok_or_else(|| OpError::Invalid(format!("`{name}` of `{}` is no dimension of the operand", self.op.name)))
    }
}

/// The value of an argument that is a known number.
pub fn number<T>(arg: &Arg<T>) -> Option<Scalar> {
    match arg {
        Arg::Int(d) => d.as_int().map(Scalar::Int),
        Arg::Float(x) => Some(Scalar::Float(*x)),
        Arg::Bool(b) => Some(Scalar::Bool(*b)),
        Arg::Complex(re, im) => Some(Scalar::Complex(Complex64::new(*re, *im))),
        _ => None,
    }
}

/// A dimension number as PyTorch takes it: `-rank ..= rank-1` (a 0-d tensor counts as rank 1) → `0 .. rank`.
pub fn wrap_dim(dim: i64, rank: usize) -> Result<usize, OpError> {
    let n = rank.max(1) as i64;
    if (-n..n).contains(&dim) {
        Ok(if dim < 0 { dim + n } else { dim } as usize)
    } else {
        Err(OpError::Invalid(format!("dimension {dim} is out of range for a tensor of {rank} dimensions")))
    }
}
