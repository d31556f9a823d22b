//! One program out of several for the same calls: variants for given sizes, and one for all others.

use crate::lower::LowerError;
use crate::{
    Access, BinaryOp, Body, Buffer, BufferId, BufferKind, CompareOp, Expr, Kernel, KernelId, KernelProgram, Param,
    Step, Stmt,
};
use pt2c_ir::dim::{Dim, Symbol};
use pt2c_ir::{DType, Diagnostic, LocationId};
use std::collections::BTreeMap;

/// A program that is right when the symbols have these values.
pub struct Variant {
    /// The values.
    pub sizes: BTreeMap<Symbol, i64>,
    /// The program.
    pub program: KernelProgram,
}

/// `general` with a choice in front: the first variant whose sizes are those of the call runs instead. Constants are
/// there once; the variants share one arena, of which a call uses what its own variant needs.
///
/// # Errors
/// If a program has sizes that data decide, or its buffers are not those of `general`.
pub fn choose(general: KernelProgram, variants: Vec<Variant>) -> Result<KernelProgram, Diagnostic> {
    if variants.is_empty() {
        return Ok(general);
    }
    if !general.stages.is_empty() || variants.iter().any(|v| !v.program.stages.is_empty()) {
        return Err(Diagnostic::error("a program with sizes that data decide cannot be specialised")
            .help("compile it without --specialize"));
    }
    let mut result = general;
    let mut steps = std::mem::take(&mut result.steps);
    // The last variant is asked about last: it stands innermost.
    for (number, variant) in variants.into_iter().enumerate().rev() {
        let flag = add_question(&mut result, &variant.sizes, number);
        let own = add(&mut result, variant.program, number)?;
        steps = vec![
            Step::Call { kernel: flag.0, buffers: vec![flag.1], location: LocationId::UNKNOWN },
            Step::If { condition: flag.1, then: own, otherwise: steps },
        ];
    }
    result.steps = steps;
    crate::verify::check(&result, "lower")?;
    Ok(result)
}

/// A kernel that tells whether the symbols have the values, and where it does.
fn add_question(result: &mut KernelProgram, sizes: &BTreeMap<Symbol, i64>, number: usize) -> (KernelId, BufferId) {
    let asked = sizes.iter().map(|(symbol, value)| {
        let size = Expr::Index(Dim::sym(symbol.clone()));
        Expr::Compare(CompareOp::Eq, Box::new(size), Box::new(Expr::Int(*value, DType::I64)))
    });
    let both = |a, b| Expr::Binary(BinaryOp::And, Box::new(a), Box::new(b));
    let value = asked.reduce(both).unwrap_or(Expr::Bool(true));
    let kernel = KernelId(result.kernels.len() as u32);
    result.kernels.push(Kernel {
        name: format!("variant_{number}_fits"),
        params: vec![Param { name: "fits".into(), dtype: DType::Bool, access: Access::Write }],
        body: Body::Loops(vec![Stmt::Store { param: 0, address: Dim::ZERO, value }]),
    });
    let flag = BufferId(result.buffers.len() as u32);
    // It is read before anything else is written.
    let place = BufferKind::Arena(Dim::ZERO);
    result.buffers.push(Buffer {
        name: format!("variant_{number}_fits"),
        dtype: DType::Bool,
        len: Dim::ONE,
        kind: place,
    });
    result.arena_bytes = larger(result, &Dim::int(crate::plan_memory::ALIGN));
    (kernel, flag)
}

fn larger(result: &KernelProgram, bytes: &Dim) -> Dim {
    let (own, scope) = (&result.arena_bytes, &result.scope);
    if scope.prove_le(bytes, own).is_yes() {
        own.clone()
    } else if scope.prove_le(own, bytes).is_yes() {
        bytes.clone()
    } else {
        own.max(bytes)
    }
}

/// Adds the buffers and kernels of a program; gives its steps.
fn add(result: &mut KernelProgram, program: KernelProgram, number: usize) -> Result<Vec<Step>, Diagnostic> {
    let mut buffers = Vec::new();
    for buffer in &program.buffers {
        let known = result.buffers.iter().position(|b| same(b, buffer));
        buffers.push(match (known, &buffer.kind) {
            (Some(known), _) => BufferId(known as u32),
            (None, BufferKind::Arena(_) | BufferKind::Constant(_) | BufferKind::State(_)) => {
                let mut own = buffer.clone();
                own.name = format!("{}.variant_{number}", buffer.name);
                result.buffers.push(own);
                BufferId(result.buffers.len() as u32 - 1)
            }
            (None, _) => {
                return Err(Diagnostic::error(LowerError::Malformed("a variant with other leaves").to_string()));
            }
        });
    }
    let mut kernels = Vec::new();
    for kernel in program.kernels {
        kernels.push(KernelId(result.kernels.len() as u32));
        result.kernels.push(Kernel { name: format!("{}_variant_{number}", kernel.name), ..kernel });
    }
    result.arena_bytes = larger(result, &program.arena_bytes);
    let mut steps = program.steps;
    rename(&mut steps, &kernels, &buffers);
    Ok(steps)
}

/// Whether two buffers are one: leaves and state by what they are, constants by their bytes.
fn same(a: &Buffer, b: &Buffer) -> bool {
    match (&a.kind, &b.kind) {
        (BufferKind::Input(a), BufferKind::Input(b)) | (BufferKind::Output(a), BufferKind::Output(b)) => a == b,
        (BufferKind::State(a), BufferKind::State(b)) => a == b,
        (BufferKind::Constant(x), BufferKind::Constant(y)) => {
            a.dtype == b.dtype && (x.same_storage(y) || x.len() == y.len() && x[..] == y[..])
        }
        _ => false,
    }
}

fn rename(steps: &mut [Step], kernels: &[KernelId], buffers: &[BufferId]) {
    Step::visit_mut(steps, &mut |step| {
        if let Step::Call { kernel, .. } = step {
            *kernel = kernels.get(kernel.0 as usize).copied().unwrap_or(*kernel);
        }
        for buffer in step.buffers_mut() {
            *buffer = buffers.get(buffer.0 as usize).copied().unwrap_or(*buffer);
        }
    });
}
