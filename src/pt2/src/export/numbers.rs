//! Numbers that data decide and conditions on sizes as values of an archive's graph: `.item()`, Python's comparisons,
//! assertions.

use pt2c_ir::dim::{Dim, Pred};

use super::ExportError;
use super::expr::srepr_pred;
use super::writer::Writer;
use crate::schema::{
    Argument, ArgumentKind, NamedArgument, Node, SymBool, SymBoolArgument, SymExpr, SymFloat, SymFloatArgument,
    TensorArgument,
};

impl Writer<'_> {
    /// Adds `.item()` of a 0-d integer, which is `size` from here on.
    ///
    /// # Errors
    /// A size without a written form.
    pub fn item(&mut self, tensor: &str, size: &Dim) -> Result<(), ExportError> {
        self.symbolic(size, "torch.ops.aten.item.default", "item", vec![tensor_argument("self", tensor)]).map(|_| ())
    }

    /// Adds `.item()` of a 0-d tensor and gives the Python number that it is: a bool or a float.
    ///
    /// # Errors
    /// None by now.
    pub fn number(&mut self, tensor: &str, is_bool: bool) -> Result<Argument, ExportError> {
        let name = self.unique("item");
        let expr = |expr_str: String| SymExpr { expr_str, hint: None };
        let output = if is_bool {
            // As PyTorch writes a bool that data decide: an integer that is 1 or 0.
            let taken = self.graph.sym_int_values.len() + self.graph.sym_bool_values.len() + self.known.len();
            let symbol = format!("Symbol('u{}', integer=True)", 1_000_000 + taken);
            let value = SymBool::AsExpr(expr(format!("Equality({symbol}, Integer(1))")));
            self.graph.sym_bool_values.insert(name.clone(), value);
            Argument::AsSymBool(SymBoolArgument::AsName(name.clone()))
        } else {
            let symbol = format!("Symbol('zuf{}')", self.graph.sym_float_values.len());
            self.graph.sym_float_values.insert(name.clone(), SymFloat::AsExpr(expr(symbol)));
            Argument::AsSymFloat(SymFloatArgument::AsName(name.clone()))
        };
        self.push(Node {
            target: "torch.ops.aten.item.default".to_owned(),
            inputs: vec![tensor_argument("self", tensor)],
            outputs: vec![output.clone()],
            metadata: self.metadata.clone(),
            is_hop_single_tensor_return: None,
            name: Some(name),
        });
        Ok(output)
    }

    /// Adds the check of a condition on sizes.
    ///
    /// # Errors
    /// A size that cannot be computed here.
    pub fn assert(&mut self, pred: &Pred, rule: &str) -> Result<(), ExportError> {
        let condition = self.condition(pred)?;
        let name = self.unique("_assert_scalar");
        let argument =
            |name: &str, arg| NamedArgument { name: name.to_owned(), arg, kind: Some(ArgumentKind::Positional) };
        self.push(Node {
            target: "torch.ops.aten._assert_scalar.default".to_owned(),
            inputs: vec![argument("self", condition), argument("assert_msg", Argument::AsString(rule.to_owned()))],
            outputs: Vec::new(),
            metadata: self.metadata.clone(),
            is_hop_single_tensor_return: None,
            name: Some(name),
        });
        Ok(())
    }

    /// The truth of a condition on sizes as a value.
    pub(super) fn condition(&mut self, pred: &Pred) -> Result<Argument, ExportError> {
        let (op, a, b) = match pred {
            Pred::True | Pred::False => return Ok(Argument::AsBool(*pred == Pred::True)),
            Pred::Eq(a, b) => ("_operator.eq", a, b),
            Pred::Ne(a, b) => ("_operator.ne", a, b),
            Pred::Lt(a, b) => ("_operator.lt", a, b),
            Pred::Le(a, b) => ("_operator.le", a, b),
            Pred::And(parts) | Pred::Or(parts) => {
                let (op, is_and) =
                    if matches!(pred, Pred::And(_)) { ("_operator.and_", true) } else { ("_operator.or_", false) };
                let mut total: Option<(Pred, Argument)> = None;
                for part in parts {
                    let next = self.condition(part)?;
                    total = Some(match total {
                        None => (part.clone(), next),
                        Some((before, argument)) => {
                            let both = [before, part.clone()];
                            let whole = if is_and { Pred::and(both) } else { Pred::or(both) };
                            let argument = self.truth(&whole, op, argument, next)?;
                            (whole, argument)
                        }
                    });
                }
                return Ok(total.map_or(Argument::AsBool(is_and), |(_, argument)| argument));
            }
        };
        let (a, b) = (self.operand(a)?.argument(), self.operand(b)?.argument());
        self.truth(pred, op, a, b)
    }

    fn truth(&mut self, pred: &Pred, op: &str, a: Argument, b: Argument) -> Result<Argument, ExportError> {
        let name = self.unique(op.rsplit('.').next().unwrap_or("holds").trim_end_matches('_'));
        let expr_str = srepr_pred(pred).ok_or_else(|| ExportError::Size { size: pred.to_string() })?;
        self.graph.sym_bool_values.insert(name.clone(), SymBool::AsExpr(SymExpr { expr_str, hint: None }));
        let output = Argument::AsSymBool(SymBoolArgument::AsName(name.clone()));
        let argument =
            |name: &str, arg| NamedArgument { name: name.to_owned(), arg, kind: Some(ArgumentKind::Positional) };
        self.push(Node {
            target: op.to_owned(),
            inputs: vec![argument("a", a), argument("b", b)],
            outputs: vec![output.clone()],
            metadata: self.metadata.clone(),
            is_hop_single_tensor_return: None,
            name: Some(name),
        });
        Ok(output)
    }
}

pub(super) fn tensor_argument(name: &str, tensor: &str) -> NamedArgument {
    let arg = Argument::AsTensor(TensorArgument { name: tensor.to_owned() });
    NamedArgument { name: name.to_owned(), arg, kind: Some(ArgumentKind::Positional) }
}
