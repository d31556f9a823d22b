//! Instance normalisation in training mode: it writes its running statistics although its schema does not say so.
//!
//! PyTorch makes it a batch normalisation of one sample whose channels are those of all samples, and the statistics the
//! means over the samples of the ones that this computes. The same calls are added here.

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, Fact, LocationId, ValueId};
use pt2c_ops::infer;

use super::error::ImportErrorKind;
use super::functionalize::Names;
use super::graph::{Builder, Call, known};

impl Builder<'_> {
    /// `instance_norm(input, weight?, bias?, running_mean, running_var, True, momentum, eps, cudnn)`.
    pub(super) fn instance_norm(&mut self, names: &mut Names, call: &Call<'_>) -> Result<(), ImportErrorKind> {
        let malformed = || ImportErrorKind::argument("input", "has no samples and channels");
        let location = call.location;
        let names_of = |index: usize| call.args.get(index).and_then(Arg::as_tensor).cloned();
        let input = names_of(0).ok_or_else(malformed)?;
        let shape = known(names, &input)?.typed.fact.shape.clone();
        let [samples, channels, inner @ ..] = shape.as_slice() else { return Err(malformed()) };

        let merged = [&[Dim::ONE, samples * channels], inner].concat();
        let x = self.read(names, &input, location)?;
        let x = self.one("aten.reshape.default", vec![Arg::Tensor(x), Arg::Ints(merged)], location)?;
        let mut args = vec![Arg::Tensor(x)];
        for index in 1..5 {
            args.push(match names_of(index) {
                Some(name) => {
                    let value = Arg::Tensor(self.read(names, &name, location)?);
                    let repeated = vec![value, Arg::Ints(vec![samples.clone()])];
                    Arg::Tensor(self.one("aten.repeat.default", repeated, location)?)
                }
                None => Arg::None,
            });
        }
        let number = |index: usize| call.args.get(index).map_or(Arg::None, |arg| arg.map(|_| x));
        args.extend([Arg::Bool(true), number(6), number(7)]);
        let results = self.compute("aten._native_batch_norm_legit_functional.default", args, location)?;
        let [y, _, _, mean, variance] = results.as_slice() else { return Err(malformed()) };
        for (index, value) in [(3, mean), (4, variance)] {
            let sizes = Arg::Ints(vec![samples.clone(), channels.clone()]);
            let rows = self.one("aten.reshape.default", vec![Arg::Tensor(*value), sizes], location)?;
            let over = vec![Arg::Tensor(rows), Arg::Ints(vec![Dim::ZERO]), Arg::Bool(false), Arg::None];
            let value = self.one("aten.mean.dim", over, location)?;
            let name = names_of(index).ok_or_else(malformed)?;
            let to = known(names, &name)?.typed.fact.clone();
            let from = self.graph.fact(value).cloned().ok_or_else(malformed)?;
            let value = self.convert(value, &from, &to, location)?;
            self.store(names, &name, value, location)?;
        }
        let y = self.one("aten.reshape.default", vec![Arg::Tensor(*y), Arg::Ints(shape.to_vec())], location)?;
        let (name, typed) = call.results.first().ok_or_else(malformed)?;
        self.fresh(names, name.as_deref(), y, typed)
    }

    /// Adds a call with one result, of the type that inference says.
    pub(super) fn one(&mut self, op: &str, args: Vec<Arg>, location: LocationId) -> Result<ValueId, ImportErrorKind> {
        let results = self.compute(op, args, location)?;
        results.first().copied().ok_or_else(|| ImportErrorKind::Undefined { name: op.to_owned() })
    }

    /// Adds a call whose results have the types that inference says.
    fn compute(&mut self, op: &str, args: Vec<Arg>, location: LocationId) -> Result<Vec<ValueId>, ImportErrorKind> {
        let undefined = |what: String| ImportErrorKind::Undefined { name: what };
        let fact = |value: &ValueId| self.graph.fact(*value).cloned().ok_or_else(|| undefined(op.to_owned()));
        let facts = args.iter().map(|arg| arg.try_map(fact)).collect::<Result<Vec<Arg<Fact>>, _>>()?;
        let facts = infer(op, &facts, &self.shared.facts.scope)
            .map_err(|error| ImportErrorKind::argument("input", format!("{op}: {error}")))?;
        let name = op.split('.').nth(1).unwrap_or(op);
        let node =
            self.graph.add_call(op, args, name, facts, location).map_err(|error| undefined(error.to_string()))?;
        Ok(self.graph.values(node).collect())
    }
}
