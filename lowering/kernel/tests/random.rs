//! Random programs of primitives, fused, laid out, lowered and interpreted as kernel IR, against the reference
//! interpreter on the program before. `PT2C_FUZZ=N` makes N programs, `PT2C_SEED=S` begins with another one.

use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{Arg, DType, Fact, InputKind, InputSpec, LocationId, OutputKind, OutputSpec, Program, ValueId};
use pt2c_kernel::interpret::{CallData, Order, interpret};
use pt2c_ops::interpret::Input;
use pt2c_ops::{Scalar, Tensor};
use std::collections::BTreeMap;

/// xorshift64*: a seed gives the same program on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// A program under construction.
struct Maker {
    random: Random,
    program: Program,
    values: Vec<ValueId>,
}

fn ints(values: impl IntoIterator<Item = usize>) -> Arg {
    Arg::Ints(values.into_iter().map(|v| Dim::int(v as i64)).collect())
}

impl Maker {
    fn fact(&self, v: ValueId) -> Fact {
        self.program.graph.fact(v).expect("a fact").clone()
    }

    fn shape(&mut self) -> Vec<Dim> {
        let rank = self.random.below(4);
        let sizes = [Dim::int(1), Dim::int(2), Dim::int(3), Dim::int(4), Dim::int(6), Dim::sym("s0")];
        (0..rank).map(|_| self.random.pick(&sizes)).collect()
    }

    fn input(&mut self) {
        let dtype = self.random.pick(&[DType::F32, DType::F32, DType::F32, DType::I64, DType::Bool, DType::F16]);
        let fact = Fact::new(dtype, self.shape());
        let name = format!("x{}", self.values.len());
        self.program.signature.inputs.push(InputSpec { name: name.clone(), kind: InputKind::Tensor });
        let value = self.program.graph.add_input(&name, fact);
        self.values.push(value);
    }

    /// Adds a call, if the operator can be called like that.
    fn call(&mut self, op: &str, args: Vec<Arg>) -> Option<ValueId> {
        let graph = &self.program.graph;
        let facts: Vec<Arg<Fact>> = args.iter().map(|a| a.map(|v| graph.fact(*v).expect("a fact").clone())).collect();
        let outputs = pt2c_ops::infer(op, &facts, &self.program.scope).ok()?;
        let small = |f: &Fact| f.numel().eval(&|_| Some(7)).is_ok_and(|n| (0..2000).contains(&n)) && f.rank() <= 5;
        if !outputs.iter().all(small) {
            return None;
        }
        let name = op.trim_start_matches("prim.").to_string();
        let node = self.program.graph.add_call(op, args, &name, outputs, LocationId::UNKNOWN).ok()?;
        let made: Vec<ValueId> = self.program.graph.values(node).collect();
        self.values.extend(&made);
        made.first().copied()
    }

    fn value(&mut self) -> ValueId {
        // Recent values more often, so that chains grow.
        let n = self.values.len();
        let back = self.random.below(n).min(self.random.below(n));
        self.values[n - 1 - back]
    }

    fn candidates(&mut self) -> Vec<ValueId> {
        (0..8).map(|_| self.value()).collect()
    }

    fn of(&mut self, dtype: DType) -> Option<ValueId> {
        self.candidates().into_iter().find(|v| self.fact(*v).dtype == dtype)
    }

    fn node(&mut self) -> Option<ValueId> {
        let x = self.value();
        let fact = self.fact(x);
        let rank = fact.rank();
        let t = Arg::Tensor;
        let dim = self.random.below(rank.max(1));
        let number = Arg::Int(Dim::int(dim as i64));
        match self.random.below(31) {
            0 | 1 => {
                let float = ["neg", "abs", "tanh", "sigmoid", "floor", "sign", "exp", "is_nan", "rsqrt"];
                let other = ["neg", "abs", "not", "sign", "is_nan", "floor"];
                let op = if fact.dtype.is_float() { self.random.pick(&float) } else { self.random.pick(&other) };
                self.call(&format!("prim.{op}"), vec![t(x)])
            }
            2..=5 => {
                let y = self.of(fact.dtype)?;
                let op = self.random.pick(&[
                    "add",
                    "sub",
                    "mul",
                    "max",
                    "min",
                    "lt",
                    "eq",
                    "and",
                    "fmax",
                    "div",
                    "rem_floor",
                ]);
                self.call(&format!("prim.{op}"), vec![t(x), t(y)])
            }
            6 => {
                let (c, y) = (self.of(DType::Bool)?, self.of(fact.dtype)?);
                self.call("prim.where", vec![t(c), t(x), t(y)])
            }
            7 => {
                let to = self.random.pick(&[DType::F32, DType::I64, DType::Bool, DType::F16, DType::I32]);
                self.call("prim.cast", vec![t(x), Arg::DType(to)])
            }
            8 | 9 => {
                let shape = self.reshaped(&fact.shape);
                self.call("prim.reshape", vec![t(x), Arg::Ints(shape)])
            }
            10 | 11 => {
                let mut dims: Vec<usize> = (0..rank).collect();
                for i in (1..rank).rev() {
                    dims.swap(i, self.random.below(i + 1));
                }
                self.call("prim.permute", vec![t(x), ints(dims)])
            }
            12 => {
                let mut shape = fact.shape.clone();
                for n in shape.iter_mut().filter(|n| n.is_one()) {
                    *n = self.random.pick(&[Dim::int(1), Dim::int(3), Dim::sym("s0")]);
                }
                if self.random.below(2) == 0 {
                    shape.insert(0, self.random.pick(&[Dim::int(2), Dim::sym("s0")]));
                }
                self.call("prim.expand", vec![t(x), Arg::Ints(shape)])
            }
            13 | 14 => {
                let (mut start, mut size, mut step) = (Vec::new(), Vec::new(), Vec::new());
                for n in &fact.shape {
                    let (a, s, c) = match n.as_int() {
                        Some(n) if n > 1 => {
                            let step = 1 + self.random.below(2) as i64;
                            let start = self.random.below(n as usize) as i64;
                            let most = (n - start - 1) / step + 1;
                            let count = 1 + self.random.below(most as usize) as i64;
                            if self.random.below(4) == 0 {
                                (start + (count - 1) * step, -step, Dim::int(count))
                            } else {
                                (start, step, Dim::int(count))
                            }
                        }
                        None if self.random.below(2) == 0 && n.as_symbol().is_some() => (1, 1, n - 1),
                        _ => (0, 1, n.clone()),
                    };
                    start.push(Dim::int(a));
                    size.push(c);
                    step.push(Dim::int(s));
                }
                self.call("prim.slice", vec![t(x), Arg::Ints(start), Arg::Ints(size), Arg::Ints(step)])
            }
            15 => {
                let value = if fact.dtype.is_float() { Arg::Float(0.5) } else { Arg::Int(Dim::int(1)) };
                let fill = self.call("prim.constant", vec![value, Arg::DType(fact.dtype)])?;
                let low: Vec<usize> = (0..rank).map(|_| self.random.below(3)).collect();
                let high: Vec<usize> = (0..rank).map(|_| self.random.below(3)).collect();
                self.call("prim.pad", vec![t(x), t(fill), ints(low), ints(high)])
            }
            16 => {
                let y = self.candidates().into_iter().find(|v| {
                    let other = self.fact(*v);
                    other.dtype == fact.dtype
                        && other.rank() == rank
                        && other.shape.iter().zip(&fact.shape).enumerate().all(|(d, (a, b))| d == dim || a == b)
                })?;
                (rank > 0).then(|| self.call("prim.cat", vec![Arg::Tensors(vec![Some(x), Some(y)]), number]))?
            }
            17..=19 => {
                let dims: Vec<usize> = (0..rank).filter(|_| self.random.below(2) == 0).collect();
                let kind = match fact.dtype {
                    DType::Bool => self.random.pick(&["all", "any"]),
                    _ => self.random.pick(&["sum", "max", "min"]),
                };
                self.call("prim.reduce", vec![t(x), ints(dims), Arg::Str(kind.into())])
            }
            20 => {
                let kind = self.random.pick(&["argmax", "argmin"]);
                (rank > 0).then(|| self.call("prim.argreduce", vec![t(x), number, Arg::Str(kind.into())]))?
            }
            21 => {
                if rank < 2 || fact.dtype == DType::Bool {
                    return None;
                }
                let one = || ints([1]);
                let kind = Arg::Str(self.random.pick(&["max", "sum"]).into());
                let (w, s) = (1 + self.random.below(2), 1 + self.random.below(2));
                let low = self.random.below(w);
                self.call("prim.window_reduce", vec![t(x), kind, ints([w]), ints([s]), one(), ints([low]), ints([0])])
            }
            22 => {
                let n = fact.shape.get(dim)?.clone();
                let count = n.as_int().map_or(n.clone(), |n| Dim::int(1 + self.random.below(n.max(1) as usize) as i64));
                let index = self.call("prim.iota", vec![Arg::Int(count), Arg::DType(DType::I64)])?;
                match self.random.below(3) {
                    0 => self.call("prim.index", vec![t(x), Arg::Tensors(vec![Some(index)])]),
                    _ => self.call("prim.take", vec![t(x), t(index), number]),
                }
            }
            23 => {
                let y = self.of(fact.dtype)?;
                if fact.dtype == DType::Bool {
                    return None;
                }
                self.call("prim.matmul", vec![t(x), t(y)])
            }
            25 => {
                // Ranges are indices in range of any size at least as large.
                let n = fact.shape.get(dim)?.clone();
                let index = self.call("prim.iota", vec![Arg::Int(n), Arg::DType(DType::I64)])?;
                let mut shape = vec![Dim::ONE; rank];
                shape[dim] = fact.shape[dim].clone();
                let index = self.call("prim.reshape", vec![t(index), Arg::Ints(shape)])?;
                let index = self.call("prim.expand", vec![t(index), Arg::Ints(fact.shape.clone())])?;
                if self.random.below(2) == 0 {
                    return self.call("prim.gather", vec![t(x), t(index), number]);
                }
                let src = self.candidates().into_iter().find(|v| {
                    let other = self.fact(*v);
                    other.dtype == fact.dtype && other.shape == fact.shape
                })?;
                let kind = self.random.pick(&["set", "add"]);
                self.call("prim.scatter", vec![t(x), t(index), t(src), number, Arg::Str(kind.into())])
            }
            26 => {
                let descending = Arg::Bool(self.random.below(2) == 0);
                (rank > 0).then(|| self.call("prim.sort", vec![t(x), number, descending, Arg::Bool(true)]))?
            }
            27 => {
                let n = fact.shape.get(dim)?.as_int().filter(|n| *n > 0)?;
                let k = Arg::Int(Dim::int(1 + self.random.below(n as usize) as i64));
                let largest = Arg::Bool(self.random.below(2) == 0);
                self.call("prim.topk", vec![t(x), k, number, largest, Arg::Bool(true)])
            }
            28 => {
                // A convolution of the value, seen as a batch of planes, with a part of itself as the weight.
                let channels = fact.shape.get(1)?.as_int()?;
                if rank != 3 || !fact.dtype.is_float() {
                    return None;
                }
                let weight = self.candidates().into_iter().find(|v| {
                    let other = self.fact(*v);
                    let known = other.static_shape();
                    other.dtype == fact.dtype && known.is_some_and(|s| s.len() == 3 && s[1] == channels && s[2] < 4)
                })?;
                let (s, d, p) = (1 + self.random.below(2), 1 + self.random.below(2), self.random.below(2));
                let high = self.random.below(2) + 3;
                let args = vec![t(x), t(weight), ints([s]), ints([p]), ints([high]), ints([d]), Arg::Int(Dim::ONE)];
                self.call("prim.conv", args)
            }
            29 => {
                if rank < 3 || fact.dtype != DType::F32 {
                    return None;
                }
                let kv = self.candidates().into_iter().find(|v| self.fact(*v) == fact)?;
                let causal = Arg::Bool(self.random.below(2) == 0);
                self.call("prim.attention", vec![t(x), t(kv), t(x), Arg::None, Arg::Float(0.5), causal])
            }
            24 => {
                let kind = self.random.pick(&["sum", "max"]);
                (rank > 0 && fact.dtype != DType::Bool)
                    .then(|| self.call("prim.scan", vec![t(x), number, Arg::Str(kind.into())]))?
            }
            _ => {
                let small: Vec<Dim> =
                    fact.shape.iter().map(|n| if n.is_int() { Dim::int(1) } else { n.clone() }).collect();
                let src = self.candidates().into_iter().find(|v| {
                    let other = self.fact(*v);
                    other.dtype == fact.dtype && other.shape == small
                })?;
                let start = ints(vec![0; rank]);
                let step = ints(vec![1; rank]);
                self.call("prim.update_slice", vec![t(x), t(src), start, step])
            }
        }
    }

    /// Another shape of as many elements: dimensions merged, split, or of size 1 put in or taken out.
    fn reshaped(&mut self, shape: &[Dim]) -> Vec<Dim> {
        let mut shape = shape.to_vec();
        for _ in 0..1 + self.random.below(2) {
            let at = self.random.below(shape.len().max(1));
            match self.random.below(4) {
                0 if at + 1 < shape.len() => {
                    let next = shape.remove(at + 1);
                    shape[at] = &shape[at] * &next;
                }
                1 if !shape.is_empty() => {
                    let n = shape[at].as_int().unwrap_or(1);
                    if let Some(f) = [2, 3].into_iter().find(|f| n % f == 0) {
                        shape[at] = Dim::int(n / f);
                        shape.insert(at + 1, Dim::int(f));
                    }
                }
                2 => shape.insert(at.min(shape.len()), Dim::ONE),
                _ if !shape.is_empty() && shape[at].is_one() => drop(shape.remove(at)),
                _ => {}
            }
        }
        shape
    }
}

fn make(seed: u64) -> Program {
    let mut maker = Maker { random: Random(seed | 1), program: Program::default(), values: Vec::new() };
    for _ in 0..4 {
        maker.random.below(2);
    }
    maker.program.scope.declare("s0", Some(3), Some(7));
    // One input that binds the symbol, whatever the others are.
    let name = "bind".to_string();
    maker.program.signature.inputs.push(InputSpec { name: name.clone(), kind: InputKind::Tensor });
    let bind = maker.program.graph.add_input(&name, Fact::new(DType::F32, [Dim::sym("s0"), Dim::int(3)]));
    maker.values.push(bind);
    for _ in 0..1 + maker.random.below(3) {
        maker.input();
    }
    let target = 3 + maker.random.below(14);
    let mut made = 0;
    for _ in 0..target * 6 {
        made += usize::from(maker.node().is_some());
        if made >= target {
            break;
        }
    }
    let graph = &maker.program.graph;
    let unused: Vec<ValueId> = maker.values.iter().copied().filter(|v| graph.users(v.node).is_empty()).collect();
    let mut outputs: Vec<ValueId> = unused;
    for _ in 0..maker.random.below(2) {
        outputs.push(maker.random.pick(&maker.values));
    }
    let computed = |v: &ValueId| maker.program.graph.node(v.node).op().is_some();
    outputs.retain(computed);
    for i in 0..outputs.len() {
        maker.program.signature.outputs.push(OutputSpec { name: format!("y{i}"), kind: OutputKind::User });
    }
    maker.program.graph.outputs = outputs.into_iter().map(Arg::Tensor).collect();
    maker.program.graph.remove_dead(|_| false);
    maker.program
}

fn tensor(random: &mut Random, fact: &Fact, s0: i64) -> Tensor {
    let shape: Vec<usize> = fact.shape.iter().map(|d| d.eval(&|_| Some(s0)).expect("known") as usize).collect();
    Tensor::from_fn(fact.dtype, &shape, |_| {
        let n = random.below(17) as i64 - 8;
        match fact.dtype {
            DType::Bool => Scalar::Bool(n > 0),
            d if d.is_float() => Scalar::Float(n as f64 * 0.25),
            _ => Scalar::Int(n),
        }
    })
}

/// Whether two results are one: exactly for integers, near enough for floats. Sums in another order differ, so
/// integers and booleans behind a comparison of sums may; the values here are multiples of 1/4, whose sums are exact.
fn same(dtype: DType, a: Scalar, b: Scalar) -> bool {
    let (x, y) = (a.to_f64(), b.to_f64());
    let tolerance = match dtype {
        DType::F32 => 1e-4,
        DType::F16 => 1e-2,
        _ => 0.0,
    };
    x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * x.abs().max(1.0)
}

/// Inference takes sizes that it cannot tell apart for equal, and the categories of an operator show only when it is
/// evaluated: programs that the reference refuses are not tested.
fn means_something(program: &Program, seed: u64) -> bool {
    [3, 6].into_iter().all(|s0| {
        let mut random = Random(seed | 1);
        let facts = program.graph.inputs().map(|v| program.graph.fact(v).expect("a fact").clone());
        let inputs: Vec<Input> = facts.map(|fact| Input::Tensor(tensor(&mut random, &fact, s0))).collect();
        pt2c_ops::interpret::run(program, &inputs, &Default::default()).is_ok()
    })
}

fn run(program: &Program, seed: u64) -> Result<(), String> {
    pt2c_ops::verify::check(program, pt2c_ops::verify::Stage::Primitives, "make").map_err(|e| e.to_string())?;
    let mut fused = program.clone();
    for phase in ["fuse", "assign_layouts"] {
        let phase = pt2c_passes::pipeline::phase(phase).expect("a phase");
        fused = pt2c_passes::pipeline::run_phase(phase, &fused).map_err(|e| e.to_string())?;
    }
    let kernels = pt2c_kernel::lower::lower(&fused).map_err(|e| e.to_string())?;
    // No size is 1: a size that is 1 by chance would broadcast, which programs that PyTorch exports do not do.
    for (s0, order) in [(3, Order::Forward), (6, Order::Backward)] {
        let mut random = Random(seed | 1);
        let mut before = CallData::default();
        let mut inputs = Vec::new();
        for (i, v) in program.graph.inputs().enumerate() {
            let tensor = tensor(&mut random, program.graph.fact(v).expect("a fact"), s0);
            before.inputs.insert(i, tensor.to_bytes());
            inputs.push(Input::Tensor(tensor));
        }
        let symbols = BTreeMap::from([(Symbol::from("s0"), s0)]);
        let expected = pt2c_ops::interpret::run(program, &inputs, &Default::default()).map_err(|e| e.to_string())?;
        let found = interpret(&kernels, &symbols, &before, order).map_err(|e| format!("s0 = {s0}, {order:?}: {e}"))?;
        for (i, expected) in expected.outputs.iter().enumerate() {
            let Arg::Tensor(expected) = expected else { continue };
            let bytes = found.outputs.get(&i).ok_or("an output is missing")?;
            let found = Tensor::from_bytes(expected.dtype(), expected.shape(), bytes)
                .map_err(|e| format!("output {i}: {e}"))?;
            for at in 0..expected.numel() {
                let (a, b) = (expected.get(at), found.get(at));
                if !same(expected.dtype(), a, b) {
                    let fact = expected.fact();
                    return Err(format!("s0 = {s0}, {order:?}: output {i} {fact} [{at}] is {b:?}, expected {a:?}"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn random_programs() {
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual);
    let (count, first) = (number("PT2C_FUZZ", 400), number("PT2C_SEED", 1));
    let mut failures = BTreeMap::<String, (usize, u64)>::new();
    let mut shown = 0;
    for seed in first..first + count {
        let program = make(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if program.graph.outputs.is_empty() || !means_something(&program, seed) {
            continue;
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&program, seed)))
            .unwrap_or_else(|_| Err("a panic".into()));
        if let Err(error) = result {
            let kind: String = error.chars().filter(|c| !c.is_ascii_digit()).take(70).collect();
            let entry = failures.entry(kind).or_insert((0, seed));
            entry.0 += 1;
            if entry.0 == 1 && shown < 12 {
                shown += 1;
                eprintln!("PT2C_SEED={seed}: {error}\n{}", pt2c_ir::text::print(&program));
            }
        }
    }
    assert!(failures.is_empty(), "of {count} programs fail, by kind with the first seed: {failures:#?}");
}
