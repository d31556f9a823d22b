//! `split_complex`: takes complex numbers apart into real and imaginary parts.
//!
//! Precondition: an imported program. Postcondition: no value is complex; operators that took or gave complex values are
//! primitives on their parts, all others are as they were. Complex leaves of the signature, and complex tensors of the
//! program, have become real ones with a last dimension of 2, which is how they lie in memory; [`Pairs`] says which.
//!
//! Operators are decomposed as everywhere ([`crate::decompose`]); what complex primitives mean in terms of parts is said in
//! [`rules`].

mod functions;
mod rules;

use crate::decompose::{Build, Builder, MAX_DEPTH, Val, decomposition_of, is_primitive};
use indexmap::IndexMap;
use pt2c_ir::dim::{Dim, Scope};
use pt2c_ir::{Arg, DType, Diagnostic, Fact, Graph, LocationId, Node, NodeKind, Program, TensorData, ValueId};
use pt2c_ops::{Call, OpError, infer, lookup};

/// Takes the complex values of a program apart.
///
/// # Errors
/// Operators of complex numbers that cannot be compiled, with the node.
pub fn split_complex(program: &Program) -> Result<Program, Diagnostic> {
    let complex = |f: &Fact| f.dtype.is_complex();
    if !program.graph.nodes().any(|(_, n)| n.outputs.iter().any(complex)) {
        return Ok(program.clone());
    }
    let mut result = program.clone();
    for (name, entry) in &mut result.tensors {
        if complex(&entry.fact) {
            entry.fact = as_pairs(&entry.fact).map_err(|e| Diagnostic::error(e.to_string()).about(name.clone()))?;
            entry.data = match &entry.data {
                Some(data) => Some(reinterpreted(data).map_err(|e| Diagnostic::error(e.to_string()))?),
                None => None,
            };
            result.signature.pairs.tensors.insert(name.clone());
        }
    }
    result.signature.pairs.inputs = program.tensor_inputs().filter(|(_, _, f)| complex(f)).map(|(i, _, _)| i).collect();
    let mut split = Split {
        graph: Graph::new(),
        scope: &program.scope,
        values: Vec::new(),
        name: String::new(),
        location: LocationId::UNKNOWN,
        depth: 0,
    };
    let mut map: IndexMap<ValueId, Val> = IndexMap::new();
    for (id, node) in program.graph.nodes() {
        split.name.clone_from(&node.name);
        split.location = node.location;
        let outputs = split.node(node, &map).map_err(|error| {
            Diagnostic::error(error.to_string()).at(program.locations.get(node.location)).about(format!(
                "node \"{}\" ({})",
                node.name,
                node.op().unwrap_or("input")
            ))
        })?;
        map.extend(program.graph.values(id).zip(outputs));
    }
    let mut outputs = Vec::with_capacity(program.graph.outputs.len());
    for (i, arg) in program.graph.outputs.iter().enumerate() {
        let joined = arg.try_map(|v| {
            let v = *map.get(v).ok_or_else(|| OpError::invalid("an output is not computed"))?;
            let joined = split.joined(v)?;
            Ok((split.value(joined)?, joined != v))
        });
        let joined = joined.map_err(|e: OpError| Diagnostic::error(e.to_string()))?;
        if joined.tensors().any(|(_, pair)| *pair) {
            result.signature.pairs.outputs.insert(i);
        }
        outputs.push(joined.map(|(v, _)| *v));
    }
    result.graph = split.graph;
    result.graph.outputs = outputs;
    crate::normalize::remove_dead(&mut result);
    Ok(result)
}

/// The fact of the real tensor that holds a complex one.
fn as_pairs(fact: &Fact) -> Result<Fact, OpError> {
    if fact.dtype == DType::C32 {
        return Err(OpError::Unsupported("complex numbers of half precision: use complex64".into()));
    }
    let mut shape = fact.shape.clone();
    shape.push(Dim::int(2));
    Ok(Fact::new(fact.dtype.to_real(), shape))
}

/// Complex data as real pairs: the same bytes.
fn reinterpreted(data: &TensorData) -> Result<TensorData, pt2c_ir::TensorDataError> {
    let twice = |n: &usize| n.saturating_mul(2);
    let sizes = data.sizes().iter().copied().chain([2]).collect();
    let strides = data.strides().iter().map(twice).chain([1]).collect();
    TensorData::strided(data.dtype().to_real(), sizes, strides, twice(&data.offset()), data.storage().clone())
}

/// A value of the program under construction.
#[derive(Clone, Copy)]
enum Value {
    /// A value of the graph.
    Real(ValueId),
    /// Real and imaginary part, of one shape.
    Pair(Val, Val),
}

/// Expansion into a graph without complex values.
struct Split<'p> {
    graph: Graph,
    scope: &'p Scope,
    values: Vec<Value>,
    /// Name and place of the node being expanded.
    name: String,
    location: LocationId,
    depth: usize,
}

impl Split<'_> {
    fn push(&mut self, value: Value) -> Val {
        self.values.push(value);
        Val(self.values.len() as u32 - 1)
    }

    /// The graph's value, of a real one.
    fn value(&self, v: Val) -> Result<ValueId, OpError> {
        match self.values.get(v.0 as usize) {
            Some(Value::Real(value)) => Ok(*value),
            _ => Err(OpError::invalid("a complex value where a real one was expected")),
        }
    }

    fn pair(&self, v: Val) -> Option<(Val, Val)> {
        match self.values.get(v.0 as usize) {
            Some(Value::Pair(re, im)) => Some((*re, *im)),
            _ => None,
        }
    }

    fn node(&mut self, node: &Node, map: &IndexMap<ValueId, Val>) -> Result<Vec<Val>, OpError> {
        match &node.kind {
            NodeKind::Input | NodeKind::Tensor(_) => {
                let fact = node.outputs.first().cloned().ok_or_else(|| OpError::invalid("a node without a value"))?;
                let complex = fact.dtype.is_complex();
                let fact = if complex { as_pairs(&fact)? } else { fact };
                let value = match &node.kind {
                    NodeKind::Tensor(tensor) => self.graph.add_tensor(tensor, &node.name, fact),
                    _ => self.graph.add_input(&node.name, fact),
                };
                let value = self.push(Value::Real(value));
                Ok(vec![if complex { self.taken_apart(value)? } else { value }])
            }
            NodeKind::Call { op, args } => {
                let known =
                    |v: &ValueId| map.get(v).copied().ok_or_else(|| OpError::invalid("an operand has no value"));
                let args = args.iter().map(|a| a.try_map(known)).collect::<Result<Vec<_>, _>>()?;
                if self.is_complex(&args) || node.outputs.iter().any(|f| f.dtype.is_complex()) {
                    return self.expand(op, args, &node.outputs);
                }
                // The facts are kept: they may name symbols that this node binds.
                self.append(op, &args, node.outputs.clone())
            }
        }
    }

    fn is_complex(&self, args: &[Arg<Val>]) -> bool {
        args.iter().flat_map(Arg::tensors).any(|v| self.pair(*v).is_some())
    }

    fn append(&mut self, op: &str, args: &[Arg<Val>], facts: Vec<Fact>) -> Result<Vec<Val>, OpError> {
        let args = args.iter().map(|a| a.try_map(|v| self.value(*v))).collect::<Result<Vec<_>, _>>()?;
        let node = self
            .graph
            .add_call(op, args, &self.name, facts, self.location)
            .map_err(|e| OpError::Invalid(e.to_string()))?;
        Ok(self.graph.values(node).collect::<Vec<_>>().into_iter().map(|v| self.push(Value::Real(v))).collect())
    }

    /// A call that takes or gives complex values.
    fn expand(&mut self, op: &str, args: Vec<Arg<Val>>, facts: &[Fact]) -> Result<Vec<Val>, OpError> {
        let rule = if is_primitive(op) { rules::rule_of(op) } else { decomposition_of(op) };
        let known = lookup(op).ok_or_else(|| OpError::UnknownOperator(op.to_string()))?;
        let rule = rule.ok_or_else(|| {
            let dtype = facts.iter().map(|f| f.dtype).find(|d| d.is_complex()).unwrap_or(DType::C64);
            OpError::Unsupported(format!("`{op}` of {dtype} numbers"))
        })?;
        if self.depth >= MAX_DEPTH {
            return Err(OpError::Invalid(format!("the decomposition of `{op}` does not end")));
        }
        self.depth += 1;
        let scope = self.scope;
        let stated = facts.to_vec();
        let result = rule(&mut Builder::of_call(self, stated), &Call { op: known, args: &args, scope });
        self.depth -= 1;
        let result = result?;
        for (v, fact) in result.iter().zip(facts) {
            let got = self.fact(*v);
            if got.dtype != fact.dtype || got.rank() != fact.rank() {
                return Err(OpError::Invalid(format!("the parts of `{op}` are {got}, not {fact}")));
            }
        }
        Ok(result)
    }

    /// The parts of a tensor of pairs.
    fn taken_apart(&mut self, pairs: Val) -> Result<Val, OpError> {
        let shape = self.fact(pairs).shape;
        let last = shape.len() - 1;
        let mut part = |at: i64| {
            let mut b = Builder::new(self);
            let part = b.slice_dim(pairs, last, &Dim::int(at), &Dim::ONE, 1)?;
            b.reshape(part, &shape[..last])
        };
        let (re, im) = (part(0)?, part(1)?);
        Ok(self.push(Value::Pair(re, im)))
    }

    /// Parts as a tensor of pairs; a real value is left as it is.
    fn joined(&mut self, v: Val) -> Result<Val, OpError> {
        let Some((re, im)) = self.pair(v) else { return Ok(v) };
        let mut b = Builder::new(self);
        let last = b.rank(re);
        let (re, im) = (b.unsqueeze(re, last)?, b.unsqueeze(im, last)?);
        b.cat(&[re, im], last)
    }
}

impl Build for Split<'_> {
    fn call(&mut self, op: &str, args: Vec<Arg<Val>>) -> Result<Vec<Val>, OpError> {
        match (op, args.as_slice()) {
            ("prim.complex", [Arg::Tensor(re), Arg::Tensor(im)]) => {
                let facts = [Arg::Tensor(self.fact(*re)), Arg::Tensor(self.fact(*im))];
                let shape = infer(op, &facts, self.scope)?.swap_remove(0).shape;
                let mut b = Builder::new(self);
                let (re, im) = (b.expand(*re, &shape)?, b.expand(*im, &shape)?);
                return Ok(vec![self.push(Value::Pair(re, im))]);
            }
            ("prim.real" | "prim.imag", [Arg::Tensor(x)]) => {
                if let Some((re, im)) = self.pair(*x) {
                    return Ok(vec![if op == "prim.real" { re } else { im }]);
                }
            }
            _ => {}
        }
        let facts: Vec<Arg<Fact>> = args.iter().map(|a| a.map(|&v| self.fact(v))).collect();
        let facts = infer(op, &facts, self.scope)?;
        if self.is_complex(&args) || facts.iter().any(|f| f.dtype.is_complex()) {
            return self.expand(op, args, &facts);
        }
        self.append(op, &args, facts)
    }

    fn fact(&self, v: Val) -> Fact {
        let fact = |value: &ValueId| self.graph.fact(*value).cloned();
        let found = match self.values.get(v.0 as usize) {
            Some(Value::Real(value)) => fact(value),
            Some(Value::Pair(re, _)) => {
                let part = self.fact(*re);
                let dtype = part.dtype.to_complex().unwrap_or(DType::C64);
                Some(Fact::new(dtype, part.shape))
            }
            None => None,
        };
        // A handle of another builder reads as an empty tensor.
        found.unwrap_or_else(|| Fact::of(DType::Bool, &[0]))
    }

    fn scope(&self) -> &Scope {
        self.scope
    }
}
