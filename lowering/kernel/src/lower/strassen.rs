//! Products with a constant matrix in two kernels: sums of the first operand's quarters, and their products
//! ([`crate::strassen`]).

use super::statements::{Statements, binary, compare, over};
use super::{Binding, Lowered, contraction};
use crate::strassen::{PRODUCTS, QUARTERS, ROWS, row_stride};
use crate::{
    Access, BinaryOp, Body, Carried, CompareOp, Expr, For, Kernel, LoopKind, Matmul, MatmulB, Param, ReduceOp, Stmt,
    Strassen, UnaryOp,
};
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{DType, Fact};

/// Contracted elements and columns from which on the sums cost less than the products they save: an element of A is read
/// once and written seven quarter times for all columns, an element of C takes part in six additions for all of the
/// contracted extent.
const LEAST_EXTENT: i64 = 192;
/// Rows from which on subtracting elements of B costs less.
const LEAST_ROWS: i64 = 32;
/// Elements of B from which on it waits for memory where a number of rows that is not known is small: reading it
/// [`PRODUCTS`] times from a cache then does not show.
const LEAST_FOR_ANY_ROWS: i64 = 1 << 18;

/// Splits a large product with a constant matrix, or a convolution that is one; anything else stays as it is.
pub fn split(whole: Lowered, scope: &Scope) -> Vec<Lowered> {
    let Lowered { kernel, bindings, .. } = &whole;
    let product = match &kernel.body {
        Body::Matmul(m) => Some(m.clone()),
        Body::Convolution(c) => contraction::as_matmul(c),
        _ => None,
    };
    let Some((product, half)) = product.and_then(|m| suits(&m, &kernel.params, scope).map(|half| (m, half))) else {
        return vec![whole];
    };
    let Some(input) = bindings.get(product.a.0) else { return vec![whole] };
    let layout = Layout { rows: product.m.1.ceil_div(&Dim::int(2)), half };
    let scratch = Binding::Scratch(Fact::new(DType::F32, vec![layout.len()]));
    let sums = Lowered {
        kernel: sums(&product, &layout, kernel),
        bindings: vec![input.clone(), scratch.clone()],
        repeat: None,
    };
    let mut params = kernel.params.clone();
    params.push(Param { name: "sums".to_string(), dtype: DType::F32, access: Access::Read });
    let bindings = bindings.iter().cloned().chain([scratch]).collect();
    let Matmul { m, n, k, b, epilogue, .. } = product;
    let MatmulB::Constant { param, address } = b else { return vec![whole] };
    let body = Body::Strassen(Strassen { m, n, k, v: kernel.params.len(), b: (param, address), epilogue });
    vec![sums, Lowered { kernel: Kernel { name: kernel.name.clone(), params, body }, bindings, repeat: None }]
}

/// Half the contracted extent, if the product gains.
fn suits(product: &Matmul, params: &[Param], scope: &Scope) -> Option<i64> {
    let MatmulB::Constant { param, .. } = &product.b else { return None };
    let f32s = [product.a.0, *param].iter().all(|p| params.get(*p).is_some_and(|p| p.dtype == DType::F32));
    let (n, k) = (product.n.1.as_int()?, product.k.1.as_int()?);
    let neighbours = product.a.1.coefficient_of(&product.k.0).is_some_and(|(stride, _)| stride.is_one());
    let plain = product.batch.is_empty() && product.rounding.is_none() && product.accumulator == DType::F32;
    let rows = match product.m.1.as_int() {
        Some(rows) => rows >= LEAST_ROWS,
        None => {
            let most = scope.bounds(&product.m.1).max;
            most.is_none_or(|most| most >= LEAST_ROWS) && k.checked_mul(n)? >= LEAST_FOR_ANY_ROWS
        }
    };
    let large = rows && n >= LEAST_EXTENT && k >= LEAST_EXTENT;
    (f32s && neighbours && plain && large && k % 2 == 0).then_some(k / 2)
}

/// What lies where between the two kernels.
struct Layout {
    /// Half the rows, rounded up.
    rows: Dim,
    /// Half the contracted extent.
    half: i64,
}

impl Layout {
    /// Row `row` of a product's sums.
    fn sum(&self, product: usize, row: &Dim) -> Dim {
        &(&(&self.rows * (product as i64)) + row) * row_stride(self.half)
    }

    /// What the results of a row of the product are multiplied with.
    fn scale(&self, row: &Dim) -> Dim {
        &self.sum(PRODUCTS, &Dim::ZERO) + row
    }

    fn len(&self) -> Dim {
        self.scale(&(&self.rows * 2))
    }
}

/// Bits of the exponent of an f32, and the first of them.
const EXPONENT: i64 = 0x7f80_0000;
const EXPONENT_ONE: i64 = 1 << 23;

/// Scales rows `i` and `i + rows` by powers of two and writes the sums of their halves, and the inverse scales. A row that
/// does not exist is zero; so is one with an infinite element or NaN, and its inverse scale is NaN.
fn sums(product: &Matmul, layout: &Layout, kernel: &Kernel) -> Kernel {
    let (i, k) = (Symbol::from("i0"), Symbol::from("k1"));
    let (input, output) = (0, 1);
    let element = |row: &Dim, at: &Dim| {
        let index = [(product.m.0.clone(), row.clone()), (product.k.0.clone(), at.clone())].into();
        Expr::Load { param: input, address: product.a.1.subs(&index) }
    };
    let zero = || Expr::Float(0.0, DType::F32);
    let mut body = Statements::default();
    let mut halves = Vec::new();
    for (half, var) in [(0, "k2"), (1, "k3")] {
        let row = &Dim::sym(i.clone()) + &(&layout.rows * half);
        let even = product.m.1.as_int().is_some_and(|m| m % 2 == 0);
        let exists = (half == 1 && !even).then(|| {
            let inside = compare(CompareOp::Lt, Expr::Index(row.clone()), Expr::Index(product.m.1.clone()));
            body.define(DType::Bool, inside)
        });
        let guarded = |condition: Option<Expr>, value: Expr| match condition {
            Some(condition) => {
                Expr::Guarded { condition: Box::new(condition), value: Box::new(value), other: Box::new(zero()) }
            }
            None => value,
        };
        let magnitude = Expr::Unary(UnaryOp::Abs, Box::new(element(&row, &Dim::sym(Symbol::from(var)))));
        let (carried, result) = (body.var(), body.var());
        body.stmts.push(Stmt::For(For {
            var: Symbol::from(var),
            extent: Dim::int(2 * layout.half),
            kind: LoopKind::Vector,
            carried: vec![Carried {
                var: carried,
                result,
                dtype: DType::F32,
                init: zero(),
                next: guarded(exists.clone(), magnitude),
                reduction: Some(ReduceOp::Max),
            }],
            body: Vec::new(),
        }));
        let largest = Expr::Var(result);
        let int = |value: i64| Expr::Int(value, DType::I32);
        let bits = Expr::Bitcast(DType::I32, Box::new(largest.clone()));
        // Neither the power nor its inverse is below the normal numbers.
        let exponent = binary(BinaryOp::Max, binary(BinaryOp::And, bits, int(EXPONENT)), int(EXPONENT_ONE));
        let exponent = body.define(DType::I32, binary(BinaryOp::Min, exponent, int(253 * EXPONENT_ONE)));
        let down = binary(BinaryOp::Sub, int(254 * EXPONENT_ONE), exponent.clone());
        let factor = body.define(DType::F32, Expr::Bitcast(DType::F32, Box::new(down)));
        let finite = compare(CompareOp::Lt, largest, Expr::Float(f64::INFINITY, DType::F32));
        let finite = body.define(DType::Bool, finite);
        let scale = Expr::Select(
            Box::new(finite.clone()),
            Box::new(Expr::Bitcast(DType::F32, Box::new(exponent))),
            Box::new(Expr::Float(f64::NAN, DType::F32)),
        );
        body.stmts.push(Stmt::Store { param: output, address: layout.scale(&row), value: scale });
        let usable = match exists {
            Some(exists) => body.define(DType::Bool, binary(BinaryOp::And, exists, finite)),
            None => finite,
        };
        halves.push((row, factor, usable));
    }
    let before = body.take();
    let mut quarters = Vec::with_capacity(QUARTERS);
    for (row, factor, usable) in &halves {
        for half in 0..2 {
            let at = &Dim::sym(k.clone()) + &Dim::int(half * layout.half);
            let value = Expr::Guarded {
                condition: Box::new(usable.clone()),
                value: Box::new(element(row, &at)),
                other: Box::new(zero()),
            };
            quarters.push(body.define(DType::F32, binary(BinaryOp::Mul, value, factor.clone())));
        }
    }
    for (number, factors) in ROWS.iter().enumerate() {
        let value = body.sum(factors.iter().copied().zip(quarters.iter().cloned()));
        let address = &layout.sum(number, &Dim::sym(i.clone())) + &Dim::sym(k.clone());
        body.stmts.push(Stmt::Store { param: output, address, value });
    }
    let mut inner = before;
    inner.push(over(k, &Dim::int(layout.half), LoopKind::Vector, body.take()));
    let nest = over(i, &layout.rows, LoopKind::Parallel, inner);
    let name = kernel.params.get(product.a.0).map_or("a", |p| &p.name).to_string();
    let params = vec![
        Param { name, dtype: DType::F32, access: Access::Read },
        Param { name: "sums".to_string(), dtype: DType::F32, access: Access::Write },
    ];
    Kernel { name: format!("{}_sums", kernel.name), params, body: Body::Loops(vec![nest]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epilogue, Var};

    /// How many kernels a product of these sizes becomes.
    fn kernels(rows: Dim, k: i64, n: i64) -> usize {
        let dim = |name: &str| Dim::sym(Symbol::from(name));
        let param = |access| Param { name: "p".to_string(), dtype: DType::F32, access };
        let stores = vec![(2, &(&dim("m") * n) + &dim("n"), Expr::Var(Var(0)))];
        let product = Matmul {
            batch: vec![],
            m: (Symbol::from("m"), rows),
            n: (Symbol::from("n"), Dim::int(n)),
            k: (Symbol::from("k"), Dim::int(k)),
            a: (0, &(&dim("m") * k) + &dim("k")),
            b: MatmulB::Constant { param: 1, address: &(&dim("k") * n) + &dim("n") },
            accumulator: DType::F32,
            rounding: None,
            epilogue: Epilogue { lets: vec![], stores },
        };
        let params = vec![param(Access::Read), param(Access::Read), param(Access::Write)];
        let kernel = Kernel { name: "product".to_string(), params, body: Body::Matmul(product) };
        let bindings = vec![Binding::Operand(0), Binding::Operand(1), Binding::Output(0)];
        let mut scope = Scope::new();
        scope.declare("s0", Some(1), Some(4096));
        scope.declare("s1", Some(1), Some(16));
        split(Lowered { kernel, bindings, repeat: None }, &scope).len()
    }

    #[test]
    fn large_products_are_split() {
        assert_eq!(kernels(Dim::int(64), 256, 256), 2);
        assert_eq!(kernels(Dim::int(33), 192, 200), 2);
        assert_eq!(kernels(Dim::sym(Symbol::from("s0")), 768, 768), 2);
        // Few rows, an odd or a short extent, weights that stay in a cache for any number of rows.
        assert_eq!(kernels(Dim::int(8), 256, 256), 1);
        assert_eq!(kernels(Dim::int(64), 257, 256), 1);
        assert_eq!(kernels(Dim::int(64), 64, 256), 1);
        assert_eq!(kernels(Dim::sym(Symbol::from("s0")), 256, 256), 1);
        assert_eq!(kernels(Dim::sym(Symbol::from("s1")), 768, 768), 1);
    }
}
