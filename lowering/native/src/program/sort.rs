//! Sorting: a call of the runtime for the areas of a task.

use super::Range;
use crate::NativeError;
use crate::builder::{Module, Type, Val};
use crate::loops::Cx;
use pt2c_ir::dim::Dim;
use pt2c_kernel::{Param, Sort};

/// The runtime's function: `(x, values, indices, scratch, shape, begin, end)`.
pub const SORT: &str = "pt2c_rt_sort";

/// Declares the runtime's function.
pub(super) fn declare(module: &mut Module) {
    module.declare(SORT, &[Type::Ptr, Type::Ptr, Type::Ptr, Type::Ptr, Type::Ptr, Type::I64, Type::I64], &[]);
}

/// Writes the body of a sorting kernel; threads share its areas.
pub(super) fn sort(cx: &mut Cx<'_>, params: &[Param], s: &Sort, begin: Val, end: Val) -> Result<Range, NativeError> {
    let missing = || NativeError::Unsupported { what: "a sort without its parameters".to_string() };
    let dtype = params.get(s.x).ok_or_else(missing)?.dtype;
    let code = Some(pt2c_library::dtype_code(dtype)).filter(|_| !dtype.is_complex());
    let code = code.ok_or_else(|| NativeError::Unsupported { what: format!("sorting elements of {dtype}") })?;
    let flags = code as i64 + if s.descending { 256 } else { 0 } + if s.rows { 512 } else { 0 };
    let shape = cx.b.stack_words(6);
    for (i, dim) in [&s.outer, &s.len, &s.inner, &s.keep, &s.areas].into_iter().enumerate() {
        let value = cx.ix.dim(&mut cx.b, dim)?;
        let value = cx.b.index_to_i64(value);
        let place = cx.b.ptr_at(shape, 8 * i as i64);
        cx.b.ptr_store(value, place);
    }
    let flags = cx.b.int(Type::I64, flags);
    let place = cx.b.ptr_at(shape, 40);
    cx.b.ptr_store(flags, place);
    let mut pointers = Vec::new();
    for param in [Some(s.x), s.values, Some(s.indices), Some(s.scratch)] {
        pointers.push(match param {
            Some(p) => {
                let buffer = cx.params.get(p).ok_or_else(missing)?.val;
                cx.b.ptr_of_buffer(buffer)
            }
            None => cx.b.null(),
        });
    }
    let (begin, end) = (cx.b.index_to_i64(begin), cx.b.index_to_i64(end));
    let args: Vec<Val> = pointers.into_iter().chain([shape, begin, end]).collect();
    cx.b.call(SORT, &args, &[]);
    // Comparisons of an area: its lines, each some ten passes.
    let lines = if s.rows { s.outer.clone() } else { &s.outer * &s.inner };
    let elements = lines.ceil_div(&s.areas) * &s.len;
    Ok(Range { extent: s.areas.clone(), cost: elements * Dim::int(24), multiple: 1 })
}
