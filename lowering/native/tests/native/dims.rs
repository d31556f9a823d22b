//! Symbolic expressions as generated code, against [`Dim::eval`].

use crate::support::{function, load};
use pt2c_ir::dim::{Dim, Pred, Scope};
use pt2c_native::Target;
use pt2c_native::builder::{Func, Type};
use pt2c_native::dims::Indices;

#[test]
fn expressions_have_the_value_that_eval_gives() {
    let target = Target::baseline();
    let (a, b, n) = (&Dim::sym("a"), &Dim::sym("b"), Dim::int);
    let dims = [
        a * b * 3 - a * 2 + 7,
        a.floor_div(b),
        a.modulo(b),
        (a * a - 5).floor_div(&n(3)),
        (a - 9).modulo(&n(4)),
        Dim::max_of([a.clone(), b.clone(), n(3)]) - a.min(b),
        a.pow(&n(3)) + b.pow(&n(2)),
        (a + 7).floor_div(&n(8)) * 8,
        (a - b).floor_div(&(a + b + 20)),
        Dim::where_(Pred::lt(a, b), a.floor_div(b), b * 2),
    ];
    let mut functions = Vec::new();
    for (k, dim) in dims.iter().enumerate() {
        // With no bounds known every division must round as Python does; with bounds it may be unsigned.
        for (variant, min) in [("any", None), ("positive", Some(1))] {
            let mut scope = Scope::new();
            scope.declare("a", min, None);
            scope.declare("b", min, None);
            let mut b = Func::new(&target, format!("f{k}_{variant}")).public();
            let (x, y) = (b.param(Type::INDEX), b.param(Type::INDEX));
            b.returns(&[Type::INDEX]);
            let mut indices = Indices::new(scope);
            indices.bind("a", x);
            indices.bind("b", y);
            let value = indices.dim(&mut b, dim).expect("both symbols are bound");
            b.ret(&[value]);
            functions.push(b);
        }
    }
    let names: Vec<String> = functions.iter().map(|f| f.name().to_string()).collect();
    let public: Vec<&str> = names.iter().map(String::as_str).collect();
    let loaded = load(functions, &target, &public);
    for (k, dim) in dims.iter().enumerate() {
        let any = function!(loaded, &format!("f{k}_any"), extern "C" fn(i64, i64) -> i64);
        let positive = function!(loaded, &format!("f{k}_positive"), extern "C" fn(i64, i64) -> i64);
        for a in -9..20 {
            for b in -4..6 {
                let want = dim.eval(&|s| match s.as_str() {
                    "a" => Some(a),
                    "b" => Some(b),
                    _ => None,
                });
                let got = any(a, b);
                if let Ok(want) = want {
                    assert_eq!(got, want, "{} at a={a} b={b}", dim);
                    if a > 0 && b > 0 {
                        assert_eq!(positive(a, b), want, "{} at a={a} b={b}", dim);
                    }
                }
            }
        }
    }
    let mut b = Func::new(&target, "unbound");
    assert!(Indices::new(Scope::new()).dim(&mut b, &Dim::sym("z")).is_err());
}
