//! Computations that work and are worth a second look: sums in half precision, everything in double precision.

use super::{Kind, Report};
use pt2c_ir::{DType, Diagnostic, NodeKind, Program, Severity};
use pt2c_ops::{Tags, lookup};

/// Sums of at least this many half-precision elements lose digits that PyTorch's kernels keep.
const LONG_SUM: i64 = 1024;

/// Adds what it finds to the report.
pub fn find(report: &mut Report, program: &Program) {
    for (_, node) in program.graph.nodes() {
        let NodeKind::Call { op, .. } = &node.kind else { continue };
        let Some(op) = lookup(op) else { continue };
        let operand = node.operands().next().and_then(|value| program.graph.fact(value));
        let (Some(operand), Some(result)) = (operand, node.outputs.first()) else { continue };
        let half = matches!(result.dtype, DType::F16 | DType::BF16);
        // As many as there can be.
        let terms = program.scope.bounds(&operand.numel().floor_div(&result.numel())).max;
        let many = terms.is_none_or(|terms| terms >= LONG_SUM);
        if half && op.def.tags.has(Tags::REDUCTION) && many {
            let message = format!("`{}` returns {} of a long sum", op.name, result.dtype);
            let finding = Diagnostic::warning(message)
                .about(format!("node `{}`", node.name))
                .at(program.locations.get(node.location))
                .help("compute it in float32: x.float().sum(…).to(x.dtype), or dtype=torch.float32");
            report.add(Kind::Precision, finding);
        }
    }
    let doubles =
        program.graph.nodes().filter(|(_, node)| node.outputs.iter().any(|fact| fact.dtype == DType::F64)).count();
    if doubles > 0 {
        let message = if doubles == 1 { "1 value is float64".into() } else { format!("{doubles} values are float64") };
        let mut finding = Diagnostic::warning(message)
            .help("if nothing needs the digits, export the module in float32: it is twice as fast and half as large");
        finding.severity = Severity::Note;
        let first = program
            .graph
            .nodes()
            .find(|(_, node)| node.op().is_some() && node.outputs.iter().any(|fact| fact.dtype == DType::F64));
        if let Some((_, node)) = first {
            finding =
                finding.about(format!("node `{}`, the first", node.name)).at(program.locations.get(node.location));
        }
        report.add(Kind::Precision, finding);
    }
}
