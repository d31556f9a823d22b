//! `lower`: from a fused program to kernel IR.
//!
//! Precondition: every call of the graph is a `prim.region`. Each region becomes one kernel (a few become two), by the
//! table of what its heavy node is; each value that crosses regions becomes a buffer.

mod body;
mod collapse;
mod contraction;
mod control;
mod custom;
mod effects;
mod in_place;
mod nest;
mod recurrent;
mod reduce;
mod routine;
mod scalar;
mod sequence;
mod sort;
mod statements;
mod strassen;
mod winograd;

use crate::{Body as KernelBody, Buffer, BufferId, BufferKind, Kernel, KernelId, KernelProgram, Step};
use indexmap::IndexMap;
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{Arg, Bytes, Diagnostic, Fact, Graph, LocationId, Node, NodeId, NodeKind, OutputKind, Program, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// Why a region could not be lowered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LowerError {
    /// No lowering for this primitive.
    #[error("`{op}` has no lowering")]
    NotScalar { op: String },
    /// Something that needs statements stands under a guard; fusion must not put it there.
    #[error("{what} stands inside a conditional value")]
    NotLazy { what: &'static str },
    /// The region is not what the pass before promises.
    #[error("malformed region: {0}")]
    Malformed(&'static str),
}

/// What a region becomes: kernels in order, each with the region's operands and outputs it takes.
pub(crate) struct Lowered {
    kernel: Kernel,
    /// For each parameter: which value of the region it is.
    bindings: Vec<Binding>,
    /// For a kernel that is called several times.
    repeat: Option<Repeat>,
}

/// Calls of a kernel one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Repeat {
    /// What the kernel calls the number of the call, from 0.
    symbol: Symbol,
    /// How many calls.
    times: Dim,
}

/// What a kernel parameter stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Binding {
    /// Operand of the region.
    Operand(usize),
    /// Output of the region.
    Output(usize),
    /// The region's own memory between its kernels; the same for all that mention it.
    Scratch(Fact),
}

/// A lowering of a region by its heavy node.
type RootLowering = fn(&Graph, NodeId, &str, &Scope, contraction::IsConstant<'_>) -> Result<Vec<Lowered>, LowerError>;

/// Heavy primitives and how their regions are lowered. Everything else is a plain loop nest.
const ROOTS: &[(&str, RootLowering)] = &[
    ("prim.matmul", contraction_root),
    ("prim.conv", contraction_root),
    ("prim.attention", contraction_root),
    ("prim.lstm", recurrent::lstm),
    ("prim.gru", recurrent::gru),
    ("prim.rnn", recurrent::rnn),
    ("prim.scan", sequence::scan),
    ("prim.sort", sort::sort),
    ("prim.sort_rows", sort::sort_rows),
    ("prim.topk", sort::topk),
    ("prim.compact", sequence::compact),
    ("prim.scatter", sequence::scatter),
    ("prim.index_put", sequence::index_put),
    ("prim.max_window_index", sequence::max_window_index),
    ("prim.conv_transpose", sequence::conv_transpose),
    ("prim.assert", sequence::assert),
    ("prim.routine", routine::routine),
    ("prim.custom", custom::custom),
];

/// Whether the primitive is lowered as a kernel of its own, which others may only follow as an epilogue.
pub fn is_root(op: &str) -> bool {
    ROOTS.iter().any(|(name, _)| *name == op)
}

/// Whether elementwise work may follow the primitive in its own kernel.
pub fn takes_epilogue(op: &str) -> bool {
    matches!(op, "prim.matmul" | "prim.conv" | "prim.attention")
}

fn contraction_root(
    graph: &Graph,
    root: NodeId,
    name: &str,
    scope: &Scope,
    is_constant: contraction::IsConstant<'_>,
) -> Result<Vec<Lowered>, LowerError> {
    let mut lowered = whole_region(graph, contraction::lower(graph, root, name, scope, is_constant)?);
    own_weight(&mut lowered);
    Ok(vec![lowered])
}

/// Gives a constant weight that the kernel also reads elsewhere (a bias that is a part of it) a parameter of its own:
/// targets bring what that stands for into another layout.
fn own_weight(lowered: &mut Lowered) {
    let own = lowered.kernel.params.len();
    let weight = match &mut lowered.kernel.body {
        KernelBody::Matmul(crate::Matmul { a, b: crate::MatmulB::Constant { param, .. }, epilogue, .. })
            if a.0 == *param || nest::epilogue_loads(epilogue, *param) =>
        {
            param
        }
        KernelBody::Convolution(crate::Convolution { x, w, weight_is_constant: true, epilogue, .. })
            if x.0 == *w || nest::epilogue_loads(epilogue, *w) =>
        {
            w
        }
        _ => return,
    };
    let shared = std::mem::replace(weight, own);
    let (param, binding) = (lowered.kernel.params.get(shared).cloned(), lowered.bindings.get(shared).cloned());
    lowered.kernel.params.extend(param);
    lowered.bindings.extend(binding);
}

/// A kernel whose parameters are the region's operands, then its outputs.
fn whole_region(graph: &Graph, kernel: Kernel) -> Lowered {
    let operands = graph.inputs().len();
    let outputs = graph.output_values().count();
    let bindings = (0..operands)
        .map(Binding::Operand)
        .chain((0..outputs).map(Binding::Output))
        .take(kernel.params.len())
        .collect();
    Lowered { kernel, bindings, repeat: None }
}

/// Lowers one region.
fn lower_region(
    graph: &Graph,
    name: &str,
    scope: &Scope,
    is_constant: contraction::IsConstant<'_>,
) -> Result<Vec<Lowered>, LowerError> {
    for (id, node) in graph.nodes() {
        if let Some((_, lower)) = ROOTS.iter().find(|(op, _)| Some(*op) == node.op()) {
            return lower(graph, id, name, scope, is_constant);
        }
    }
    Ok(vec![whole_region(graph, nest::lower(graph, name, scope)?)])
}

/// Choices that change results: in their last digits, or, for weights in fewer bits, visibly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whether 3×3 convolutions with many channels use [`crate::winograd`].
    pub winograd: bool,
    /// Whether large products with constant matrices use [`crate::strassen`]; not with weights in fewer bits.
    pub strassen: bool,
    /// What the weights of matrix products become; as they are by default.
    pub weights: Option<crate::WeightType>,
}

impl Default for Options {
    fn default() -> Options {
        Options { winograd: true, strassen: true, weights: None }
    }
}

/// Lowers a fused program.
pub fn lower(program: &Program) -> Result<KernelProgram, Diagnostic> {
    lower_with(program, Options::default())
}

/// Lowers a fused program with other than the usual choices.
pub fn lower_with(program: &Program, options: Options) -> Result<KernelProgram, Diagnostic> {
    refuse(program)?;
    let mut lowering = Lowering {
        program,
        options,
        result: KernelProgram { scope: program.scope.clone(), arena_bytes: Dim::ZERO, ..KernelProgram::default() },
        buffers: IndexMap::new(),
        known: IndexMap::new(),
        steps: Vec::new(),
        bound: BTreeSet::new(),
        in_place: in_place::find(program),
    };
    lowering.inputs();
    lowering.place_outputs();
    lowering.nodes(&program.graph)?;
    lowering.copy_results()?;
    effects::order(&mut lowering)?;
    let mut result = lowering.result;
    result.steps = lowering.steps;
    if let Some(weights) = options.weights {
        crate::quantize::quantize_weights(&mut result, weights);
    }
    crate::plan_memory::plan_memory(&mut result);
    crate::verify::check(&result, "lower")?;
    Ok(result)
}

/// Kernel IR computes with real numbers, and draws none at random.
fn refuse(program: &Program) -> Result<(), Diagnostic> {
    fn walk<'g>(graph: &'g Graph, found: &mut dyn FnMut(&'g Node)) {
        for (_, node) in graph.nodes() {
            found(node);
            for body in node.args().iter().filter_map(Arg::as_graph) {
                walk(body, found);
            }
        }
    }
    let mut refused = None;
    walk(&program.graph, &mut |node| {
        let complex = node.outputs.iter().find(|f| f.dtype.is_complex()).map(|f| f.dtype);
        let what = match complex {
            Some(dtype) => format!("complex numbers ({dtype})"),
            None if node.op() == Some("prim.random") => "random numbers".to_string(),
            None => return,
        };
        refused.get_or_insert((what, node.location));
    });
    match refused {
        Some((what, location)) => {
            Err(Diagnostic::error(format!("{what} cannot be compiled yet")).at(program.locations.get(location)))
        }
        None => Ok(()),
    }
}

struct Lowering<'p> {
    program: &'p Program,
    options: Options,
    result: KernelProgram,
    buffers: IndexMap<ValueId, BufferId>,
    /// Kernels by what they are, so that equal ones are emitted once.
    known: IndexMap<String, KernelId>,
    /// The list of steps that is being written.
    steps: Vec<Step>,
    /// The data-dependent symbols that have a value here.
    bound: BTreeSet<Symbol>,
    /// What takes the memory of a state or an input.
    in_place: BTreeMap<ValueId, Vec<ValueId>>,
}

impl Lowering<'_> {
    fn add_buffer(&mut self, name: &str, fact: &Fact, kind: BufferKind) -> BufferId {
        let id = BufferId(self.result.buffers.len() as u32);
        let mut unique = name.to_string();
        if self.result.buffers.iter().any(|b| b.name == unique) {
            unique = format!("{name}.{}", id.0);
        }
        self.result.buffers.push(Buffer { name: unique, dtype: fact.dtype, len: fact.numel(), kind });
        id
    }

    fn inputs(&mut self) {
        let program = self.program;
        for ((i, spec, fact), value) in program.tensor_inputs().zip(program.graph.inputs()) {
            self.bound.extend(fact.shape.iter().flat_map(Dim::symbols).filter(Symbol::is_unbacked));
            let id = self.add_buffer(&spec.name, fact, BufferKind::Input(i));
            self.give(value, id);
        }
    }

    /// Values computed for the caller go straight into the caller's buffers.
    fn place_outputs(&mut self) {
        let program = self.program;
        for (i, (spec, arg)) in program.signature.outputs.iter().zip(&program.graph.outputs).enumerate() {
            let Arg::Tensor(value) = arg else { continue };
            if matches!(spec.kind, OutputKind::BufferMutation(_) | OutputKind::InputMutation(_)) {
                continue;
            }
            let Some(fact) = program.graph.fact(*value) else { continue };
            let row_major = Fact::new(fact.dtype, fact.shape.clone());
            let id = self.add_buffer(&spec.name, &row_major, BufferKind::Output(i));
            let computed = program.graph.node(value.node).op().is_some();
            if computed && fact.order.is_row_major() && !self.buffers.contains_key(value) {
                self.buffers.insert(*value, id);
            }
        }
    }

    fn tensor(&mut self, id: NodeId, node: &Node, name: &str) -> Result<(), Diagnostic> {
        let fact = node.outputs.first().cloned().ok_or_else(|| Diagnostic::error("a tensor without a fact"))?;
        let kind = if self.program.is_constant(name) {
            let entry = self.program.tensors.get(name);
            let data = entry.and_then(|e| e.data.as_ref()).ok_or_else(|| {
                Diagnostic::error(format!("the weights of `{name}` are not in the archive"))
                    .help("export again with the weights, or give them with the archive")
            })?;
            let bytes = match data.to_dense() {
                std::borrow::Cow::Owned(bytes) => Bytes::new(bytes),
                std::borrow::Cow::Borrowed(view) => {
                    let start = data.offset() * data.dtype().size();
                    data.storage().slice(start, view.len()).unwrap_or_else(|| Bytes::new(view.to_vec()))
                }
            };
            BufferKind::Constant(bytes)
        } else {
            BufferKind::State(name.to_string())
        };
        let buffer = self.add_buffer(name, &fact, kind);
        self.give(ValueId { node: id, index: 0 }, buffer);
        Ok(())
    }

    /// Gives a value its buffer, and the same to those that take its memory.
    fn give(&mut self, value: ValueId, buffer: BufferId) {
        self.buffers.insert(value, buffer);
        for later in self.in_place.get(&value).into_iter().flatten() {
            self.buffers.insert(*later, buffer);
        }
    }

    fn fail(&self, node: &Node, error: LowerError) -> Diagnostic {
        Diagnostic::error(error.to_string())
            .at(self.program.locations.get(node.location))
            .about(format!("region `{}`", node.name))
    }

    /// Lowers the nodes of a graph, whose inputs have buffers.
    fn nodes(&mut self, graph: &Graph) -> Result<(), Diagnostic> {
        for (id, node) in graph.nodes() {
            match &node.kind {
                NodeKind::Input => {}
                NodeKind::Tensor(name) => self.tensor(id, node, name)?,
                NodeKind::Call { op, .. } if op == "prim.region" => self.region(graph, id, node)?,
                NodeKind::Call { .. } => self.control(graph, id, node)?,
            }
        }
        Ok(())
    }

    fn region(&mut self, outer: &Graph, id: NodeId, node: &Node) -> Result<(), Diagnostic> {
        let [Arg::Tensors(operands), Arg::Graph(graph), _] = node.args() else {
            let op = node.op().unwrap_or_default();
            return Err(self.fail(node, LowerError::NotScalar { op: op.to_string() }));
        };
        let operands: Vec<ValueId> = operands.iter().flatten().copied().collect();
        let mut ids = Vec::with_capacity(operands.len());
        for v in &operands {
            let known = self.buffers.get(v).copied();
            ids.push(known.ok_or_else(|| self.fail(node, LowerError::Malformed("an operand without a buffer")))?);
        }
        let is_constant = |i: usize| {
            ids.get(i).is_some_and(|b| matches!(self.result.buffers[b.0 as usize].kind, BufferKind::Constant(_)))
        };
        let scope = self.result.scope.clone();
        let mut lowered = lower_region(graph, &node.name, &scope, &is_constant).map_err(|e| self.fail(node, e))?;
        if self.options.winograd {
            lowered = lowered.into_iter().flat_map(winograd::split).collect();
        }
        if self.options.strassen && self.options.weights.is_none() {
            lowered = lowered.into_iter().flat_map(|whole| strassen::split(whole, &scope)).collect();
        }
        let mut outputs = Vec::new();
        for value in outer.values(id) {
            let fact = outer.fact(value).cloned();
            let fact = fact.ok_or_else(|| self.fail(node, LowerError::Malformed("an output without a fact")))?;
            let buffer = match self.buffers.get(&value) {
                Some(placed) => *placed,
                None => {
                    let name = outer.value_name(value);
                    let new = self.add_buffer(&name, &fact, BufferKind::Arena(Dim::ZERO));
                    self.buffers.insert(value, new);
                    new
                }
            };
            outputs.push(buffer);
        }
        // A value that takes the memory of an operand: what is not written is there already.
        let own = outputs.first().and_then(|out| ids.iter().position(|id| id == out));
        if let Some(operand) = own {
            let writes = |l: &Lowered| {
                let base = l.bindings.iter().position(|b| *b == Binding::Operand(operand));
                let kernel = base.map_or(Some(l.kernel.clone()), |p| in_place::without_param(&l.kernel, p))?;
                let bindings = l.bindings.iter().filter(|b| **b != Binding::Operand(operand)).cloned().collect();
                Some(Lowered { kernel, bindings, repeat: l.repeat.clone() })
            };
            if in_place::root(graph).is_some_and(|r| graph.node(r).op() == Some("prim.update_slice")) {
                lowered = sequence::update_slice(graph, &node.name, &scope).map_err(|e| self.fail(node, e))?;
            }
            lowered = lowered.iter().filter_map(writes).collect();
        }
        let mut scratch = None;
        for Lowered { kernel, bindings, repeat } in lowered {
            let mut buffers = Vec::with_capacity(bindings.len());
            for binding in &bindings {
                let buffer = match binding {
                    Binding::Operand(i) => ids.get(*i).copied(),
                    Binding::Output(i) => outputs.get(*i).copied(),
                    Binding::Scratch(fact) => match scratch {
                        Some(known) => Some(known),
                        None => {
                            scratch = Some(self.add_buffer(
                                &format!("{}.scratch", node.name),
                                fact,
                                BufferKind::Arena(Dim::ZERO),
                            ));
                            scratch
                        }
                    },
                };
                let missing = || self.fail(node, LowerError::Malformed("a parameter without a buffer"));
                buffers.push(buffer.ok_or_else(missing)?);
            }
            match repeat {
                None => self.call(kernel, buffers, node.location),
                Some(Repeat { symbol, times }) => {
                    self.result.scope.declare(symbol.clone(), Some(0), None);
                    let mut steps = Vec::new();
                    self.append(&mut steps, |s| {
                        s.call(kernel, buffers, node.location);
                        Ok(())
                    })?;
                    self.times(symbol, &times, steps)?;
                }
            }
        }
        Ok(())
    }

    fn call(&mut self, mut kernel: Kernel, buffers: Vec<BufferId>, location: LocationId) {
        let shape: Vec<_> = kernel.params.iter().map(|p| (p.dtype, p.access)).collect();
        let key = format!("{shape:?} {:?}", kernel.body);
        let id = match self.known.get(&key) {
            Some(id) => *id,
            None => {
                let id = KernelId(self.result.kernels.len() as u32);
                kernel.name = self.kernel_name(&kernel.name);
                self.result.kernels.push(kernel);
                self.known.insert(key, id);
                id
            }
        };
        self.steps.push(Step::Call { kernel: id, buffers, location });
    }

    fn kernel_name(&self, base: &str) -> String {
        let base: String = base.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let mut name = base.clone();
        let mut n = 1;
        while self.result.kernels.iter().any(|k| k.name == name) {
            n += 1;
            name = format!("{base}_{n}");
        }
        name
    }

    /// Results that are not computed in place: mutated state and inputs, inputs and constants that are returned,
    /// values returned twice.
    fn copy_results(&mut self) -> Result<(), Diagnostic> {
        let program = self.program;
        let mut copies = Vec::new();
        for (i, (spec, arg)) in program.signature.outputs.iter().zip(&program.graph.outputs).enumerate() {
            let Arg::Tensor(value) = arg else { continue };
            let Some(&source) = self.buffers.get(value) else {
                return Err(Diagnostic::error(format!("output `{}` is not computed", spec.name)));
            };
            let fact = program.graph.fact(*value).cloned();
            let fact = fact.ok_or_else(|| Diagnostic::error("an output without a fact"))?;
            let place = |want: &dyn Fn(&BufferKind) -> bool| {
                self.result.buffers.iter().position(|b| want(&b.kind)).map(|i| BufferId(i as u32))
            };
            let target = match &spec.kind {
                OutputKind::BufferMutation(name) => {
                    let known = place(&|k| matches!(k, BufferKind::State(n) if n == name));
                    Some(known.unwrap_or_else(|| {
                        self.add_buffer(
                            name,
                            &Fact::new(fact.dtype, fact.shape.clone()),
                            BufferKind::State(name.clone()),
                        )
                    }))
                }
                OutputKind::InputMutation(input) => place(&|k| matches!(k, BufferKind::Input(n) if n == input)),
                _ => place(&|k| matches!(k, BufferKind::Output(n) if *n == i)),
            };
            let target = target.ok_or_else(|| Diagnostic::error(format!("output `{}` has no buffer", spec.name)))?;
            if target != source {
                copies.push((fact, source, target));
            }
        }
        // A state that is read by a later copy must not be written by an earlier one: such values are computed by
        // regions of their own, never the state's buffer itself, so the order of the copies does not matter.
        for (fact, source, target) in copies {
            self.copy(&fact, source, target)?;
        }
        Ok(())
    }

    /// Copies a value into a row-major buffer.
    fn copy(&mut self, fact: &Fact, source: BufferId, target: BufferId) -> Result<(), Diagnostic> {
        let kernel = self.copy_kernel(fact)?;
        self.call(kernel, vec![source, target], LocationId::UNKNOWN);
        Ok(())
    }

    fn copy_kernel(&self, fact: &Fact) -> Result<Kernel, Diagnostic> {
        let mut graph = Graph::new();
        let input = graph.add_input("x", fact.clone());
        let shape = fact.shape.clone();
        let row_major = Fact::new(fact.dtype, shape.clone());
        let args = vec![Arg::Tensor(input), Arg::Ints(shape)];
        let copy = graph
            .add_call("prim.reshape", args, "copy", vec![row_major], LocationId::UNKNOWN)
            .map_err(|e| Diagnostic::error(e.to_string()))?;
        graph.outputs = vec![Arg::Tensor(ValueId { node: copy, index: 0 })];
        nest::lower(&graph, "copy", &self.result.scope).map_err(|e| Diagnostic::error(e.to_string()))
    }
}

/// Lists the kernels' bodies for statistics: how many of each kind.
pub fn kinds(program: &KernelProgram) -> IndexMap<&'static str, usize> {
    let mut counts = IndexMap::new();
    for kernel in &program.kernels {
        let kind = match kernel.body {
            KernelBody::Loops(_) => "loops",
            KernelBody::Matmul(_) | KernelBody::Strassen(_) => "matmul",
            KernelBody::Convolution(_) | KernelBody::Winograd(_) => "convolution",
            KernelBody::Attention(_) => "attention",
            KernelBody::Sort(_) => "sort",
            KernelBody::Routine(_) => "routine",
            KernelBody::Custom(_) => "custom",
        };
        *counts.entry(kind).or_insert(0) += 1;
    }
    counts
}
