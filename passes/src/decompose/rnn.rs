//! Recurrent layers: one matrix product for the input's share of all steps, then one primitive per layer and
//! direction.

use super::common::{opt_tensor, tensor};
use super::linear::matmul;
use super::{Builder, Decomposition, Val};
use pt2c_ir::Arg;
use pt2c_ir::dim::Dim;
use pt2c_ops::aten::rnn::{Kind, Layers, Params};
use pt2c_ops::{Call, OpError};

type Outputs = Result<Vec<Val>, OpError>;

/// The family.
pub const TABLE: &[(&str, Decomposition)] = &[
    ("aten.gru.input", layers),
    ("aten.gru_cell.default", cell),
    ("aten.lstm.input", layers),
    ("aten.lstm_cell.default", cell),
    ("aten.rnn_relu.input", layers),
    ("aten.rnn_relu_cell.default", cell),
    ("aten.rnn_tanh.input", layers),
    ("aten.rnn_tanh_cell.default", cell),
];

/// One layer in one direction over `[T, B, I]`: outputs `[T, B, H]` and the last states.
fn run(b: &mut Builder<'_>, kind: Kind, x: Val, states: &[Val], params: &Params<Val>) -> Result<Vec<Val>, OpError> {
    let &Params { w_ih, w_hh, biases, projection } = params;
    let w = b.transpose(w_ih, 0, 1)?;
    let mut gates = matmul(b, x, w)?;
    if let Some((b_ih, b_hh)) = biases {
        // A GRU applies its reset gate behind the hidden bias, so that stays apart.
        let bias = if kind == Kind::Gru { b_ih } else { b.add(b_ih, b_hh)? };
        gates = b.add(gates, bias)?;
    }
    if let Some(projection) = projection {
        return projected(b, gates, states, w_hh, projection);
    }
    let first = |i: usize| states.get(i).copied().ok_or_else(|| OpError::invalid("a recurrent layer without state"));
    let mut args = vec![Arg::Tensor(gates), Arg::Tensor(first(0)?)];
    let op = match kind {
        Kind::Lstm => {
            args.extend([Arg::Tensor(first(1)?), Arg::Tensor(w_hh)]);
            "prim.lstm"
        }
        Kind::Gru => {
            let hidden_bias = match biases {
                Some((_, b_hh)) => b_hh,
                None => {
                    let (dtype, rows) = (b.dtype(w_hh), b.shape(w_hh).into_iter().take(1).collect::<Vec<_>>());
                    b.full(&rows, &Arg::Float(0.0), dtype)?
                }
            };
            args.extend([Arg::Tensor(w_hh), Arg::Tensor(hidden_bias)]);
            "prim.gru"
        }
        Kind::Tanh | Kind::Relu => {
            let name = if kind == Kind::Tanh { "tanh" } else { "relu" };
            args.extend([Arg::Tensor(w_hh), Arg::Str(name.into())]);
            "prim.rnn"
        }
    };
    b.call(op, args)
}

/// An LSTM whose hidden state is `P·m` of what its cells give: a plain one over `m`, whose recurrent weights are the
/// product of the two matrices. The initial state, which is no `P·m`, goes into the gates of the first step.
fn projected(b: &mut Builder<'_>, gates: Val, states: &[Val], w_hh: Val, projection: Val) -> Result<Vec<Val>, OpError> {
    let &[h, c] = states else { return Err(OpError::invalid("an LSTM has two states")) };
    let steps = b.shape(gates).first().cloned().unwrap_or(Dim::ONE);
    let across = b.transpose(w_hh, 0, 1)?;
    let share = matmul(b, h, across)?;
    let share = b.unsqueeze(share, 0)?;
    let first = b.slice_dim(gates, 0, &Dim::ZERO, &Dim::ONE, 1)?;
    let first = b.add(first, share)?;
    let rest = b.slice_dim(gates, 0, &Dim::ONE, &(&steps - &Dim::ONE), 1)?;
    let gates = b.cat(&[first, rest], 0)?;
    let w = matmul(b, w_hh, projection)?;
    let (shape, dtype) = (b.shape(c), b.dtype(c));
    let none = b.full(&shape, &Arg::Float(0.0), dtype)?;
    let results = b.call("prim.lstm", [gates, none, c, w].map(Arg::Tensor).to_vec())?;
    let &[y, m, c] = results.as_slice() else { return Err(OpError::invalid("an LSTM has three results")) };
    let across = b.transpose(projection, 0, 1)?;
    Ok(vec![matmul(b, y, across)?, matmul(b, m, across)?, c])
}

fn reversed(b: &mut Builder<'_>, x: Val) -> Result<Val, OpError> {
    let steps = b.shape(x).first().cloned().unwrap_or(Dim::ONE);
    b.slice_dim(x, 0, &(&steps - &Dim::ONE), &steps, -1)
}

fn layers(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let call = Layers::new(c)?;
    let mut x = tensor(c, "input")?;
    if call.batch_first {
        x = b.transpose(x, 0, 1)?;
    }
    let mut finals: Vec<Vec<Val>> = vec![Vec::new(); call.states.len()];
    for (layer, directions) in call.params.chunks(call.directions).enumerate() {
        let mut outs = Vec::new();
        for (direction, params) in directions.iter().enumerate() {
            let at = Dim::int((layer * call.directions + direction) as i64);
            let mut states = Vec::new();
            for &s in &call.states {
                let own = b.slice_dim(s, 0, &at, &Dim::ONE, 1)?;
                states.push(b.squeeze(own, 0)?);
            }
            let input = if direction == 0 { x } else { reversed(b, x)? };
            let results = run(b, call.kind, input, &states, params)?;
            let (y, last) = results.split_first().ok_or_else(|| OpError::invalid("no output"))?;
            outs.push(if direction == 0 { *y } else { reversed(b, *y)? });
            for (list, &state) in finals.iter_mut().zip(last) {
                list.push(b.unsqueeze(state, 0)?);
            }
        }
        x = b.cat(&outs, 2)?;
    }
    if call.batch_first {
        x = b.transpose(x, 0, 1)?;
    }
    let mut out = vec![x];
    for list in finals {
        out.push(b.cat(&list, 0)?);
    }
    Ok(out)
}

/// A cell is a layer of one step.
fn cell(b: &mut Builder<'_>, c: &Call<'_, Val>) -> Outputs {
    let kind = Kind::of(c);
    let mut states: Vec<Val> = match kind {
        Kind::Lstm => c.tensors("hx")?.into_iter().copied().collect(),
        _ => vec![tensor(c, "hx")?],
    };
    let shapes: Vec<Vec<Dim>> = states.iter().map(|&s| b.shape(s)).collect();
    let biases = match (opt_tensor(c, "b_ih")?, opt_tensor(c, "b_hh")?) {
        (Some(i), Some(h)) => Some((i, h)),
        _ => None,
    };
    let mut x = tensor(c, "input")?;
    if b.rank(x) == 1 {
        x = b.unsqueeze(x, 0)?;
        for s in &mut states {
            *s = b.unsqueeze(*s, 0)?;
        }
    }
    let x = b.unsqueeze(x, 0)?;
    let params = Params { w_ih: tensor(c, "w_ih")?, w_hh: tensor(c, "w_hh")?, biases, projection: None };
    let results = run(b, kind, x, &states, &params)?;
    results.into_iter().skip(1).zip(&shapes).map(|(v, shape)| b.reshape(v, shape)).collect()
}
