//! `fill_diagonal_`: PyTorch has no operator that returns the filled tensor, so the calls that compute it are added.

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, Fact};

use super::error::ImportErrorKind;
use super::functionalize::Names;
use super::graph::{Builder, Call, known};

impl Builder<'_> {
    /// `fill_diagonal_(self, fill_value, wrap)`: every element whose indices are equal; with `wrap`, the diagonal of a tall
    /// matrix begins again a row below its end.
    pub(super) fn fill_diagonal(&mut self, names: &mut Names, call: &Call<'_>) -> Result<(), ImportErrorKind> {
        let malformed = || ImportErrorKind::argument("self", "is not a tensor of two or more dimensions");
        let target = call.args.first().and_then(Arg::as_tensor).cloned().ok_or_else(malformed)?;
        let Fact { shape, dtype, .. } = known(names, &target)?.typed.fact.clone();
        let [first, rest @ ..] = shape.as_slice() else { return Err(malformed()) };
        let location = call.location;
        let x = self.read(names, &target, location)?;
        let value = call.args.get(1).map_or(Arg::Int(Dim::ZERO), |number| number.map(|_| x));
        let wrap = call.args.get(2).and_then(Arg::as_bool) == Some(true);
        let side = Dim::min_of(shape.iter().cloned());

        let full = |count: &Dim| {
            let sizes = Arg::Ints(vec![count.clone()]);
            vec![sizes, value.clone(), Arg::DType(dtype), Arg::None, Arg::None, Arg::None]
        };
        let filled = if shape.len() == 2 && !wrap {
            let line = self.one("aten.full.default", full(&side), location)?;
            let places = [0, 0, 1].map(|i| Arg::Int(Dim::int(i)));
            let args = [Arg::Tensor(x), Arg::Tensor(line)].into_iter().chain(places).collect();
            self.one("aten.diagonal_scatter.default", args, location)?
        } else {
            // In row-major order these elements lie one stride of every dimension apart.
            let strides = (0..rest.len()).map(|i| rest[i..].iter().fold(Dim::ONE, |n, d| &n * d));
            let step = strides.fold(Dim::ONE, |sum, stride| &sum + &stride);
            let count = shape.iter().fold(Dim::ONE, |n, d| &n * d);
            let places = if shape.len() == 2 { count.ceil_div(&step) } else { first.clone() };
            let flat = vec![Arg::Tensor(x), Arg::Ints(vec![count.clone()])];
            let flat = self.one("aten.reshape.default", flat, location)?;
            let line = self.one("aten.full.default", full(&places), location)?;
            let bounds = [Dim::ZERO, Dim::ZERO, count, step].map(Arg::Int);
            let args = [Arg::Tensor(flat), Arg::Tensor(line)].into_iter().chain(bounds).collect();
            let flat = self.one("aten.slice_scatter.default", args, location)?;
            self.one("aten.reshape.default", vec![Arg::Tensor(flat), Arg::Ints(shape.to_vec())], location)?
        };
        self.store(names, &target, filled, location)?;
        self.rename_results(names, call, &target)
    }
}
