//! Custom operators that write their arguments.
//!
//! An archive has the name of a custom operator, and neither its schema nor what it computes. Which arguments it writes is
//! told by its schema ([`Operators::declare`]), by the program that stands in its place ([`Operators::implemented_by`]) or by
//! `auto_functionalized_v2`, the form that `run_decompositions()` gives such calls:
//!
//! | in the archive | becomes |
//! | --- | --- |
//! | `mylib.op(x, …)` | the call with the new values of what it writes behind its results; these are stored |
//! | `auto_functionalized_v2(op, …, _x_base_index, _all_bases)` | the same call on views of copies of the bases, which are the results |
//! | `auto_functionalized(op, …)` | the same call on copies of what it writes |

use std::collections::BTreeMap;
use std::sync::Arc;

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, Diagnostic, Fact, InputKind, LocationId, OutputKind, ValueId};
use pt2c_ops::prim::custom::{is_custom, mark};
use pt2c_ops::{BaseType, Param, ParamType, Schema, wrap_dim};

use super::arguments::{self, NamedArg};
use super::error::{ImportError, ImportErrorKind};
use super::facts::Typed;
use super::functionalize::{Names, Owner, Step, add, row_major};
use super::graph::{Builder, Call, insert, known, tensor_names};
use super::{Imported, schemas};
use crate::schema::{self, Argument, NamedArgument, Node, TensorArgument};

/// What is known of custom operators besides the archive.
#[derive(Clone, Debug, Default)]
pub struct Operators {
    schemas: BTreeMap<String, Arc<Schema>>,
}

impl Operators {
    /// Adds an operator by its schema, as PyTorch prints it (`torch.ops.mylib.op.default._schema`):
    /// `mylib::op(Tensor(a!) x, float by) -> ()`.
    ///
    /// # Errors
    /// A text that is no schema of a custom operator.
    pub fn declare(&mut self, text: &str) -> Result<(), Diagnostic> {
        let wrong = |why: String| {
            Diagnostic::error(why).help("write the schema as torch.ops.mylib.op.default._schema prints it").about(text)
        };
        let schema = Schema::parse(text).map_err(|error| wrong(error.to_string()))?;
        let (namespace, _) = text.split_once("::").ok_or_else(|| wrong("the operator has no namespace".to_owned()))?;
        let overload = if schema.overload.is_empty() { "default" } else { &schema.overload };
        let op = format!("{}.{}.{overload}", namespace.trim(), schema.name);
        if !is_custom(&op) {
            return Err(wrong(format!("{op} is no custom operator")));
        }
        self.schemas.insert(op, Arc::new(schema));
        Ok(())
    }

    /// Adds an operator by the program that is to stand in its place: it writes those arguments that the program changes.
    /// A schema that was declared stays.
    pub fn implemented_by(&mut self, op: &str, program: &Imported) {
        if self.schemas.contains_key(op) {
            return;
        }
        let signature = &program.program.signature;
        // Which argument of `forward` each leaf belongs to.
        let positional = program.forward.input_tree.children.first().map_or(&[][..], |tuple| &tuple.children);
        let leaves: Vec<usize> =
            positional.iter().enumerate().flat_map(|(i, tree)| vec![i; tree.leaf_paths().len()]).collect();
        let argument = |leaf: usize| leaves.get(leaf).copied().unwrap_or(leaf);
        let changed: Vec<usize> = signature
            .outputs
            .iter()
            .filter_map(|output| match output.kind {
                OutputKind::InputMutation(leaf) => Some(argument(leaf)),
                _ => None,
            })
            .collect();
        let kinds = signature.inputs.iter().enumerate();
        let params = program.forward.arguments.iter().enumerate().map(|(position, name)| {
            let leaf = kinds.clone().find(|(leaf, _)| argument(*leaf) == position).map(|(_, spec)| &spec.kind);
            let base = match leaf {
                Some(InputKind::SymInt(_)) => BaseType::Int,
                Some(InputKind::Tensor) | None => BaseType::Tensor,
                Some(InputKind::Constant(_)) => BaseType::Scalar,
            };
            let list = leaves.iter().filter(|&&own| own == position).count() > 1;
            let ty = ParamType { base, list, optional: true };
            Param { name: name.clone(), ty, default: None, keyword_only: false, mutated: changed.contains(&position) }
        });
        let name = op.split('.').nth(1).unwrap_or(op).to_owned();
        let schema =
            Schema { name, overload: schemas::overload(op).to_owned(), params: params.collect(), returns: Vec::new() };
        self.schemas.insert(op.to_owned(), Arc::new(schema));
    }

    pub(super) fn schema(&self, op: &str) -> Option<Arc<Schema>> {
        self.schemas.get(op).cloned()
    }
}

const TELL: &str = "tell its schema: --schema \"mylib::op(Tensor(a!) x, …) -> ()\", as torch.ops.mylib.op.default._schema prints \
                    it, or put a program in its place (--implement)";

impl Builder<'_> {
    /// The arguments of a custom operator's call by what is known of its parameters; as they are written in the archive
    /// if the names are others.
    pub(super) fn custom_schema(&self, op: &str, inputs: &[NamedArgument]) -> Option<Arc<Schema>> {
        let schema = self.shared.operators.schema(op)?;
        inputs.iter().all(|input| schema.position(&input.name).is_some()).then_some(schema)
    }

    /// Positions of the arguments that a call of a custom operator writes.
    ///
    /// # Errors
    /// A call that returns nothing of an operator of which that is not known.
    pub(super) fn written(&mut self, call: &Call<'_>) -> Result<Vec<usize>, ImportErrorKind> {
        if !is_custom(call.op) {
            return Ok(Vec::new());
        }
        let Some(schema) = self.shared.operators.schema(call.op) else {
            if call.results.is_empty() {
                return Err(ImportErrorKind::unsupported(
                    format!("{}, which returns nothing and of which the archive does not say what it writes,", call.op),
                    TELL,
                ));
            }
            return Ok(Vec::new());
        };
        let written: Vec<usize> = (0..).zip(&schema.params).filter(|(_, p)| p.mutated).map(|(i, _)| i).collect();
        if schema.returns.iter().any(|result| result.contains("!)")) {
            return Err(ImportErrorKind::unsupported(
                format!("{}, which returns an argument that it writes,", call.op),
                "let the operator return a new tensor, or nothing",
            ));
        }
        if call.results.is_empty() && written.is_empty() {
            return Err(ImportErrorKind::unsupported(
                format!("{}, which returns nothing and writes nothing,", call.op),
                "a compiled program has no effects but its results: leave the call out",
            ));
        }
        Ok(written)
    }

    /// Adds a call that writes the arguments at these positions.
    pub(super) fn writing_call(
        &mut self,
        names: &mut Names,
        call: Call<'_>,
        written: &[usize],
    ) -> Result<(), ImportErrorKind> {
        let targets = written.iter().filter_map(|&i| call.args.get(i)).flat_map(Arg::tensors);
        let targets: Vec<String> = targets.cloned().collect();
        let mut facts: Vec<Fact> = call.results.iter().map(|(_, typed)| typed.fact.clone()).collect();
        for target in &targets {
            facts.push(known(names, target)?.typed.fact.clone());
        }
        let args: Vec<NamedArg> = call.args.iter().cloned().chain([mark(written)]).collect();
        self.shared.bound.extend(facts.iter().flat_map(|fact| &fact.shape).flat_map(Dim::symbols));
        let id = self.emit(names, call.op, &args, &call.name, facts, call.location)?;
        for (index, (name, typed)) in call.results.iter().enumerate() {
            self.fresh(names, name.as_deref(), ValueId { node: id, index: index as u32 }, typed)?;
        }
        for (index, target) in targets.iter().enumerate() {
            let value = ValueId { node: id, index: (call.results.len() + index) as u32 };
            self.store(names, target, value, call.location)?;
        }
        Ok(())
    }

    /// `auto_functionalized` and `auto_functionalized_v2`: the call on copies of what it writes.
    pub(super) fn auto_functionalized(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        node: &Node,
        location: LocationId,
    ) -> Result<(), ImportError> {
        let malformed = || ImportErrorKind::argument("op", "the call is not what PyTorch writes");
        let given = Given::of(node).ok_or_else(malformed)?;
        let op = schemas::op_name(given.target);
        let schema = self.shared.operators.schema(&op);
        let order = given.order(schema.as_deref()).ok_or_else(|| {
            let what = format!("{op}, of whose arguments the archive does not say the order,");
            ImportErrorKind::unsupported(what, TELL)
        })?;
        let bases = match given.get("_all_bases") {
            Some(bases) => tensor_names(bases),
            None => order
                .iter()
                .filter(|(_, mutated)| *mutated)
                .filter_map(|(name, _)| given.get(name))
                .flat_map(tensor_names)
                .collect(),
        };
        let mut copies = Vec::new();
        for (index, base) in bases.iter().enumerate() {
            let value = self.read(names, base, location)?;
            let typed = known(names, base)?.typed.clone();
            // No archive has such a name.
            let copy = format!("{} base {index}", super::graph::node_name(node));
            let view = self.memories.allocate(value, typed, Owner::Intermediate);
            insert(names, &copy, view)?;
            copies.push(copy);
        }
        let mut inputs = Vec::new();
        for (name, mutated) in &order {
            let arg = if let Some(argument) = given.get(name) {
                let mut argument = argument.clone();
                if *mutated {
                    rename(&mut argument, &bases, &copies);
                }
                Some(argument)
            } else if let Some(Argument::AsInt(length)) = given.get(&format!("_{name}_length")) {
                let elements = (0..*length).map(|i| {
                    let view = self.base_view(source, names, &given, &format!("_{name}_{i}"), &copies, location)?;
                    view.map(|name| TensorArgument { name }).ok_or_else(malformed)
                });
                Some(Argument::AsTensors(elements.collect::<Result<_, _>>()?))
            } else {
                let view = self.base_view(source, names, &given, &format!("_{name}"), &copies, location)?;
                view.map(|name| Argument::AsTensor(TensorArgument { name }))
            };
            inputs.extend(arg.map(|arg| NamedArgument { name: name.clone(), arg, kind: None }));
        }
        let outputs = node.outputs.iter().flat_map(flat).collect::<Vec<_>>();
        let own = outputs.len().checked_sub(bases.len()).ok_or_else(malformed)?;
        let (results, changed) = outputs.split_at(own);
        let results = results.iter().filter(|result| !matches!(result, Argument::AsNone(_))).cloned().collect();
        let call = Node { target: given.target.to_owned(), inputs, outputs: results, ..node.clone() };
        self.node(source, names, &call, &op)?;
        for (copy, result) in copies.iter().zip(changed) {
            let view = known(names, copy)?.clone();
            for name in tensor_names(result) {
                insert(names, name, view.clone())?;
            }
        }
        Ok(())
    }

    /// A view of one of the bases, described by arguments of this prefix; `None` if the argument is not given.
    fn base_view(
        &mut self,
        source: &schema::Graph,
        names: &mut Names,
        given: &Given<'_>,
        prefix: &str,
        copies: &[String],
        location: LocationId,
    ) -> Result<Option<String>, ImportErrorKind> {
        let malformed =
            |what: &str| ImportErrorKind::argument(&format!("{prefix}{what}"), "is not what PyTorch writes");
        let base = match given.get(&format!("{prefix}_base_index")) {
            None | Some(Argument::AsNone(_)) => return Ok(None),
            Some(Argument::AsInt(index)) => usize::try_from(*index).ok().and_then(|index| copies.get(index)),
            Some(_) => None,
        };
        let base = base.ok_or_else(|| malformed("_base_index"))?;
        let mut number = |what: &str| -> Result<Option<Arg<String>>, ImportErrorKind> {
            let Some(argument) = given.get(&format!("{prefix}{what}")) else { return Ok(None) };
            let expressions = &mut self.shared.expressions;
            arguments::convert(what, argument, source, expressions, &mut |_| Ok(Arg::None)).map(Some)
        };
        let (slice, sizes) = (number("_slice_dim")?, number("_size")?);
        let (start, end) = (number("_slice_start")?, number("_slice_end")?);
        let (strides, offset) = (number("_stride")?, number("_storage_offset")?);
        let parent = known(names, base)?.clone();
        let old = &parent.typed;
        let (steps, typed) = if let Some(dim) = slice {
            let dim = dim.as_int().and_then(|dim| wrap_dim(dim, old.fact.rank()).ok());
            let (Some(dim), Some(start), Some(end)) = (dim, start, end) else { return Err(malformed("_slice_dim")) };
            let (Some(from), Some(to)) = (start.as_dim(), end.as_dim()) else { return Err(malformed("_slice_start")) };
            let mut fact = old.fact.clone();
            let size = fact.shape.get_mut(dim).ok_or_else(|| malformed("_slice_dim"))?;
            *size = to - from;
            let step = Step::Slice { dim, start, end, step: Dim::ONE };
            (vec![(step, fact.clone())], Typed { fact, strides: old.strides.clone() })
        } else if let Some(sizes) = sizes {
            let (Some(sizes), Some(strides)) = (dims(&sizes), strides.as_ref().and_then(dims)) else {
                return Err(malformed("_size"));
            };
            let offset =
                offset.and_then(|offset| offset.as_dim().cloned()).ok_or_else(|| malformed("_storage_offset"))?;
            let fact = Fact::new(old.fact.dtype, sizes.clone());
            // Sizes and strides speak of the memory, and that has the order of its strides.
            let order = memory_order(old).ok_or_else(|| ImportErrorKind::Aliasing {
                reason: "it is a view by strides of a tensor that is not dense".to_owned(),
            })?;
            let shape = order.iter().filter_map(|&d| old.fact.shape.get(d).cloned()).collect::<Vec<_>>();
            let dense = Fact::new(old.fact.dtype, shape);
            let strided = Step::Strided { sizes, strides: strides.clone(), offset };
            (vec![(Step::Permute(order), dense), (strided, fact.clone())], Typed { fact, strides })
        } else {
            return Ok(Some(base.clone()));
        };
        let name = format!("{base} as {prefix}");
        let mut view = parent;
        for (step, fact) in steps {
            let before = self.memories.read(&mut view, &mut self.graph, location)?;
            let emission = step.apply(&fact).ok_or_else(|| ImportErrorKind::Aliasing { reason: step.obstacle() })?;
            let args = emission.args.iter().map(|arg| arg.map(|_| before)).collect();
            let value = add(&mut self.graph, emission.op, args, emission.name, fact.clone(), location)?;
            let strides = row_major(&fact.shape);
            view = self.memories.derive(&view, Some(step), value, Typed { fact, strides });
        }
        view.typed = typed;
        insert(names, &name, view)?;
        Ok(Some(name))
    }
}

/// Gives the tensors of an argument other names.
fn rename(argument: &mut Argument, from: &[&str], to: &[String]) {
    let new = |old: &str| from.iter().position(|name| *name == old).and_then(|i| to.get(i)).cloned();
    let tensors = match argument {
        Argument::AsTensor(tensor) => std::slice::from_mut(tensor),
        Argument::AsTensors(tensors) => tensors.as_mut_slice(),
        _ => &mut [],
    };
    for tensor in tensors {
        tensor.name = new(&tensor.name).unwrap_or_else(|| tensor.name.clone());
    }
}

/// A list of results as results of their own.
fn flat(output: &Argument) -> Vec<Argument> {
    match output {
        Argument::AsTensors(tensors) => tensors.iter().cloned().map(Argument::AsTensor).collect(),
        other => vec![other.clone()],
    }
}

fn dims(arg: &NamedArg) -> Option<Vec<Dim>> {
    match arg {
        Arg::Ints(dims) => Some(dims.clone()),
        _ => None,
    }
}

/// The dimensions of a dense tensor from the outermost in memory to the innermost; `None` if it is not dense.
fn memory_order(typed: &Typed) -> Option<Vec<usize>> {
    let mut left: Vec<usize> = (0..typed.fact.rank()).collect();
    let mut order = Vec::new();
    let mut stride = Dim::ONE;
    while !left.is_empty() {
        // Of the dimensions that continue the memory, the last: one of size 1 continues it wherever it stands.
        let fits =
            |&d: &usize| typed.fact.shape.get(d).is_some_and(Dim::is_one) || typed.strides.get(d) == Some(&stride);
        let at = left.iter().rposition(fits)?;
        let d = left.remove(at);
        stride = &stride * typed.fact.shape.get(d)?;
        order.push(d);
    }
    order.reverse();
    Some(order)
}

/// The arguments of `auto_functionalized` and `auto_functionalized_v2` by name.
struct Given<'a> {
    /// The operator that writes.
    target: &'a str,
    named: BTreeMap<&'a str, &'a Argument>,
}

impl<'a> Given<'a> {
    fn of(node: &'a Node) -> Option<Given<'a>> {
        let (first, rest) = node.inputs.split_first()?;
        let Argument::AsOperator(target) = &first.arg else { return None };
        let named = rest.iter().map(|input| (input.name.as_str(), &input.arg)).collect();
        Some(Given { target, named })
    }

    fn get(&self, name: &str) -> Option<&'a Argument> {
        self.named.get(name).copied()
    }

    /// The operator's parameters in order, and whether it writes them. Without a schema the call does not tell the order,
    /// unless there is one argument only.
    fn order(&self, schema: Option<&Schema>) -> Option<Vec<(String, bool)>> {
        if let Some(schema) = schema {
            return Some(schema.params.iter().map(|param| (param.name.clone(), param.mutated)).collect());
        }
        let bases = self.named.keys().filter_map(|name| name.strip_prefix('_')?.strip_suffix("_base_index"));
        match (bases.collect::<Vec<_>>().as_slice(), self.named.keys().any(|name| !name.starts_with('_'))) {
            ([one], false) => Some(vec![((*one).to_owned(), true)]),
            _ => None,
        }
    }
}
