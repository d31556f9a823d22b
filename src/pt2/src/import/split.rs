//! `tensor_split` at indices that a tensor holds: how many results there are is known from the tensor's size, and where
//! they begin is data. It becomes slices at numbers that data decide, as in PyTorch's decomposition.

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Fact};
use pt2c_ops::wrap_dim;

use super::error::ImportErrorKind;
use super::functionalize::{Names, add};
use super::graph::{Builder, Call, known};
use super::schemas;

/// The operator.
pub(super) const BY_TENSOR: &str = "aten.tensor_split.tensor_indices_or_sections";

impl Builder<'_> {
    /// `tensor_split(self, indices, dim)` with indices of one dimension.
    ///
    /// # Errors
    /// A tensor that is a number of sections: the number of results would be data.
    pub(super) fn split_at(&mut self, names: &mut Names, call: Call<'_>) -> Result<(), ImportErrorKind> {
        let location = call.location;
        let operand = |index: usize| {
            let tensor = call.args.get(index).and_then(Arg::as_tensor).cloned();
            tensor.ok_or_else(|| ImportErrorKind::argument("self", "is no tensor"))
        };
        let (input, indices) = (operand(0)?, operand(1)?);
        let count = known(names, &indices)?.typed.fact.shape.clone();
        let cuts = call.results.len().saturating_sub(1);
        if count.len() != 1 || count.first().and_then(Dim::as_int) != i64::try_from(cuts).ok() {
            return Err(ImportErrorKind::unsupported(
                format!("{BY_TENSOR} into a number of sections that data decide"),
                "use torch.tensor_split with an int, or with a tensor of indices",
            ));
        }
        let size = {
            let fact = &known(names, &input)?.typed.fact;
            let dim = call.args.get(2).and_then(Arg::as_int).unwrap_or(0);
            let dim = wrap_dim(dim, fact.rank()).ok().and_then(|dim| fact.shape.get(dim).cloned());
            dim.ok_or_else(|| ImportErrorKind::argument("dim", "is no dimension of the tensor"))?
        };
        // Negative indices count from the end.
        let given = self.read(names, &indices, location)?;
        let negative = self.one("aten.lt.Scalar", vec![Arg::Tensor(given), Arg::Int(Dim::ZERO)], location)?;
        let shift = self.one("aten.mul.Tensor", vec![Arg::Tensor(negative), Arg::Int(size)], location)?;
        let both = vec![Arg::Tensor(given), Arg::Tensor(shift), Arg::Int(Dim::ONE)];
        let indices = self.one("aten.add.Tensor", both, location)?;
        let mut bounds = vec![Arg::Int(Dim::ZERO)];
        for i in 0..cuts {
            let args = vec![Arg::Tensor(indices), Arg::Int(Dim::ZERO), Arg::Int(Dim::int(i as i64))];
            let scalar = Fact::new(DType::I64, Vec::<Dim>::new());
            let index = add(&mut self.graph, "aten.select.int", args, "index", scalar, location)?;
            let symbol = self.fresh_symbol();
            self.bind(index, &symbol, location)?;
            bounds.push(Arg::Int(Dim::sym(symbol)));
        }
        bounds.push(Arg::None);
        let dim = call.args.get(2).cloned().unwrap_or(Arg::Int(Dim::ZERO));
        for (result, cut) in call.results.into_iter().zip(bounds.windows(2)) {
            let [start, end] = cut else { continue };
            let op = "aten.slice.Tensor";
            let args = vec![Arg::Tensor(input.clone()), dim.clone(), start.clone(), end.clone(), Arg::Int(Dim::ONE)];
            let name = call.name.clone();
            let slice = Call { op, signature: schemas::schema(op), args, results: vec![result], name, location };
            self.call(names, slice)?;
        }
        Ok(())
    }
}
