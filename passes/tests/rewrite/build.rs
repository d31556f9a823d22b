//! Programs made for tests, and comparison of what they compute.

use indexmap::IndexMap;
use pt2c_ir::dim::Dim;
use pt2c_ir::{
    Arg, DType, Fact, InputKind, InputSpec, LocationId, NodeKind, OutputKind, OutputSpec, Program, TensorData,
    TensorEntry, TensorRole, ValueId,
};
use pt2c_ops::interpret::{Input, run};
use pt2c_ops::{Tensor, infer};
use pt2c_passes::rewrite::{Log, Options, rewrite_with_log};

/// A small deterministic generator (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Between -2 and 2.
    pub fn float(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 51) as f64 - 2.0
    }

    /// A tensor of such numbers.
    pub fn tensor(&mut self, dtype: DType, shape: &[usize]) -> Tensor {
        let n = shape.iter().product();
        match dtype {
            DType::Bool => Tensor::bools(shape, (0..n).map(|_| self.below(2) == 1).collect()),
            d if d.is_float() => Tensor::floats(d, shape, (0..n).map(|_| self.float()).collect()),
            d => Tensor::ints(d, shape, (0..n).map(|_| self.below(100) as i64 - 50).collect()),
        }
    }
}

/// A program under construction.
#[derive(Default)]
pub struct P {
    pub program: Program,
    seed: u64,
}

pub fn dims(sizes: &[i64]) -> Arg {
    Arg::Ints(sizes.iter().map(|&n| Dim::int(n)).collect())
}

pub fn t(v: ValueId) -> Arg {
    Arg::Tensor(v)
}

impl P {
    pub fn new() -> P {
        P::default()
    }

    pub fn input(&mut self, dtype: DType, shape: &[i64]) -> ValueId {
        self.input_of(Fact::of(dtype, shape))
    }

    pub fn input_of(&mut self, fact: Fact) -> ValueId {
        let name = format!("x{}", self.program.signature.inputs.len());
        self.program.signature.inputs.push(InputSpec { name: name.clone(), kind: InputKind::Tensor });
        self.program.graph.add_input(&name, fact)
    }

    /// A parameter with random values.
    pub fn weight(&mut self, shape: &[i64]) -> ValueId {
        self.seed += 1;
        let sizes: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
        let values = Random(self.seed).tensor(DType::F32, &sizes);
        self.tensor(&values)
    }

    /// A parameter without zeros or negative numbers.
    pub fn positive(&mut self, shape: &[i64]) -> ValueId {
        self.seed += 1;
        let sizes: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
        let values = Random(self.seed).tensor(DType::F32, &sizes);
        let values = values.to_f64s().into_iter().map(|x| x.abs() + 0.5).collect();
        self.tensor(&Tensor::floats(DType::F32, &sizes, values))
    }

    pub fn tensor(&mut self, values: &Tensor) -> ValueId {
        let name = format!("w{}", self.program.tensors.len());
        let data = TensorData::dense(values.dtype(), values.shape().to_vec(), values.to_bytes()).unwrap();
        let entry = TensorEntry { role: TensorRole::Parameter, fact: values.fact(), data: Some(data) };
        self.program.tensors.insert(name.clone(), entry);
        self.program.graph.add_tensor(&name, &name, values.fact())
    }

    pub fn calls(&mut self, op: &str, args: Vec<Arg>) -> Vec<ValueId> {
        let facts: Vec<Arg<Fact>> =
            args.iter().map(|a| a.map(|v| self.program.graph.fact(*v).unwrap().clone())).collect();
        let facts = infer(op, &facts, &self.program.scope).unwrap_or_else(|e| panic!("{op}: {e}"));
        let name = op.split('.').nth(1).unwrap();
        let node = self.program.graph.add_call(op, args, name, facts, LocationId::UNKNOWN).unwrap();
        self.program.graph.values(node).collect()
    }

    pub fn call(&mut self, op: &str, args: Vec<Arg>) -> ValueId {
        self.calls(op, args)[0]
    }

    pub fn unary(&mut self, op: &str, x: ValueId) -> ValueId {
        self.call(&format!("prim.{op}"), vec![t(x)])
    }

    pub fn binary(&mut self, op: &str, x: ValueId, y: ValueId) -> ValueId {
        self.call(&format!("prim.{op}"), vec![t(x), t(y)])
    }

    pub fn number(&mut self, x: f64) -> ValueId {
        self.call("prim.constant", vec![Arg::Float(x), Arg::DType(DType::F32)])
    }

    pub fn cast(&mut self, x: ValueId, dtype: DType) -> ValueId {
        self.call("prim.cast", vec![t(x), Arg::DType(dtype)])
    }

    pub fn reshape(&mut self, x: ValueId, shape: &[i64]) -> ValueId {
        self.call("prim.reshape", vec![t(x), dims(shape)])
    }

    pub fn expand(&mut self, x: ValueId, shape: &[i64]) -> ValueId {
        self.call("prim.expand", vec![t(x), dims(shape)])
    }

    pub fn permute(&mut self, x: ValueId, order: &[i64]) -> ValueId {
        self.call("prim.permute", vec![t(x), dims(order)])
    }

    pub fn reduce(&mut self, x: ValueId, over: &[i64], kind: &str) -> ValueId {
        self.call("prim.reduce", vec![t(x), dims(over), Arg::Str(kind.into())])
    }

    pub fn shape(&self, x: ValueId) -> Vec<i64> {
        self.program.graph.fact(x).unwrap().static_shape().unwrap()
    }

    /// Reduced over the last dimension, which stays.
    pub fn row(&mut self, x: ValueId, kind: &str) -> ValueId {
        let mut shape = self.shape(x);
        let last = shape.len() - 1;
        let y = self.reduce(x, &[last as i64], kind);
        shape[last] = 1;
        self.reshape(y, &shape)
    }

    /// Softmax along the last dimension, written out.
    pub fn softmax(&mut self, x: ValueId) -> ValueId {
        let top = self.row(x, "max");
        let below = self.binary("sub", x, top);
        let e = self.unary("exp", below);
        let sum = self.row(e, "sum");
        self.binary("div", e, sum)
    }

    pub fn conv(&mut self, x: ValueId, w: ValueId) -> ValueId {
        let args = vec![t(x), t(w), dims(&[1, 1]), dims(&[1, 1]), dims(&[1, 1]), dims(&[1, 1]), Arg::Int(Dim::ONE)];
        self.call("prim.conv", args)
    }

    pub fn out(&mut self, x: ValueId) {
        self.program.graph.outputs.push(t(x));
        let name = format!("y{}", self.program.signature.outputs.len());
        self.program.signature.outputs.push(OutputSpec { name, kind: OutputKind::User });
    }
}

/// The operators of a program in order, without the namespace.
pub fn ops(program: &Program) -> Vec<String> {
    let calls = program.graph.nodes().filter_map(|(_, n)| match &n.kind {
        NodeKind::Call { op, .. } => Some(op.trim_start_matches("prim.").to_string()),
        _ => None,
    });
    calls.collect()
}

/// How many calls of an operator there are.
pub fn count(program: &Program, op: &str) -> usize {
    ops(program).iter().filter(|o| *o == op).count()
}

/// What the program returns for inputs drawn from `seed`; a symbolic size is 3.
pub fn results(program: &Program, seed: u64) -> Vec<Tensor> {
    let mut random = Random(seed);
    let facts: Vec<Fact> = program.graph.inputs().map(|v| program.graph.fact(v).unwrap().clone()).collect();
    let inputs: Vec<Input> = facts
        .iter()
        .map(|f| {
            let shape: Vec<usize> = f.shape.iter().map(|d| d.eval(&|_| Some(3)).unwrap() as usize).collect();
            Input::Tensor(random.tensor(f.dtype, &shape))
        })
        .collect();
    let outcome = run(program, &inputs, &IndexMap::new()).unwrap_or_else(|e| panic!("{e}"));
    outcome.outputs.into_iter().map(|a| if let Arg::Tensor(t) = a { t } else { panic!("no tensor") }).collect()
}

/// Whether two results are the same up to rounding.
pub fn close(a: &Tensor, b: &Tensor) -> bool {
    if a.dtype() != b.dtype() || a.shape() != b.shape() {
        return false;
    }
    let tolerance = match a.dtype() {
        DType::F64 => 1e-12,
        DType::F32 => 2e-5,
        DType::BF16 | DType::F16 => 2e-2,
        _ => 0.0,
    };
    a.to_f64s().iter().zip(b.to_f64s()).all(|(x, y)| {
        *x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * x.abs().max(y.abs()).max(1.0)
    })
}

/// Whether the facts of every call are those that follow from its operands.
fn check_facts(program: &Program) {
    for (_, node) in program.graph.nodes() {
        let Some(op) = node.op() else { continue };
        let facts: Vec<Arg<Fact>> =
            node.args().iter().map(|a| a.map(|v| program.graph.fact(*v).unwrap().clone())).collect();
        let inferred = infer(op, &facts, &program.scope).unwrap_or_else(|e| panic!("{op}: {e}"));
        assert_eq!(inferred, node.outputs, "{op}");
    }
}

/// Rewrites, checks that the values are the same and no rule contradicted the facts; returns program and log.
pub fn check(program: &Program) -> (Program, Log) {
    let (rewritten, log) = rewrite_with_log(program, &Options::default()).unwrap_or_else(|e| panic!("{e}"));
    assert!(log.conflicts.is_empty(), "{:?}", log.conflicts);
    assert!(!log.saturation.limited, "a limit was reached: {:?}", log.saturation);
    check_facts(&rewritten);
    for seed in 1..4 {
        let (before, after) = (results(program, seed), results(&rewritten, seed));
        assert_eq!(before.len(), after.len());
        for (a, b) in before.iter().zip(&after) {
            assert!(close(a, b), "{:?}\n{:?}\n{:?}\n{:?}", ops(program), ops(&rewritten), a.to_f64s(), b.to_f64s());
        }
    }
    (rewritten, log)
}

/// Checks and asks for one rule among the explanations.
pub fn fires(p: &P, rule: &str) -> Program {
    let (rewritten, log) = check(&p.program);
    let used = log.explanations.iter().any(|e| e.steps.iter().any(|s| s == rule));
    assert!(used, "`{rule}` is not in {:#?}\n{:?}", log.explanations, ops(&rewritten));
    rewritten
}
