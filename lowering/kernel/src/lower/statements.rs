//! Statements under construction, for kernels that are not made from a graph.

use crate::{BinaryOp, CompareOp, Expr, For, LoopKind, Stmt, UnaryOp, Var};
use pt2c_ir::DType;
use pt2c_ir::dim::{Dim, Symbol};

/// A list of statements and the names that it has used.
#[derive(Default)]
pub struct Statements {
    /// The statements since the last [`Statements::take`].
    pub stmts: Vec<Stmt>,
    vars: u32,
}

impl Statements {
    /// A name of its own.
    pub fn var(&mut self) -> Var {
        self.vars += 1;
        Var(self.vars - 1)
    }

    /// Names a value.
    pub fn define(&mut self, dtype: DType, value: Expr) -> Expr {
        let var = self.var();
        self.stmts.push(Stmt::Let { var, dtype, value });
        Expr::Var(var)
    }

    /// The statements so far; names stay used.
    pub fn take(&mut self) -> Vec<Stmt> {
        std::mem::take(&mut self.stmts)
    }

    /// Names `Σ factor · operand` in f32, for factors 0 and ±1.
    pub fn sum(&mut self, terms: impl IntoIterator<Item = (f64, Expr)>) -> Expr {
        let mut sum: Option<Expr> = None;
        for (factor, x) in terms {
            sum = match (sum, factor) {
                (sum, 0.0) => sum,
                (None, f) if f > 0.0 => Some(x),
                (None, _) => Some(Expr::Unary(UnaryOp::Neg, Box::new(x))),
                (Some(s), f) => Some(binary(if f > 0.0 { BinaryOp::Add } else { BinaryOp::Sub }, s, x)),
            };
        }
        self.define(DType::F32, sum.unwrap_or(Expr::Float(0.0, DType::F32)))
    }
}

/// `a op b`.
pub fn binary(op: BinaryOp, a: Expr, b: Expr) -> Expr {
    Expr::Binary(op, Box::new(a), Box::new(b))
}

/// `a op b`, a boolean.
pub fn compare(op: CompareOp, a: Expr, b: Expr) -> Expr {
    Expr::Compare(op, Box::new(a), Box::new(b))
}

/// A loop that carries nothing.
pub fn over(var: Symbol, extent: &Dim, kind: LoopKind, body: Vec<Stmt>) -> Stmt {
    Stmt::For(For { var, extent: extent.clone(), kind, carried: Vec::new(), body })
}
