//! The text form of random programs reads back to the same program; damaged text gives an error with a place, never a
//! panic; and limits hold. `PT2C_FUZZ=N` makes N programs.

use pt2c_ir::dim::{Dim, Pred};
use pt2c_ir::text::{parse, print};
use pt2c_ir::{
    Arg, Constraint, DType, DimOrder, Fact, Graph, InputKind, InputSpec, Location, LocationId, OutputKind, OutputSpec,
    Program, TensorData, TensorEntry, TensorRole, TreeSpec, ValueId,
};

/// xorshift64*: the same programs in every run.
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

    fn name(&mut self) -> String {
        let plain = ["x", "conv_1", "_", "none", "graph", "loc", "nan", "tensor", "f32"];
        let odd = ["a b", "1", "a.0", "\"", "\\", "\n\t\r", "ü→", "", "//", "%x", "\u{7}", "}"];
        if self.below(3) > 0 {
            format!("{}{}", self.pick(&plain), self.below(100))
        } else {
            format!("{}{}", self.pick(&odd), self.pick(&odd))
        }
    }

    fn dim(&mut self, depth: usize) -> Dim {
        if depth == 0 || self.below(3) == 0 {
            let small = self.below(20) as i64 - 4;
            return match self.below(3) {
                0 => Dim::int(small),
                1 => Dim::sym(self.pick(&["s0", "s77", "u3", "nan1", "f32", "true_", "inf1", "e5", "graph", "int"])),
                // Sums of numbers near the ends of 64 bits stay unevaluated, and then have no single written form.
                _ => Dim::int(self.pick(&[1 << 40, -(1 << 40), 0, 1])),
            };
        }
        let (a, b) = (self.dim(depth - 1), self.dim(depth - 1));
        match self.below(6) {
            0 => &a + &b,
            1 => &a * &b,
            2 => a.floor_div(&b),
            3 => a.modulo(&b),
            4 => Dim::max(&a, &b),
            _ => &a - &b,
        }
    }

    fn pred(&mut self) -> Pred {
        let (a, b) = (self.dim(2), self.dim(2));
        match self.below(4) {
            0 => Pred::eq(&a, &b),
            1 => Pred::le(&a, &b),
            2 => Pred::and([Pred::lt(&a, &b), Pred::ne(&a, &b)]),
            _ => Pred::or([Pred::lt(&a, &b), Pred::divisible(&a, &b)]),
        }
    }

    fn float(&mut self) -> f64 {
        let odd = f64::from_bits(0x7ff8_0000_0000_0001);
        self.pick(&[0.0, -0.0, 1.0, -1.5, 1e300, 1e-300, 0.1, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, odd, 1e16])
    }

    fn fact(&mut self) -> Fact {
        let rank = self.below(4);
        let mut fact = Fact::new(self.pick(&DType::ALL), (0..rank).map(|_| self.dim(1)).collect::<Vec<_>>());
        if self.below(3) == 0 {
            let mut order: Vec<usize> = (0..rank).collect();
            for i in (1..rank).rev() {
                order.swap(i, self.below(i + 1));
            }
            fact.order = DimOrder::new(&order).expect("a permutation");
        }
        fact
    }

    fn value(&mut self, values: &[ValueId]) -> Option<ValueId> {
        (!values.is_empty()).then(|| self.pick(values))
    }

    fn arg(&mut self, values: &[ValueId], depth: usize) -> Arg {
        let n = self.below(4);
        match self.below(14) {
            0 => self.value(values).map_or(Arg::None, Arg::Tensor),
            1 => Arg::Tensors((0..n).map(|_| if self.below(3) == 0 { None } else { self.value(values) }).collect()),
            2 => Arg::Int(self.dim(3)),
            3 => Arg::Ints((0..n).map(|_| self.dim(2)).collect()),
            4 => Arg::Float(self.float()),
            5 => Arg::Floats((0..n).map(|_| self.float()).collect()),
            6 => Arg::Bool(self.below(2) == 0),
            7 => Arg::Bools((0..n).map(|_| self.below(2) == 0).collect()),
            8 => Arg::Complex(self.float(), self.float()),
            9 => Arg::Str(self.name()),
            10 => Arg::DType(self.pick(&DType::ALL)),
            11 => Arg::Opaque(self.name()),
            12 if depth > 0 => Arg::Graph(self.graph(depth - 1, &[]).into()),
            _ => Arg::None,
        }
    }

    fn graph(&mut self, depth: usize, locations: &[LocationId]) -> Graph {
        let mut graph = Graph::new();
        let mut values: Vec<ValueId> = Vec::new();
        for _ in 0..self.below(4) {
            let (name, fact) = (self.name(), self.fact());
            values.push(graph.add_input(&name, fact));
        }
        for _ in 0..self.below(8) {
            let name = self.name();
            if self.below(5) == 0 {
                let (tensor, fact) = (self.name(), self.fact());
                values.push(graph.add_tensor(&tensor, &name, fact));
                continue;
            }
            let args = (0..self.below(5)).map(|_| self.arg(&values, depth)).collect();
            let facts = (0..self.pick(&[1, 1, 1, 0, 2, 3])).map(|_| self.fact()).collect();
            let op = self.pick(&["aten.add.Tensor", "prim.neg", "odd op", "tensor", "aten.__and__.Scalar", "a..b", ""]);
            let location = if locations.is_empty() { LocationId::UNKNOWN } else { self.pick(locations) };
            let node = graph.add_call(op, args, &name, facts, location).expect("operands exist");
            values.extend(graph.values(node));
        }
        graph.outputs = (0..self.below(4)).map(|_| self.arg(&values, depth)).collect();
        graph
    }

    fn tree(&mut self, depth: usize) -> TreeSpec {
        if depth == 0 || self.below(3) == 0 {
            return TreeSpec::leaf();
        }
        let context = (self.below(2) == 0).then(|| self.name());
        let children = (0..self.below(4)).map(|_| self.tree(depth - 1)).collect();
        TreeSpec { kind: Some(self.name()), context, children }
    }

    fn program(&mut self) -> Program {
        let mut program = Program { name: self.name(), ..Program::default() };
        for symbol in ["s0", "s77", "u3"] {
            let end = |r: &mut Random| (r.below(2) == 0).then(|| r.below(9) as i64);
            let (min, more) = (end(self), end(self));
            program.scope.declare(symbol, min, more.map(|m| m + min.unwrap_or(0)));
        }
        for _ in 0..self.below(3) {
            let (pred, rule) = (self.pred(), self.name());
            program.constraints.push(Constraint { pred, rule });
        }
        for _ in 0..self.below(4) {
            let (dtype, n) = (self.pick(&DType::ALL), self.below(5));
            let mut bytes: Vec<u8> = (0..n * dtype.size()).map(|_| self.below(256) as u8).collect();
            if dtype == DType::Bool {
                bytes.iter_mut().for_each(|b| *b &= 1);
            }
            let data = TensorData::dense(dtype, vec![n], bytes).expect("fits");
            let roles = [
                TensorRole::Parameter,
                TensorRole::Constant,
                TensorRole::Buffer { persistent: true },
                TensorRole::Buffer { persistent: false },
            ];
            let fact = Fact::of(dtype, &[n as i64]);
            let entry = TensorEntry { role: self.pick(&roles), fact, data: (self.below(2) == 0).then_some(data) };
            program.tensors.insert(self.name(), entry);
        }
        for _ in 0..self.below(4) {
            let kind = match self.below(3) {
                0 => InputKind::Tensor,
                1 => InputKind::SymInt("s77".into()),
                _ => InputKind::Constant(self.arg(&[], 1)),
            };
            program.signature.inputs.push(InputSpec { name: self.name(), kind });
        }
        for _ in 0..self.below(4) {
            let kind = match self.below(6) {
                0 => OutputKind::User,
                1 => OutputKind::Loss,
                2 => OutputKind::BufferMutation(self.name()),
                3 => OutputKind::InputMutation(self.below(9)),
                4 => OutputKind::GradientOfInput(self.below(9)),
                _ => OutputKind::GradientOfParameter(self.name()),
            };
            program.signature.outputs.push(OutputSpec { name: self.name(), kind });
        }
        program.signature.input_tree = (self.below(2) == 0).then(|| self.tree(4));
        program.signature.output_tree = (self.below(2) == 0).then(|| self.tree(2));
        let mut locations = vec![LocationId::UNKNOWN];
        for _ in 0..self.below(4) {
            let location = Location {
                file: self.name(),
                line: self.below(1000) as u32,
                function: self.name(),
                code: self.name(),
                module: self.name(),
                module_class: self.name(),
            };
            locations.push(program.locations.intern(location));
        }
        program.graph = self.graph(2, &locations);
        program
    }
}

fn count() -> u64 {
    std::env::var("PT2C_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(2000)
}

#[test]
fn random_programs_round_trip() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for i in 0..count() {
        let program = random.program();
        let text = print(&program);
        let again = parse(&text).unwrap_or_else(|e| panic!("program {i}: {e}\n{text}"));
        assert_eq!(text, print(&again), "program {i}");
        assert_eq!(program.graph.len(), again.graph.len());
        let bytes = |p: &Program| -> Vec<_> {
            p.tensors.values().map(|t| t.data.as_ref().map(|d| d.to_dense().into_owned())).collect()
        };
        assert_eq!(bytes(&program), bytes(&again), "program {i}");
    }
}

#[test]
fn damaged_text_is_an_error_with_a_place() {
    let mut random = Random(0x0123_4567_89ab_cdef);
    for _ in 0..count() {
        let text = print(&random.program());
        let mut chars: Vec<char> = text.chars().collect();
        for _ in 0..1 + random.below(3) {
            let at = random.below(chars.len());
            match random.below(4) {
                0 => drop(chars.remove(at)),
                1 => chars.insert(at, random.pick(&['"', '(', ')', '[', ']', '%', '\\', '{', '}', 'ü', '9', '-', ':'])),
                2 => chars.truncate(at + 1),
                _ => chars[at] = random.pick(&['a', '\n', ',', '.', '/', '*', '@']),
            }
        }
        let damaged: String = chars.into_iter().collect();
        if let Err(error) = parse(&damaged) {
            let line = damaged.split('\n').nth(error.line - 1).expect("the line exists");
            assert!((1..=line.chars().count() + 1).contains(&error.column), "{error}\n{damaged}");
            assert!(!error.message.is_empty());
        }
    }
}

#[test]
fn nesting_is_limited() {
    let nested = format!("program \"p\"\ngraph() {{ return {}", "graph() { return ".repeat(100_000));
    assert!(parse(&nested).expect_err("too deep").message.contains("at most"));
    let tree = format!("program \"p\"\ninput_tree {}", "\"t\"(".repeat(100_000));
    assert!(parse(&tree).expect_err("too deep").message.contains("fewer levels"));
    let dim = format!("program \"p\"\nassume {}1", "(".repeat(100_000));
    assert!(parse(&dim).is_err());
}
