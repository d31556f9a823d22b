//! torchvision's operators over boxes, and connectionist temporal classification: sequential by nature, so routines
//! of the runtime.

use crate::formula::{Sheet, Term, formula};
use crate::{Call, OpDef, OpError, Val};
use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    formula!("torchvision::roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor", |s, c| {
        let flags = [Dim::int(c.int("sampling_ratio")?), Dim::int(i64::from(c.bool("aligned")?))];
        let [_, _, _, y] = pooled(s, c, "roi_align", &flags)?;
        vec![y.cast(s.arg(c, "input").dtype())]
    }),
    formula!("torchvision::roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width) -> (Tensor, Tensor)", |s, c| {
        let [_, _, _, y, places] = pooled(s, c, "roi_pool", &[])?;
        vec![y.cast(s.arg(c, "input").dtype()), places]
    }),
    formula!("torchvision::ps_roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, int sampling_ratio) -> (Tensor, Tensor)", |s, c| {
        let [_, _, _, y, mapping] = pooled(s, c, "ps_roi_align", &[Dim::int(c.int("sampling_ratio")?)])?;
        vec![y.cast(s.arg(c, "input").dtype()), mapping]
    }),
    formula!("torchvision::ps_roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width) -> (Tensor, Tensor)", |s, c| {
        let [_, _, _, y, mapping] = pooled(s, c, "ps_roi_pool", &[])?;
        vec![y.cast(s.arg(c, "input").dtype()), mapping]
    }),
    formula!("torchvision::deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask) -> Tensor", |s, c| deformable(s, c)?),
    formula!("ctc_loss.IntList(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank=0, int reduction=1, bool zero_infinity=False) -> Tensor", |s, c| {
        let list = |name: &str| -> Result<Term<'_>, OpError> {
            let values = c.ints(name)?;
            Ok(s.step(|b| {
                let all = values.iter().map(|&n| b.full(&[Dim::ONE], &Arg::Int(Dim::int(n)), DType::I64)).collect::<Result<Vec<_>, _>>()?;
                b.cat(&all, 0)
            }))
        };
        ctc(s, c, list("input_lengths")?, list("target_lengths")?)?
    }),
    formula!("ctc_loss.Tensor(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank=0, int reduction=1, bool zero_infinity=False) -> Tensor", |s, c| {
        ctc(s, c, s.arg(c, "input_lengths").cast(DType::I64), s.arg(c, "target_lengths").cast(DType::I64))?
    }),
];

/// f32 unless it is f64: what a routine computes in.
fn inner(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

fn pooled<'s, const N: usize>(
    s: &'s Sheet<'_>,
    c: &Call<'_, Val>,
    name: &str,
    flags: &[Dim],
) -> Result<[Term<'s>; N], OpError> {
    let (x, rois) = (s.arg(c, "input"), s.arg(c, "rois"));
    let dtype = inner(x.dtype());
    let regions = rois.shape().first().cloned().unwrap_or(Dim::ZERO);
    let sizes = [&x.shape()[..], &[c.dim("pooled_height")?, c.dim("pooled_width")?], flags].concat();
    let scale = s.number(c.float("spatial_scale")?, DType::F64);
    let operands = [x.cast(dtype).value(), rois.cast(dtype).value(), scale.value()];
    Ok(s.many(|b| b.routine(name, &operands, std::slice::from_ref(&regions), &sizes)))
}

fn deformable<'s>(s: &'s Sheet<'_>, c: &Call<'_, Val>) -> Result<Vec<Term<'s>>, OpError> {
    let [x, w, offset, mask, bias] = ["input", "weight", "offset", "mask", "bias"].map(|n| s.arg(c, n));
    let (out, dtype) = (x.dtype(), inner(x.dtype()));
    let (xs, ws, os) = (x.shape(), w.shape(), offset.shape());
    let ([n, channels, height, width], [k, each, kh, kw], [_, _, rows, columns]) =
        (xs.as_slice(), ws.as_slice(), os.as_slice())
    else {
        return Err(OpError::invalid("deformable convolution takes pictures"));
    };
    let (groups, masked) = (c.dim("groups")?, c.bool("use_mask")?);
    let mask = if masked {
        mask.cast(dtype)
    } else {
        s.number(0.0, dtype).expand(&[n.clone(), Dim::ZERO, rows.clone(), columns.clone()])
    };
    let mut sizes: Vec<Dim> = [channels, height, width, rows, columns, kh, kw].into_iter().cloned().collect();
    for name in ["stride_h", "stride_w", "pad_h", "pad_w", "dilation_h", "dilation_w", "offset_groups"] {
        sizes.push(c.dim(name)?);
    }
    sizes.push(Dim::int(i64::from(masked)));
    let operands = [x.cast(dtype).value(), offset.cast(dtype).value(), mask.value()];
    let [_, _, _, taken] = s.many(|b| b.routine("deform_columns", &operands, std::slice::from_ref(n), &sizes));
    // [N, G, C/G·window, area] and [G, K/G, C/G·window]
    let depth = each * kh * kw;
    let area = rows * columns;
    let taken = taken.reshape(&[n.clone(), groups.clone(), depth.clone(), area]);
    let w = w.cast(dtype).reshape(&[groups.clone(), k.floor_div(&groups), depth]);
    let y = w.matmul(taken).reshape(&[n.clone(), k.clone(), rows.clone(), columns.clone()]);
    let bias = bias.cast(dtype).reshape(&[k.clone(), Dim::ONE, Dim::ONE]);
    Ok(vec![(y + bias).cast(out)])
}

fn ctc<'s>(
    s: &'s Sheet<'_>,
    c: &Call<'_, Val>,
    input_lengths: Term<'s>,
    target_lengths: Term<'s>,
) -> Result<Vec<Term<'s>>, OpError> {
    let given = s.arg(c, "log_probs");
    let single = given.rank() == 2;
    let logs = given.cast(inner(given.dtype()));
    let logs = if single { logs.unsqueeze(1) } else { logs };
    let [t, n, classes] =
        <[Dim; 3]>::try_from(logs.shape()).map_err(|_| OpError::invalid("log_probs are [T, N, C]"))?;
    let targets = s.arg(c, "targets").cast(DType::I64);
    let (inputs, lengths) =
        (input_lengths.reshape(std::slice::from_ref(&n)), target_lengths.reshape(std::slice::from_ref(&n)));
    let labels = if targets.rank() == 2 {
        targets
    } else {
        // One after the other: each starts where the last ended.
        let count = targets.shape().first().cloned().unwrap_or(Dim::ZERO);
        let starts = lengths.then(|b, v| b.scan(v, 0, "sum")) - lengths;
        let place = starts.unsqueeze(1) + s.iota(&count, DType::I64);
        let last = s.size(&(&count - 1), DType::I64);
        let place = place.min(last).max(0.0);
        targets.then(|b, v| b.take(v, place.value(), 0))
    };
    let width = labels.shape()[1].clone();
    let both = s.step(|b| {
        let pair = [b.unsqueeze(inputs.value(), 1)?, b.unsqueeze(lengths.value(), 1)?];
        b.cat(&pair, 1)
    });
    let rows = logs.then(|b, v| b.permute(v, &[1, 0, 2]));
    let operands = [rows.value(), labels.value(), both.value()];
    let sizes = [t, classes, width, c.dim("blank")?];
    let [_, _, _, mut loss] = s.many(|b| b.routine("ctc_loss", &operands, std::slice::from_ref(&n), &sizes));
    if c.bool("zero_infinity")? {
        loss = loss.is_inf().pick(0.0, loss);
    }
    let result = match c.int("reduction")? {
        0 if single => loss.reshape(&[]),
        0 => loss,
        1 => {
            let each = loss / lengths.max(1.0).cast(loss.dtype());
            each.total() / s.size(&n, loss.dtype())
        }
        _ => loss.total(),
    };
    Ok(vec![result.cast(given.dtype())])
}
