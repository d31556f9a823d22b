//! Recurrent layers: one layer, one direction, the input's share of the gates computed before.

use crate::{Call, OpDef, OpError, Tensor, special::sigmoid};
use pt2c_ir::Fact;

/// The family.
pub const OPS: &[OpDef] = &[
    OpDef::new(
        "lstm(Tensor gates, Tensor h0, Tensor c0, Tensor w_hh) -> (Tensor, Tensor, Tensor)",
        |c| {
            let (y, h) = infer_layer(c, 4)?;
            Ok(vec![y, h.clone(), h])
        },
        lstm,
    ),
    OpDef::new(
        "gru(Tensor gates, Tensor h0, Tensor w_hh, Tensor b_hh) -> (Tensor, Tensor)",
        |c| {
            let (y, h) = infer_layer(c, 3)?;
            Ok(vec![y, h])
        },
        gru,
    ),
    OpDef::new(
        "rnn(Tensor gates, Tensor h0, Tensor w_hh, str nonlinearity) -> (Tensor, Tensor)",
        |c| {
            let (y, h) = infer_layer(c, 1)?;
            activation(c.str("nonlinearity")?)?;
            Ok(vec![y, h])
        },
        rnn,
    ),
];

/// Facts of the outputs and of the last state: gates `[T, B, parts·H]`, state `[B, H]`, weights `[parts·H, H]`.
fn infer_layer(c: &Call<'_, Fact>, parts: i64) -> Result<(Fact, Fact), OpError> {
    let (gates, h, w) = (c.tensor("gates")?, c.tensor("h0")?, c.tensor("w_hh")?);
    let wrong = || OpError::Invalid(format!("{gates}, {h} and {w} do not fit `{}`", c.op.name));
    let ([t, _, wide], [b, hidden], [rows, _]) = (gates.shape.as_slice(), h.shape.as_slice(), w.shape.as_slice())
    else {
        return Err(wrong());
    };
    let expected = hidden * &pt2c_ir::dim::Dim::int(parts);
    if gates.dtype != h.dtype
        || gates.dtype != w.dtype
        || c.scope.prove_eq(wide, &expected).is_no()
        || c.scope.prove_eq(rows, &expected).is_no()
    {
        return Err(wrong());
    }
    let y = Fact::new(gates.dtype, [t.clone(), b.clone(), hidden.clone()]);
    Ok((y, Fact::new(h.dtype, [b.clone(), hidden.clone()])))
}

/// `v · wᵀ` for one row `v`, each entry handed to its place.
fn row_times(w: &[f64], v: &[f64], mut to: impl FnMut(usize, f64)) {
    for (j, row) in w.chunks_exact(v.len().max(1)).enumerate() {
        to(j, row.iter().zip(v).map(|(a, b)| a * b).sum());
    }
}

/// Runs `step(gates of the step, hidden part, state)` over time for each batch row; the first part of the state is
/// the output. Returns outputs `[T, B, H]` and the states behind each other.
fn layer(
    c: &Call<'_, Tensor>,
    state: &mut [Vec<f64>],
    mut step: impl FnMut(&[f64], &[f64], &mut [Vec<f64>], usize),
) -> Result<Tensor, OpError> {
    let (gates, h0, w) = (c.tensor("gates")?, c.tensor("h0")?, c.tensor("w_hh")?);
    let ([t, b, wide], [_, hidden]) = (gates.shape(), h0.shape()) else {
        return Err(OpError::invalid("a recurrent layer needs gates [T, B, G·H] and a state [B, H]"));
    };
    let (w, all) = (w.as_f64s(), gates.as_f64s());
    let mut y = Vec::with_capacity(t * b * hidden);
    let mut share = vec![0.0; *wide];
    for at in 0..*t {
        for row in 0..*b {
            let from = row * hidden;
            let h = state.first().and_then(|h| h.get(from..from + hidden)).unwrap_or(&[]).to_vec();
            row_times(&w, &h, |j, x| {
                if let Some(slot) = share.get_mut(j) {
                    *slot = x;
                }
            });
            let gates = all.get((at * b + row) * wide..(at * b + row + 1) * wide).unwrap_or(&[]);
            step(gates, &share, state, from);
        }
        y.extend(state.first().into_iter().flatten());
    }
    Ok(Tensor::floats(gates.dtype(), &[*t, *b, *hidden], y))
}

fn part(v: &[f64], which: usize, hidden: usize, j: usize) -> f64 {
    v.get(which * hidden + j).copied().unwrap_or(f64::NAN)
}

fn lstm(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (h0, c0) = (c.tensor("h0")?, c.tensor("c0")?);
    let n = h0.shape().last().copied().unwrap_or(0);
    let mut state = [h0.to_f64s(), c0.to_f64s()];
    let y = layer(c, &mut state, |gates, share, state, from| {
        let [h, cell] = state else { return };
        let rows = h.iter_mut().skip(from).zip(cell.iter_mut().skip(from)).take(n);
        for (j, (h, cell)) in rows.enumerate() {
            let gate = |which| part(gates, which, n, j) + part(share, which, n, j);
            *cell = sigmoid(gate(1)) * *cell + sigmoid(gate(0)) * gate(2).tanh();
            *h = sigmoid(gate(3)) * cell.tanh();
        }
    })?;
    let [h, cell] = state;
    let dtype = h0.dtype();
    Ok(vec![y, Tensor::floats(dtype, h0.shape(), h), Tensor::floats(dtype, h0.shape(), cell)])
}

fn gru(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (h0, bias) = (c.tensor("h0")?, c.tensor("b_hh")?.to_f64s());
    let n = h0.shape().last().copied().unwrap_or(0);
    let mut state = [h0.to_f64s()];
    let y = layer(c, &mut state, |gates, share, state, from| {
        let [h] = state else { return };
        for (j, h) in h.iter_mut().skip(from).take(n).enumerate() {
            let own = |which| part(share, which, n, j) + part(&bias, which, n, j);
            let reset = sigmoid(part(gates, 0, n, j) + own(0));
            let update = sigmoid(part(gates, 1, n, j) + own(1));
            let new = (part(gates, 2, n, j) + reset * own(2)).tanh();
            *h = (1.0 - update) * new + update * *h;
        }
    })?;
    let [h] = state;
    Ok(vec![y, Tensor::floats(h0.dtype(), h0.shape(), h)])
}

fn activation(name: &str) -> Result<fn(f64) -> f64, OpError> {
    match name {
        "tanh" => Ok(f64::tanh),
        "relu" => Ok(|x| crate::special::max(x, 0.0)),
        _ => Err(OpError::Invalid(format!("`{name}` is no nonlinearity of a recurrent layer"))),
    }
}

fn rnn(c: &Call<'_, Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (h0, f) = (c.tensor("h0")?, activation(c.str("nonlinearity")?)?);
    let n = h0.shape().last().copied().unwrap_or(0);
    let mut state = [h0.to_f64s()];
    let y = layer(c, &mut state, |gates, share, state, from| {
        let [h] = state else { return };
        for (j, h) in h.iter_mut().skip(from).take(n).enumerate() {
            *h = f(part(gates, 0, n, j) + part(share, 0, n, j));
        }
    })?;
    let [h] = state;
    Ok(vec![y, Tensor::floats(h0.dtype(), h0.shape(), h)])
}
