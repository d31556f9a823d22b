//! `draw`: random numbers as arithmetic on a counter.
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", 2011). Its
//! key is the seed; its counter is the element's row-major position (64 bits), the number of calls made since the seed
//! was set (32 bits), and which of the program's draws it is (32 bits). So every element is computed by itself, in any
//! order, and the same seed gives the same numbers on every processor. They are not PyTorch's numbers.
//!
//! Seed and number of calls are a buffer of the program, [`STATE`](pt2c_ir::RANDOM_STATE), that every call advances: it is saved, loaded and
//! reset with the other state of a context. Precondition: primitives. Postcondition: no `prim.random` but in bodies of
//! control flow, which lowering refuses.

use crate::decompose::{Build, Builder, Val};
use indexmap::IndexMap;
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{
    Arg, DType, Diagnostic, Fact, Graph, LocationId, Node, NodeKind, OutputKind, OutputSpec, Program,
    RANDOM_STATE as STATE, TensorData, TensorEntry, TensorRole, ValueId,
};
use pt2c_ops::formula::{Sheet, Term};
use pt2c_ops::{OpError, infer};

const MASK: f64 = 0xffff_ffff_u32 as f64;

/// Replaces draws.
pub fn draw(program: &Program) -> Result<Program, Diagnostic> {
    if !program.graph.nodes().any(|(_, n)| n.op() == Some("prim.random")) {
        return Ok(program.clone());
    }
    let fact = Fact::of(DType::I64, &[2]);
    let data = TensorData::dense(DType::I64, vec![2], vec![0; 16]);
    let data = data.map_err(|e| Diagnostic::error(e.to_string()))?;
    let mut result = program.clone();
    let entry = TensorEntry { role: TensorRole::Buffer { persistent: false }, fact: fact.clone(), data: Some(data) };
    result.tensors.insert(STATE.to_string(), entry);
    let mut build = Draws { graph: Graph::new(), scope: &program.scope, values: Vec::new(), location: None };
    let mut map: IndexMap<ValueId, Val> = IndexMap::new();
    let mut state = None;
    let mut stream = 0;
    for (id, node) in program.graph.nodes() {
        build.location = Some(node.location);
        let outputs = match &node.kind {
            NodeKind::Call { op, args } if op == "prim.random" => {
                let state = *state.get_or_insert_with(|| {
                    let value = build.graph.add_tensor(STATE, "random_state", fact.clone());
                    build.value(value)
                });
                stream += 1;
                drawn(&mut build, node, args, state, stream).map(|v| vec![v])
            }
            _ => build.copy(node, &map),
        };
        let outputs = outputs.map_err(|e| {
            Diagnostic::error(e.to_string())
                .at(program.locations.get(node.location))
                .about(format!("node \"{}\"", node.name))
        })?;
        map.extend(program.graph.values(id).zip(outputs));
    }
    let known = |v: &ValueId| map.get(v).copied().ok_or_else(|| Diagnostic::error("an output without a value"));
    let outputs: Result<Vec<Arg>, Diagnostic> =
        program.graph.outputs.iter().map(|a| a.try_map(|v| Ok(build.values[known(v)?.0 as usize]))).collect();
    let mut outputs = outputs?;
    if let Some(state) = state {
        let next = advanced(&mut build, state).map_err(|e| Diagnostic::error(e.to_string()))?;
        outputs.push(Arg::Tensor(build.values[next.0 as usize]));
        let kind = OutputKind::BufferMutation(STATE.to_string());
        result.signature.outputs.push(OutputSpec { name: "random_state".into(), kind });
    }
    build.graph.outputs = outputs;
    result.graph = build.graph;
    Ok(result)
}

/// One more call.
fn advanced(build: &mut Draws<'_>, state: Val) -> Result<Val, OpError> {
    let mut b = Builder::new(build);
    let step = b.iota(&Dim::int(2), DType::I64)?;
    b.add(state, step)
}

/// The numbers of one draw.
fn drawn(build: &mut Draws<'_>, node: &Node, args: &[Arg], state: Val, stream: i64) -> Result<Val, OpError> {
    let malformed = || OpError::invalid("a malformed draw");
    let [Arg::Ints(shape), Arg::DType(dtype), Arg::Str(kind), a, b, _] = args else { return Err(malformed()) };
    let (a, b) = (a.as_float().ok_or_else(malformed)?, b.as_float().ok_or_else(malformed)?);
    let mut builder = Builder::new(build);
    let sheet = Sheet::new(&mut builder);
    let s = &sheet;
    let count = shape.iter().fold(Dim::ONE, |n, d| n * d);
    let word = |i: i64| s.term(state).narrow(0, &Dim::int(i), &Dim::ONE).reshape(&[]);
    let words = philox(s, s.iota(&count, DType::I64), word(0), word(1), stream);
    let inner = if *dtype == DType::F64 || !dtype.is_float() { DType::F64 } else { DType::F32 };
    let value = distribution(&words, inner, *dtype, kind, a, b).ok_or_else(malformed)?;
    let value = value.cast(*dtype).reshape(shape);
    debug_assert_eq!(node.outputs.len(), 1);
    sheet.finish(&[value])?.first().copied().ok_or_else(malformed)
}

/// The four words of each counter, as i64 in `0..2³²`.
fn philox<'s>(s: &'s Sheet<'_>, i: Term<'s>, seed: Term<'s>, calls: Term<'s>, stream: i64) -> [Term<'s>; 4] {
    let low = |x: Term<'s>| x.and(MASK);
    let high = |x: Term<'s>| {
        let places = x.like(32.0);
        low(x.then(|b, v| b.shr(v, places.value())))
    };
    let (mut k0, mut k1) = (low(seed), high(seed));
    let mut x = [low(i), high(i), low(calls), s.number(stream as f64, DType::I64)];
    for _ in 0..10 {
        let (p, q) = (x[0] * f64::from(0xD251_1F53_u32), x[2] * f64::from(0xCD9E_8D57_u32));
        x = [high(q).xor(x[1]).xor(k0), low(q), high(p).xor(x[3]).xor(k1), low(p)];
        k0 = low(k0 + f64::from(0x9E37_79B9_u32));
        k1 = low(k1 + f64::from(0xBB67_AE85_u32));
    }
    x
}

/// Numbers in `[0, 1)` with as many digits as the type has.
fn uniform<'s>(high: Term<'s>, low: Term<'s>, inner: DType, out: DType) -> Term<'s> {
    let shifted = |x: Term<'s>, by: f64| {
        let places = x.like(by);
        x.then(|b, v| b.shr(v, places.value()))
    };
    if inner == DType::F64 {
        let digits = shifted(high, 5.0) * 2f64.powi(26) + shifted(low, 6.0);
        return digits.cast(DType::F64) * 2f64.powi(-53);
    }
    // A number that is rounded to fewer digits must not become 1.
    let digits = match out {
        DType::F16 => 11,
        DType::BF16 => 8,
        _ => 24,
    };
    shifted(high, f64::from(32 - digits)).cast(DType::F32) * 2f64.powi(-digits)
}

fn distribution<'s>(w: &[Term<'s>; 4], inner: DType, out: DType, kind: &str, a: f64, b: f64) -> Option<Term<'s>> {
    let first = |out: DType| uniform(w[0], w[1], inner, out);
    Some(match kind {
        "uniform" => first(out) * (b - a) + a,
        // Box and Muller, 1958.
        "normal" => {
            let radius = ((-first(DType::F32)).log1p() * -2.0).sqrt();
            let angle = uniform(w[2], w[3], inner, DType::F32) * (2.0 * std::f64::consts::PI);
            radius * angle.cos() * b + a
        }
        "bernoulli" => uniform(w[0], w[1], DType::F64, DType::F64).lt(a),
        "exponential" => -((-first(DType::F32)).log1p()) / a,
        "integer" => {
            let range = b - a;
            if range <= MASK {
                let product = w[0] * range;
                let places = product.like(32.0);
                product.then(|f, v| f.shr(v, places.value())).and(MASK) + a
            } else {
                let u = uniform(w[0], w[1], DType::F64, DType::F64);
                (u * range).floor().cast(DType::I64) + a
            }
        }
        _ => return None,
    })
}

/// A graph under construction.
struct Draws<'a> {
    graph: Graph,
    scope: &'a Scope,
    values: Vec<ValueId>,
    location: Option<LocationId>,
}

impl Draws<'_> {
    fn value(&mut self, value: ValueId) -> Val {
        self.values.push(value);
        Val(self.values.len() as u32 - 1)
    }

    fn copy(&mut self, node: &Node, map: &IndexMap<ValueId, Val>) -> Result<Vec<Val>, OpError> {
        let fact = || node.outputs.first().cloned().ok_or_else(|| OpError::invalid("a node without a value"));
        Ok(match &node.kind {
            NodeKind::Input => {
                let value = self.graph.add_input(&node.name, fact()?);
                vec![self.value(value)]
            }
            NodeKind::Tensor(tensor) => {
                let value = self.graph.add_tensor(tensor, &node.name, fact()?);
                vec![self.value(value)]
            }
            NodeKind::Call { op, args } => {
                let known = |v: &ValueId| map.get(v).copied().ok_or_else(|| OpError::invalid("no such value"));
                let args = args.iter().map(|a| a.try_map(known)).collect::<Result<Vec<_>, _>>()?;
                self.append(op, &node.name, args, node.outputs.clone())?
            }
        })
    }

    fn append(&mut self, op: &str, name: &str, args: Vec<Arg<Val>>, facts: Vec<Fact>) -> Result<Vec<Val>, OpError> {
        let known = |v: &Val| self.values.get(v.0 as usize).copied().ok_or_else(|| OpError::invalid("no such value"));
        let args = args.iter().map(|a| a.try_map(known)).collect::<Result<Vec<_>, _>>()?;
        let location = self.location.unwrap_or(LocationId::UNKNOWN);
        let node = self.graph.add_call(op, args, name, facts, location);
        let node = node.map_err(|e| OpError::Invalid(e.to_string()))?;
        Ok(self.graph.values(node).map(|v| self.value(v)).collect::<Vec<_>>())
    }
}

impl Build for Draws<'_> {
    fn call(&mut self, op: &str, args: Vec<Arg<Val>>) -> Result<Vec<Val>, OpError> {
        let facts: Vec<Arg<Fact>> = args.iter().map(|a| a.map(|&v| self.fact(v))).collect();
        let facts = infer(op, &facts, self.scope)?;
        self.append(op, "draw", args, facts)
    }

    fn fact(&self, v: Val) -> Fact {
        let value = self.values.get(v.0 as usize);
        value.and_then(|v| self.graph.fact(*v)).cloned().unwrap_or_else(|| Fact::of(DType::Bool, &[0]))
    }

    fn scope(&self) -> &Scope {
        self.scope
    }
}
