//! Recurrent layers and cells. Gates are ordered as PyTorch stores them: i, f, g, o and r, z, n.

use crate::host::{self, widened};
use crate::special::sigmoid;
use crate::{Call, OpDef, OpError, Tensor};
use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::new("gru.input(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)", infer_layers, layers),
    OpDef::new("gru_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> Tensor", infer_cell, cell),
    OpDef::new("lstm.input(Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor, Tensor)", infer_layers, layers),
    OpDef::new("lstm_cell(Tensor input, Tensor[] hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> (Tensor, Tensor)", infer_cell, cell),
    OpDef::new("rnn_relu.input(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)", infer_layers, layers),
    OpDef::new("rnn_relu_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> Tensor", infer_cell, cell),
    OpDef::new("rnn_tanh.input(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)", infer_layers, layers),
    OpDef::new("rnn_tanh_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> Tensor", infer_cell, cell),
];

/// The recurrence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Lstm,
    Gru,
    Tanh,
    Relu,
}

impl Kind {
    /// The recurrence of an operator of this family.
    pub fn of<T>(c: &Call<'_, T>) -> Kind {
        match c.op.schema.name.split('_').nth(1) {
            _ if c.op.schema.name.starts_with("lstm") => Kind::Lstm,
            _ if c.op.schema.name.starts_with("gru") => Kind::Gru,
            Some("relu") => Kind::Relu,
            _ => Kind::Tanh,
        }
    }

    /// Rows of the weights per hidden unit.
    pub fn gates(self) -> i64 {
        match self {
            Kind::Lstm => 4,
            Kind::Gru => 3,
            Kind::Tanh | Kind::Relu => 1,
        }
    }
}

/// The weights of one layer in one direction.
#[derive(Clone)]
pub struct Params<T> {
    /// Of the input.
    pub w_ih: T,
    /// Of the hidden state.
    pub w_hh: T,
    /// The biases of both.
    pub biases: Option<(T, T)>,
    /// What an LSTM's hidden state is multiplied by before anybody sees it (`proj_size`).
    pub projection: Option<T>,
}

/// A recurrent call's operands by layer and direction.
pub struct Layers<T> {
    /// The recurrence.
    pub kind: Kind,
    /// Initial states: `h`, and for an LSTM `c`; each `[layers·directions, batch, hidden]`.
    pub states: Vec<T>,
    /// Per layer and direction.
    pub params: Vec<Params<T>>,
    /// Directions of each layer: 1 or 2.
    pub directions: usize,
    /// Whether the batch is the first dimension of input and output.
    pub batch_first: bool,
}

impl<T: Clone> Layers<T> {
    /// Reads the arguments.
    pub fn new(c: &Call<'_, T>) -> Result<Layers<T>, OpError> {
        let kind = Kind::of(c);
        if c.bool("train")? && c.float("dropout")? > 0.0 && c.int("num_layers")? > 1 {
            return Err(OpError::Unsupported("dropout between recurrent layers: export in evaluation mode".into()));
        }
        let states: Vec<T> = match kind {
            Kind::Lstm => c.tensors("hx")?.into_iter().cloned().collect(),
            _ => vec![c.tensor("hx")?.clone()],
        };
        if states.len() != if kind == Kind::Lstm { 2 } else { 1 } {
            return Err(OpError::invalid("a recurrent layer with another number of states"));
        }
        let directions = if c.bool("bidirectional")? { 2 } else { 1 };
        let each = if c.bool("has_biases")? { 4 } else { 2 };
        let count = directions * usize::try_from(c.int("num_layers")?).unwrap_or(0);
        let params: Vec<T> = c.tensors("params")?.into_iter().cloned().collect();
        let projected = kind == Kind::Lstm && count > 0 && params.len() == count * (each + 1);
        let taken = each + usize::from(projected);
        if params.len() != count * taken {
            return Err(OpError::Invalid(format!("{} weights for {count} recurrent layers", params.len())));
        }
        let layer = |p: &[T]| Params {
            w_ih: p[0].clone(),
            w_hh: p[1].clone(),
            biases: (each == 4).then(|| (p[2].clone(), p[3].clone())),
            projection: projected.then(|| p[each].clone()),
        };
        let params = params.chunks_exact(taken).map(layer).collect();
        Ok(Layers { kind, states, params, directions, batch_first: c.bool("batch_first")? })
    }
}

fn infer_layers(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    let layers = Layers::new(c)?;
    let x = c.tensor("input")?;
    let h = &layers.states[0];
    let ([a, b, _], [_, _, hidden]) = (&x.shape[..], &h.shape[..]) else {
        return Err(OpError::invalid("a recurrent layer takes an input and states of three dimensions"));
    };
    let width = hidden * &Dim::int(layers.directions as i64);
    let mut out = vec![Fact::new(x.dtype, vec![a.clone(), b.clone(), width])];
    out.extend(layers.states);
    Ok(out)
}

fn infer_cell(c: &Call<'_, Fact>) -> Result<Vec<Fact>, OpError> {
    if Kind::of(c) == Kind::Lstm {
        return Ok(c.tensors("hx")?.into_iter().cloned().collect());
    }
    Ok(vec![c.tensor("hx")?.clone()])
}

/// `out = w · v (+ b)`.
fn affine(w: &[f64], v: &[f64], b: Option<&[f64]>, out: &mut [f64]) {
    for (j, o) in out.iter_mut().enumerate() {
        let row = &w[j * v.len()..(j + 1) * v.len()];
        *o = row.iter().zip(v).map(|(w, v)| w * v).sum::<f64>() + b.map_or(0.0, |b| b[j]);
    }
}

/// One step of one sequence: `x` and the old state to the new state.
struct Step {
    kind: Kind,
    w_ih: Vec<f64>,
    w_hh: Vec<f64>,
    biases: Option<(Vec<f64>, Vec<f64>)>,
    projection: Option<Vec<f64>>,
}

impl Step {
    fn new(kind: Kind, params: &Params<Tensor>) -> Step {
        Step {
            kind,
            w_ih: params.w_ih.to_f64s(),
            w_hh: params.w_hh.to_f64s(),
            biases: params.biases.as_ref().map(|(i, h)| (i.to_f64s(), h.to_f64s())),
            projection: params.projection.as_ref().map(Tensor::to_f64s),
        }
    }

    fn run(&self, x: &[f64], h: &mut [f64], c: &mut [f64]) {
        let n = if self.kind == Kind::Lstm { c.len() } else { h.len() };
        let rows = n * self.kind.gates() as usize;
        let (mut gi, mut gh) = (vec![0.0; rows], vec![0.0; rows]);
        affine(&self.w_ih, x, self.biases.as_ref().map(|b| &b.0[..]), &mut gi);
        affine(&self.w_hh, h, self.biases.as_ref().map(|b| &b.1[..]), &mut gh);
        let mut new = vec![0.0; n];
        for j in 0..n {
            let sum = |k: usize| gi[k * n + j] + gh[k * n + j];
            match self.kind {
                Kind::Lstm => {
                    c[j] = sigmoid(sum(1)) * c[j] + sigmoid(sum(0)) * sum(2).tanh();
                    new[j] = sigmoid(sum(3)) * c[j].tanh();
                }
                Kind::Gru => {
                    let (r, z) = (sigmoid(sum(0)), sigmoid(sum(1)));
                    let candidate = (gi[2 * n + j] + r * gh[2 * n + j]).tanh();
                    new[j] = (1.0 - z) * candidate + z * h[j];
                }
                Kind::Tanh => new[j] = sum(0).tanh(),
                Kind::Relu => new[j] = sum(0).max(0.0),
            }
        }
        match &self.projection {
            Some(projection) => affine(projection, &new, None, h),
            None => h.copy_from_slice(&new),
        }
    }
}

fn layers(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let call = Layers::new(c)?;
    let facts = host::inferred(c)?;
    let input = c.tensor("input")?;
    let mut x = widened(input);
    if call.batch_first {
        x = x.permute(&[1, 0, 2]);
    }
    let (steps, batch) = (x.shape()[0], x.shape()[1]);
    let hidden = call.states[0].shape()[2];
    // An LSTM's cells are more than its projected hidden state.
    let cells = call.states.get(1).map_or(hidden, |c| c.shape()[2]);
    let mut finals = vec![Vec::new(); call.states.len()];
    for layer in 0..call.params.len() / call.directions {
        let width = x.shape()[2];
        let values = x.to_f64s();
        let out_width = hidden * call.directions;
        let mut out = vec![0.0; steps * batch * out_width];
        for direction in 0..call.directions {
            let at = layer * call.directions + direction;
            let step = Step::new(call.kind, &call.params[at]);
            let first = |s: &Tensor| -> Vec<f64> {
                let count = batch * s.shape()[2];
                (0..count).map(|i| s.f64(at * count + i)).collect()
            };
            let mut states: Vec<Vec<f64>> = call.states.iter().map(first).collect();
            states.resize(2, vec![0.0; batch * cells]);
            for t in 0..steps {
                let t = if direction == 0 { t } else { steps - 1 - t };
                for b in 0..batch {
                    let row = &values[(t * batch + b) * width..(t * batch + b + 1) * width];
                    let (h, rest) = states.split_at_mut(1);
                    let own = b * hidden..(b + 1) * hidden;
                    step.run(row, &mut h[0][own.clone()], &mut rest[0][b * cells..(b + 1) * cells]);
                    let to = (t * batch + b) * out_width + direction * hidden;
                    out[to..to + hidden].copy_from_slice(&h[0][own]);
                }
            }
            for (list, state) in finals.iter_mut().zip(states) {
                list.extend(state);
            }
        }
        x = Tensor::from_f64(DType::F64, &[steps, batch, out_width], &out);
    }
    if call.batch_first {
        x = x.permute(&[1, 0, 2]);
    }
    let mut results = vec![x.cast(input.dtype())];
    for (values, fact) in finals.iter().zip(&facts[1..]) {
        results.push(Tensor::from_f64(fact.dtype, &crate::shape::known(&fact.shape)?, values));
    }
    Ok(results)
}

fn cell(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let kind = Kind::of(c);
    let states: Vec<Tensor> = match kind {
        Kind::Lstm => c.tensors("hx")?.into_iter().cloned().collect(),
        _ => vec![c.tensor("hx")?.clone()],
    };
    let biases = match (c.opt_tensor("b_ih")?, c.opt_tensor("b_hh")?) {
        (Some(i), Some(h)) => Some((i, h)),
        _ => None,
    };
    let (w_ih, w_hh) = (c.tensor("w_ih")?.clone(), c.tensor("w_hh")?.clone());
    let biases = biases.map(|(i, h)| (i.clone(), h.clone()));
    let step = Step::new(kind, &Params { w_ih, w_hh, biases, projection: None });
    let x = c.tensor("input")?;
    let first = states.first().ok_or_else(|| OpError::invalid("a recurrent cell needs a state"))?;
    let (width, hidden) = (x.shape().last().copied().unwrap_or(1), first.shape().last().copied().unwrap_or(1));
    let mut values: Vec<Vec<f64>> = states.iter().map(Tensor::to_f64s).collect();
    values.resize(2, vec![0.0; first.numel()]);
    let inputs = x.to_f64s();
    for (b, row) in inputs.chunks_exact(width.max(1)).enumerate() {
        let (h, rest) = values.split_at_mut(1);
        let own = b * hidden..(b + 1) * hidden;
        step.run(row, &mut h[0][own.clone()], &mut rest[0][own]);
    }
    Ok(states.iter().zip(&values).map(|(s, v)| Tensor::from_f64(s.dtype(), s.shape(), v)).collect())
}
