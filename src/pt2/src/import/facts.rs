//! Types of tensor values.

use pt2c_ir::dim::Dim;
use pt2c_ir::{DType, Fact};

use super::error::ImportErrorKind;
use super::symbols::Expressions;
use crate::limits;
use crate::schema::{Graph, Layout, SymInt, TensorMeta};

/// Type and strides of a tensor value.
#[derive(Clone, Debug)]
pub struct Typed {
    /// Element type and shape.
    pub fact: Fact,
    /// Strides in elements at export: they tell views from copies.
    pub strides: Vec<Dim>,
}

/// Looks a value up in the graph's table.
///
/// # Errors
/// An absent entry, a type without a form in the IR, an unreadable expression.
pub fn typed(name: &str, graph: &Graph, expressions: &mut Expressions) -> Result<Typed, ImportErrorKind> {
    let meta = graph.tensor_values.get(name).ok_or_else(|| ImportErrorKind::Untyped { name: name.to_owned() })?;
    of_meta(name, meta, expressions)
}

fn of_meta(name: &str, meta: &TensorMeta, expressions: &mut Expressions) -> Result<Typed, ImportErrorKind> {
    let dtype =
        DType::try_from(meta.dtype).map_err(|source| ImportErrorKind::DType { name: name.to_owned(), source })?;
    if !matches!(meta.layout, Layout::Strided | Layout::Unknown) {
        return Err(ImportErrorKind::unsupported(
            format!("the {:?} layout of {name:?}", meta.layout),
            "convert the tensor with .to_dense() before it is used",
        ));
    }
    if meta.sizes.len() > limits::MAX_RANK {
        return Err(ImportErrorKind::unsupported(
            format!("a tensor of {} dimensions ({name:?})", meta.sizes.len()),
            "reshape it to fewer dimensions",
        ));
    }
    let mut read = |values: &[SymInt]| values.iter().map(|v| expressions.sym_int(v)).collect::<Result<Vec<_>, _>>();
    let (shape, strides) = (read(&meta.sizes)?, read(&meta.strides)?);
    if let Some(negative) = shape.iter().filter_map(Dim::as_int).find(|&size| size < 0) {
        return Err(ImportErrorKind::argument(name, format!("has a size of {negative}")));
    }
    Ok(Typed { fact: Fact::new(dtype, shape), strides })
}
