//! Proofs, bounds and simplification: never wrong (against enumeration), and strong enough for what shapes and loops
//! need.

use super::naive::{Cond, NAMES, Random, Tree, lookup};
use crate::dim::{Dim, Interval, Pred, Proof, Scope, parse_plain, parse_plain_pred};

fn d(text: &str) -> Dim {
    parse_plain(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn p(text: &str) -> Pred {
    parse_plain_pred(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// A random scope over small ranges, and all assignments that satisfy it.
fn random_scope(random: &mut Random) -> (Scope, Vec<[i64; 3]>) {
    let mut scope = Scope::new();
    let mut ranges = [(0, 0); 3];
    for (name, range) in NAMES.iter().zip(&mut ranges) {
        let low = random.between(-3, 4);
        *range = (low, low + random.between(0, 6));
        scope.declare(*name, Some(range.0), Some(range.1));
    }
    // Half of the time z is a loop variable with a symbolic extent.
    let looped = random.below(2) == 0;
    let (lo, extent) = (Tree::random(random, 0), Tree::random(random, 1));
    let uses_z = |t: &Tree| t.dim().symbols().contains(&"z".into());
    let looped = looped && !uses_z(&lo) && !uses_z(&extent);
    if looped {
        scope.declare_in("z", lo.dim(), extent.dim());
        ranges[2] = (-40, 60);
    }
    let facts: Vec<Cond> = (0..random.below(3)).map(|_| Cond::random(random, 1)).collect();
    for fact in &facts {
        scope.assume(fact.pred());
    }
    let mut points = Vec::new();
    for x in ranges[0].0..=ranges[0].1 {
        for y in ranges[1].0..=ranges[1].1 {
            for z in ranges[2].0..=ranges[2].1 {
                let vars = [x, y, z];
                let in_loop = !looped
                    || match (lo.eval(&vars), extent.eval(&vars)) {
                        (Some(lo), Some(extent)) => (lo..lo + extent).contains(&z),
                        _ => false,
                    };
                if in_loop && facts.iter().all(|f| f.eval(&vars) == Some(true)) {
                    points.push(vars);
                }
            }
        }
    }
    (scope, points)
}

#[test]
fn simplification_and_bounds_are_sound() {
    let mut random = Random::new(11);
    let mut changed = 0;
    for _ in 0..6000 {
        let (scope, points) = random_scope(&mut random);
        for _ in 0..4 {
            let tree = Tree::random(&mut random, 3);
            let dim = tree.dim();
            let simple = scope.simplify(&dim);
            let bounds = scope.bounds(&dim);
            changed += u32::from(simple != dim);
            for vars in &points {
                if let Some(want) = tree.eval(vars) {
                    assert_eq!(simple.eval(&lookup(vars)), Ok(want), "{scope:#?}\n{tree:?}\n{dim}\n{simple}\n{vars:?}");
                    assert!(bounds.contains(want), "{scope:#?}\n{dim} in {bounds:?}\n{vars:?}: {want}");
                }
            }
        }
    }
    assert!(changed > 2000, "{changed}");
}

#[test]
fn proofs_are_sound() {
    let mut random = Random::new(12);
    let mut counts = [0; 3];
    for _ in 0..8000 {
        let (scope, points) = random_scope(&mut random);
        for _ in 0..4 {
            let cond = Cond::random(&mut random, 2);
            let pred = cond.pred();
            let proof = scope.prove(&pred);
            let simple = scope.simplify_pred(&pred);
            counts[proof as usize] += 1;
            for vars in &points {
                let Some(holds) = cond.eval(vars) else { continue };
                let wrong = match proof {
                    Proof::Yes => !holds,
                    Proof::No => holds,
                    Proof::Unknown => false,
                };
                assert!(!wrong, "{scope:#?}\n{pred}: {proof:?}\n{vars:?}");
                assert_eq!(simple.eval(&lookup(vars)), Ok(holds), "{scope:#?}\n{pred}\n{simple}\n{vars:?}");
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 2000), "{counts:?}");
}

/// Sizes `h, w, c, s, t >= 1`, loop variables over them: `i < h`, `j < w`, `k < c`.
fn loops() -> Scope {
    let mut scope = Scope::new();
    for name in ["h", "w", "c", "s", "t"] {
        scope.declare(name, Some(1), None);
    }
    scope.declare_in("i", Dim::ZERO, d("h"));
    scope.declare_in("j", Dim::ZERO, d("w"));
    scope.declare_in("k", Dim::ZERO, d("c"));
    scope.declare("b", Some(0), Some(3));
    scope.declare("u0", Some(0), None);
    scope
}

#[test]
fn loop_indices_simplify() {
    let scope = loops();
    for (from, to) in [
        ("(i*w + j)//w", "i"),
        ("(i*w + j) % w", "j"),
        ("((i*w + j)*c + k)//(w*c)", "i"),
        ("((i*w + j)*c + k)//c", "i*w + j"),
        ("((i*w + j)*c + k)//c % w", "j"),
        ("((i*w + j)*c + k) % (w*c)", "j*c + k"),
        ("((i*w + j)*c + k) % c", "k"),
        ("(j*c + k)//(w*c)", "0"),
        ("((i*w + j)*c + k)//(w*c) % h", "i"),
        ("(4*i + b)//4", "i"),
        ("(4*i + b) % 4", "b"),
        ("(4*i + b)//8", "i//2"),
        ("(4*i + b) % 8", "4*(i % 2) + b"),
        ("(3 - b) % 4", "3 - b"),
        ("(16*i + 4*b + 3)//16", "i"),
        ("((i//w)//c)", "i//(w*c)"),
        ("((i % (4*w)) % w)", "i % w"),
        ("Max(0, i)", "i"),
        ("Min(i, h)", "i"),
        ("Min(i, h - 1)", "i"),
        ("Max(1, s)", "s"),
        ("Max(i, j, i + j)", "i + j"),
        ("Where(i < h, i, 7)", "i"),
        ("Where(j >= w, 7, j)", "j"),
        ("Max(0, Min(i + 1, h))", "i + 1"),
        ("((j + 1) % (w + 1))", "j + 1"),
        ("(s*w)//w", "s"),
        ("abs(i)", "i"),
        ("Where(u0 < 0, u0 + s, u0)", "u0"),
        ("(4*s)//4", "s"),
        ("(s*t + s - 1)//s", "t"),
        ("(i*(s + 1) + j % (s + 1))//(s + 1)", "i"),
        ("(i - h)//h", "-1"),
        ("(i - h) % h", "i"),
    ] {
        assert_eq!(scope.simplify(&d(from)), scope.simplify(&d(to)), "{from}");
        assert_eq!(scope.simplify(&d(to)), d(to), "{to}");
    }
}

#[test]
fn facts_about_loops_and_sizes_are_proved() {
    let mut scope = loops();
    scope.assume(p("s % 8 == 0"));
    scope.assume(p("u0 <= t"));
    for yes in [
        "i*w + j < h*w",
        "(i*w + j)*c + k < h*w*c",
        "(i*w + j)*c + k >= 0",
        "i <= h",
        "i*s + (s - 1) < h*s",
        "s*t >= s",
        "s*t + 1 >= s + t",
        "s // 2 <= s",
        "(s + 1)//2 <= s",
        "(s - 1)//2 + 1 >= 1",
        "s - s // 2 >= 0",
        "4*(i // 4) <= i",
        "i % 4 <= i",
        "i - 4*(i // 4) < 4",
        "i // 4 < (h + 3)//4",
        "4*(i//4) + 3 < 4*((h + 3)//4)",
        "Min(i + 4, h) - i >= 1",
        "Min(i + 4, h) <= h",
        "Max(s, t) >= t",
        "Max(s, t) >= Min(s, t)",
        "Max(s, t) <= s + t",
        "s % 4 == 0",
        "(s // 8)*8 == s",
        "(s // 4)*4 == s",
        "(s + 3)//8 == s//8",
        "(s*t) % 8 == 0",
        "2*(s // 2) == s",
        "u0 < t + 1",
        "u0 * s <= t * s",
        "s != 0",
        "s*t != 0",
        "s + 1 != s",
        "s != 7",
        "s >= 8",
    ] {
        assert_eq!(scope.prove(&p(yes)), Proof::Yes, "{yes}");
        assert_eq!(scope.prove(&p(yes).not()), Proof::No, "not {yes}");
    }
    for unknown in ["s == t", "s == 8", "i < 4", "s <= t", "u0 == 0", "t % 2 == 0", "i*w + j < h*c"] {
        assert_eq!(scope.prove(&p(unknown)), Proof::Unknown, "{unknown}");
    }
}

#[test]
fn equalities_make_expressions_interchangeable() {
    let mut scope = Scope::new();
    scope.declare("s0", Some(2), Some(64));
    scope.declare("s1", Some(4), Some(128));
    scope.assume(p("s1 == s0"));
    assert_eq!(scope.prove_eq(&d("s1*3"), &d("3*s0")), Proof::Yes);
    assert_eq!(scope.bounds(&d("s0")), Interval::new(Some(4), Some(64)));
    scope.assume(p("s2 == 2*s1 + 1"));
    assert_eq!(scope.simplify(&d("s2 - s0")), d("s0 + 1"));
    scope.declare("s2", None, Some(21));
    assert_eq!(scope.bounds(&d("s0")), Interval::new(Some(4), Some(10)));
    scope.assume(p("s3 == s0 // 2 and s3 >= 5"));
    assert_eq!(scope.prove(&p("s0 == 10")), Proof::Yes);
    let mut derived = Scope::new();
    derived.declare("s39", Some(1), None);
    derived.assume(p("64 <= 32*s39 and 32*s39 <= 1024"));
    assert_eq!(derived.range_of(&"s39".into()), Interval::new(Some(2), Some(32)));
    derived.assume(p("s39 != 2"));
    assert_eq!(derived.range_of(&"s39".into()).min, Some(3));
    derived.declare("s40", Some(1), None);
    derived.assume(p("s39 + 2*s40 <= 100"));
    assert_eq!(derived.range_of(&"s40".into()).max, Some(48));
}

#[test]
fn guards_tighten_ranges() {
    let mut scope = Scope::new();
    scope.declare("s0", Some(2), None);
    scope.declare("s1", Some(1), None);
    scope.assume(p("(1 + (((-1) + s0) // 2)) != 1"));
    assert_eq!(scope.range_of(&"s0".into()), Interval::new(Some(3), None));
    scope.assume(p("s0*s1 != 3"));
    assert_eq!(scope.prove(&p("s0*s1 >= 4")), Proof::Yes);
    assert_eq!(scope.range_of(&"s0".into()).to_string(), "[3, ∞)");
}

#[test]
fn divisibility() {
    let mut scope = Scope::new();
    scope.declare("s", Some(1), None);
    assert_eq!(scope.prove_divisible(&d("6*s"), &d("3")), Proof::Yes);
    assert_eq!(scope.prove_divisible(&d("6*s + 1"), &d("3")), Proof::No);
    assert_eq!(scope.prove_divisible(&d("s"), &d("3")), Proof::Unknown);
    assert_eq!(scope.prove_divisible(&d("s*t"), &d("s")), Proof::Yes);
    scope.assume(Pred::divisible(&d("s"), &d("12")));
    assert_eq!(scope.prove_divisible(&d("s"), &d("4")), Proof::Yes);
    assert_eq!(scope.prove_divisible(&d("s + 6"), &d("6")), Proof::Yes);
    assert_eq!(scope.prove_divisible(&d("s + 1"), &d("3")), Proof::No);
    assert_eq!(scope.prove_divisible(&d("s"), &d("24")), Proof::Unknown);
    assert_eq!(scope.prove_divisible(&d("2*s"), &d("24")), Proof::Yes);
}

#[test]
fn contradictory_and_overflowing_facts_do_no_harm() {
    let mut scope = Scope::new();
    scope.declare("s", Some(5), Some(2));
    scope.assume(p("s == s + 1"));
    scope.assume(p("t < t"));
    scope.assume(Pred::le(&Dim::int(i64::MAX), &d("2*q")));
    scope.declare("r", Some(i64::MIN), Some(i64::MAX));
    scope.assume(Pred::le(&(d("r") * i64::MAX), &(d("q") * i64::MAX)));
    for text in ["s // t", "Max(s, t)", "r*r*r", "q - r", "Where(s < t, q, r) % s"] {
        let dim = d(text);
        let _ = (scope.simplify(&dim), scope.bounds(&dim), scope.prove_le(&dim, &d("r*q")));
    }
    assert_eq!(scope.bounds(&d("r*r")).max, None);
}

#[test]
fn tiled_loops_stay_in_bounds() {
    let mut scope = Scope::new();
    scope.declare("h", Some(0), None);
    scope.declare("w", Some(0), None);
    // Tiles of 4 with a shorter last one, whole tiles with a tail, and the same with a symbolic tile size.
    scope.declare("tile", Some(1), None);
    let mut ragged = scope.clone();
    ragged.declare_in("o", Dim::ZERO, d("(h + 3)//4"));
    ragged.declare_in("i", Dim::ZERO, d("Min(4, h - 4*o)"));
    ragged.declare_in("p", Dim::ZERO, d("CeilDiv(w, tile)"));
    ragged.declare_in("j", Dim::ZERO, d("Min(tile, w - tile*p)"));
    for yes in [
        "4*o + i < h",
        "4*o < h",
        "i < 4",
        "tile*p + j < w",
        "tile*p < w",
        "j < tile",
        "(4*o + i)*w + tile*p + j < h*w",
    ] {
        assert_eq!(ragged.prove(&p(yes)), Proof::Yes, "{yes}");
    }
    assert_eq!(ragged.simplify(&d("(4*o + i)//4")), d("o"));
    assert_eq!(ragged.simplify(&d("(4*o + i) % 4")), d("i"));
    assert_eq!(ragged.simplify(&d("(tile*p + j)//tile")), d("p"));
    let mut whole = scope.clone();
    whole.declare_in("o", Dim::ZERO, d("h//4"));
    whole.declare_in("i", Dim::ZERO, d("4"));
    assert_eq!(whole.prove(&p("4*o + i < h")), Proof::Yes);
    assert_eq!(whole.prove(&p("4*o + 4 <= h")), Proof::Yes);
    let mut tail = scope.clone();
    tail.declare_in("t", d("4*(h//4)"), d("h % 4"));
    assert_eq!(tail.prove(&p("t < h")), Proof::Yes);
    assert_eq!(tail.prove(&p("t >= 0")), Proof::Yes);
    let mut from = scope.clone();
    from.declare_in("t", Dim::ZERO, d("h - 4*(h//4)"));
    assert_eq!(from.prove(&p("4*(h//4) + t < h")), Proof::Yes);
    // A convolution's window, padded by 1: the guarded part reads inside.
    let mut window = scope.clone();
    window.declare_in("y", Dim::ZERO, d("(h - 1)//2 + 1"));
    window.declare_in("k", Dim::ZERO, d("3"));
    assert_eq!(window.prove(&p("2*y + k - 1 <= h")), Proof::Yes);
    assert_eq!(window.prove(&p("2*y + k - 1 < h")), Proof::Unknown);
    window.assume(p("0 <= 2*y + k - 1 and 2*y + k - 1 < h"));
    assert_eq!(window.prove(&p("(2*y + k - 1)*w < h*w or w == 0")), Proof::Unknown);
    window.declare("w", Some(1), None);
    assert_eq!(window.prove(&p("(2*y + k - 1)*w < h*w")), Proof::Yes);
    assert_eq!(window.prove(&p("(2*y + k - 1)*w >= 0")), Proof::Yes);
    // Two pieces of a concatenation.
    let mut joined = Scope::new();
    joined.declare("a", Some(1), None);
    joined.declare("b", Some(1), None);
    joined.declare_in("x", Dim::ZERO, d("a + b"));
    joined.assume(p("x >= a"));
    assert_eq!(joined.prove(&p("x - a < b")), Proof::Yes);
    assert_eq!(joined.simplify(&d("(x - a) % b")), d("x - a"));
    assert_eq!(joined.simplify(&d("Max(x, a)")), d("x"));
}
