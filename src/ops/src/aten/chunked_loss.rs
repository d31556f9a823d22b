//! A projection and its cross entropy in one operator, as `torch.nn.functional.linear_cross_entropy` writes it when it
//! is to work in chunks: the loss alone, for programs without gradients.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The family.
pub const OPS: &[OpDef] = &[
    formula!(
        "torch_nn::_linear_cross_entropy_batch_chunked(Tensor input, Tensor linear_weight, Tensor target, Tensor? linear_bias, Tensor? weight, str reduction, SymInt ignore_index, float label_smoothing, SymInt batch_chunk_size, str acc_policy, ScalarType acc_dtype, bool allow_retain_graph, bool compute_input_grad, bool compute_linear_weight_grad, bool compute_linear_bias_grad) -> (Tensor, Tensor, Tensor, Tensor)",
        |s, c| {
            for flag in ["compute_input_grad", "compute_linear_weight_grad", "compute_linear_bias_grad"] {
                if c.bool(flag)? {
                    return Err(OpError::Unsupported(
                        "linear_cross_entropy with gradients: export it under torch.no_grad()".into(),
                    ));
                }
            }
            let dtype = s.arg(c, "input").dtype();
            let none = |rank: usize| s.number(0.0, dtype).expand(&vec![Dim::ZERO; rank]);
            vec![loss(s, c, c.str("reduction")?, c.float("label_smoothing")?)?, none(2), none(2), none(1)]
        }
    ),
    formula!(
        "torch_nn::_linear_cross_entropy_batch_chunked_no_reduction(Tensor input, Tensor linear_weight, Tensor target, Tensor? linear_bias, Tensor? weight, SymInt ignore_index, SymInt batch_chunk_size, str acc_policy, ScalarType acc_dtype) -> Tensor",
        |s, c| vec![loss(s, c, "none", 0.0)?]
    ),
];

fn loss<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>, reduction: &str, smoothing: f64) -> Result<Term<'s>, OpError> {
    let reduction = match reduction {
        "none" => 0,
        "mean" => 1,
        "sum" => 2,
        other => return Err(OpError::Invalid(format!("there is no reduction `{other}`"))),
    };
    let input = s.arg(c, "input");
    // Sums are kept in the type that the call names.
    let wide = match c.dtype("acc_dtype")? {
        DType::F64 => DType::F64,
        _ => input.wide().dtype(),
    };
    let given = |name: &str, dtype: DType| -> Result<Arg<Val>, OpError> {
        let term = c.opt_tensor(name)?.map(|_| s.arg(c, name).cast(dtype));
        Ok(term.map_or(Arg::None, |t| Arg::Tensor(t.value())))
    };
    let weight = given("linear_weight", wide)?;
    let logits = input.cast(wide).op("aten.linear.default", vec![weight, given("linear_bias", wide)?]);
    let target = s.arg(c, "target");
    let target = if target.dtype().is_float() { target.cast(wide) } else { target };
    let more = vec![
        Arg::Tensor(target.value()),
        given("weight", wide)?,
        Arg::Int(Dim::int(reduction)),
        Arg::Int(c.dim("ignore_index")?),
        Arg::Float(smoothing),
    ];
    Ok(logits.op("aten.cross_entropy_loss.default", more).cast(input.dtype()))
}
