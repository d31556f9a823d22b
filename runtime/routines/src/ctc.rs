//! Connectionist temporal classification (Graves and others, 2006): the forward recursion, in logarithms.

use crate::real::{Real, exp, ln};

/// The negative log-likelihood of one sample: `log_probs` is `[t, classes]`, `labels` the padded targets; `alpha` has
/// `2·(2·labels + 1)` elements.
pub fn loss<T: Real>(
    log_probs: &[T],
    labels: &[i64],
    lengths: [i64; 2],
    alpha: &mut [f64],
    classes: usize,
    blank: usize,
) -> f64 {
    let steps = (lengths[0].max(0) as usize).min(log_probs.len() / classes.max(1));
    let count = (lengths[1].max(0) as usize).min(labels.len());
    let states = 2 * count + 1;
    let (mut old, mut new) = alpha.split_at_mut(2 * labels.len() + 1);
    let label = |s: usize| if s % 2 == 0 { blank } else { (labels[s / 2].max(0) as usize).min(classes - 1) };
    if steps == 0 {
        return if count == 0 { 0.0 } else { f64::INFINITY };
    }
    let at = |t: usize, s: usize| log_probs[t * classes + label(s)].to_f64();
    old[..states].fill(f64::NEG_INFINITY);
    old[0] = at(0, 0);
    if states > 1 {
        old[1] = at(0, 1);
    }
    for t in 1..steps {
        for s in 0..states {
            let mut sum = old[s];
            if s > 0 {
                sum = add(sum, old[s - 1]);
            }
            if s > 1 && s % 2 == 1 && label(s) != label(s - 2) {
                sum = add(sum, old[s - 2]);
            }
            new[s] = sum + at(t, s);
        }
        (old, new) = (new, old);
    }
    let last = old[states - 1];
    -(if states > 1 { add(last, old[states - 2]) } else { last })
}

/// `ln(e^a + e^b)`.
fn add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + ln(1.0 + exp(low - high)) }
}
