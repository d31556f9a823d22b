//! Constants in the layout that a kernel reads them in.

use crate::NativeError;
use crate::contraction::pack;
use indexmap::IndexMap;
use pt2c_ir::Bytes;
use pt2c_ir::dim::Dim;
use pt2c_kernel::{Buffer, BufferId, BufferKind, KernelProgram, Step};

/// A layout of a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Packing {
    /// A matrix `[k, n]`, at `offset + i·k_stride + j·n_stride` of the constant, in panels of columns.
    Columns { k: i64, n: i64, k_stride: i64, n_stride: i64, offset: i64, panel: i64, lanes: u32 },
    /// The same with pairs of neighbours along `k`, an even number, in the place of elements.
    Pairs { k: i64, n: i64, k_stride: i64, n_stride: i64, offset: i64, panel: i64, lanes: u32 },
    /// A convolution's weight `[groups·out, in, taps]` in panels of output channels.
    Convolution { groups: i64, out_per_group: i64, in_per_group: i64, taps: i64, panel: i64, lanes: u32 },
    /// The factors of 3×3 windows `[out, in, 3, 3]`: 16 matrices `[in, out]` in panels of columns.
    Winograd { out: i64, input: i64, panel: i64, lanes: u32 },
    /// A matrix as of `Columns` in the basis of [`pack::strassen`].
    Strassen { k: i64, n: i64, k_stride: i64, n_stride: i64, offset: i64, panel: i64, lanes: u32 },
    /// A dense matrix `[rows, columns]` as `[rows / panel, columns, panel]`; `[columns, rows]` for a panel of all rows.
    Transpose { rows: i64, columns: i64, panel: i64 },
    /// A depthwise weight `[channels, 1, taps]` with channels innermost.
    Depthwise { channels: i64, taps: i64 },
}

impl Packing {
    /// The constant's bytes in this layout; `size` is that of an element. `None` if the constant is too small.
    fn apply(&self, data: &[u8], size: usize) -> Option<Vec<u8>> {
        let n = |x: i64| usize::try_from(x).ok();
        match *self {
            Packing::Columns { k, n: columns, k_stride, n_stride, offset, panel, lanes } => {
                let (k, columns, panel) = (n(k)?, n(columns)?, n(panel)?);
                let (k_stride, n_stride, offset) = (n(k_stride)?, n(n_stride)?, n(offset)?);
                let dense = gather(data, size, offset, (k, k_stride), (columns, n_stride))?;
                pack::columns(&dense, size, k, columns, panel, lanes as usize)
            }
            Packing::Pairs { k, n: columns, k_stride, n_stride, offset, panel, lanes } => {
                let (k, columns, panel) = (n(k)?, n(columns)?, n(panel)?);
                let (k_stride, n_stride, offset) = (n(k_stride)?, n(n_stride)?, n(offset)?);
                let dense = gather(data, size, offset, (k, k_stride), (columns, n_stride))?;
                let row = columns.checked_mul(size)?;
                let mut pairs = Vec::with_capacity(dense.len());
                for both in dense.chunks_exact(row.checked_mul(2)?.max(1)) {
                    let (first, second) = both.split_at(row);
                    for (first, second) in first.chunks_exact(size).zip(second.chunks_exact(size)) {
                        pairs.extend_from_slice(first);
                        pairs.extend_from_slice(second);
                    }
                }
                pack::columns(&pairs, size.checked_mul(2)?, k / 2, columns, panel, lanes as usize)
            }
            Packing::Convolution { groups, out_per_group, in_per_group, taps, panel, lanes } => {
                let (groups, o, i) = (n(groups)?, n(out_per_group)?, n(in_per_group)?);
                let (taps, panel) = (n(taps)?, n(panel)?);
                let len = groups.checked_mul(o)?.checked_mul(i)?.checked_mul(taps)?.checked_mul(size)?;
                pack::convolution(data.get(..len)?, size, groups, o, i, taps, panel, lanes as usize)
            }
            Packing::Winograd { out, input, panel, lanes } => {
                let (out, input, panel) = (n(out)?, n(input)?, n(panel)?);
                let len = out.checked_mul(input)?.checked_mul(9)?.checked_mul(size)?;
                pack::winograd(data.get(..len)?, out, input, panel, lanes as usize)
            }
            Packing::Strassen { k, n: columns, k_stride, n_stride, offset, panel, lanes } => {
                let (k, columns, panel) = (n(k)?, n(columns)?, n(panel)?);
                let (k_stride, n_stride, offset) = (n(k_stride)?, n(n_stride)?, n(offset)?);
                let dense = gather(data, size, offset, (k, k_stride), (columns, n_stride))?;
                pack::strassen(&dense, k, columns, panel, lanes as usize)
            }
            Packing::Transpose { rows, columns, panel } => {
                let (rows, columns, panel) = (n(rows)?, n(columns)?, n(panel)?);
                let mut out = Vec::with_capacity(data.len());
                for first in (0..rows).step_by(panel.max(1)) {
                    out.extend(gather(data, size, first.checked_mul(columns)?, (columns, 1), (panel, columns))?);
                }
                Some(out)
            }
            Packing::Depthwise { channels, taps } => {
                let (channels, taps) = (n(channels)?, n(taps)?);
                let len = channels.checked_mul(taps)?.checked_mul(size)?;
                pack::depthwise(data.get(..len)?, size, channels, taps)
            }
        }
    }
}

/// A strided matrix as a dense one; each dimension is `(extent, stride)`.
fn gather(
    data: &[u8],
    size: usize,
    offset: usize,
    (rows, row_stride): (usize, usize),
    (columns, column_stride): (usize, usize),
) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(rows.checked_mul(columns)?.checked_mul(size)?);
    for i in 0..rows {
        let start = offset.checked_add(i.checked_mul(row_stride)?)?;
        if column_stride == 1 {
            let from = start.checked_mul(size)?;
            out.extend_from_slice(data.get(from..from.checked_add(columns.checked_mul(size)?)?)?);
            continue;
        }
        for j in 0..columns {
            let from = start.checked_add(j.checked_mul(column_stride)?)?.checked_mul(size)?;
            out.extend_from_slice(data.get(from..from.checked_add(size)?)?);
        }
    }
    Some(out)
}

/// The program with a buffer in the kernel's own layout for each constant that a kernel wants packed; `packings` lists
/// them by kernel and parameter. Constants that nothing reads any more become empty.
pub(super) fn pack_constants(
    program: &KernelProgram,
    packings: &[Vec<(usize, Packing)>],
) -> Result<KernelProgram, NativeError> {
    let mut packer =
        Packer { program: KernelProgram { steps: Vec::new(), ..program.clone() }, packings, made: IndexMap::new() };
    let steps = packer.steps(&program.steps)?;
    packer.program.steps = steps;
    let mut used = vec![false; packer.program.buffers.len()];
    Step::visit(&packer.program.steps, &mut |step| {
        for id in step.buffers() {
            if let Some(used) = used.get_mut(id.0 as usize) {
                *used = true;
            }
        }
    });
    for (buffer, used) in packer.program.buffers.iter_mut().zip(used) {
        if !used && let BufferKind::Constant(_) = buffer.kind {
            buffer.kind = BufferKind::Constant(Bytes::new(Vec::new()));
            buffer.len = Dim::ZERO;
        }
    }
    Ok(packer.program)
}

struct Packer<'a> {
    program: KernelProgram,
    packings: &'a [Vec<(usize, Packing)>],
    made: IndexMap<(BufferId, Packing), BufferId>,
}

impl Packer<'_> {
    fn steps(&mut self, steps: &[Step]) -> Result<Vec<Step>, NativeError> {
        steps
            .iter()
            .map(|step| {
                Ok(match step {
                    Step::Call { kernel, buffers, location } => {
                        let mut buffers = buffers.clone();
                        for (param, packing) in self.packings.get(kernel.0 as usize).into_iter().flatten() {
                            if let Some(buffer) = buffers.get_mut(*param) {
                                *buffer = self.packed(*buffer, *packing)?;
                            }
                        }
                        Step::Call { kernel: *kernel, buffers, location: *location }
                    }
                    Step::Bind { .. } => step.clone(),
                    Step::If { condition, then, otherwise } => {
                        Step::If { condition: *condition, then: self.steps(then)?, otherwise: self.steps(otherwise)? }
                    }
                    Step::While { before, condition, body } => {
                        Step::While { before: self.steps(before)?, condition: *condition, body: self.steps(body)? }
                    }
                })
            })
            .collect()
    }

    /// The buffer that holds `source` in that layout.
    fn packed(&mut self, source: BufferId, packing: Packing) -> Result<BufferId, NativeError> {
        if let Some(made) = self.made.get(&(source, packing)) {
            return Ok(*made);
        }
        let failed =
            |name: &str| NativeError::Unsupported { what: format!("packing {name}: not a constant of its size") };
        let buffer = self.program.buffers.get(source.0 as usize).ok_or_else(|| failed("a missing buffer"))?;
        let BufferKind::Constant(bytes) = &buffer.kind else { return Err(failed(&buffer.name)) };
        let data = packing.apply(bytes, buffer.dtype.size()).ok_or_else(|| failed(&buffer.name))?;
        let made = BufferId(self.program.buffers.len() as u32);
        let packed = Buffer {
            name: format!("{}.packed{}", buffer.name, self.made.len()),
            dtype: buffer.dtype,
            len: Dim::int((data.len() / buffer.dtype.size().max(1)) as i64),
            kind: BufferKind::Constant(Bytes::new(data)),
        };
        self.program.buffers.push(packed);
        self.made.insert((source, packing), made);
        Ok(made)
    }
}
