//! `normalize`: removes what means nothing at inference, and simplifies sizes.
//!
//! Precondition: a verified program. Postcondition: no identity operators, no dead nodes, every size and integer
//! argument in its simplest form under what is known of the symbols.

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, Diagnostic, NodeId, NodeKind, Program, ValueId};
use pt2c_ops::{Tags, has_effect, lookup};

/// Normalises a program.
pub fn normalize(program: &Program) -> Result<Program, Diagnostic> {
    let mut program = program.clone();
    simplify_sizes(&mut program)?;
    let ids: Vec<NodeId> = program.graph.nodes().map(|(id, _)| id).collect();
    for id in ids {
        let node = program.graph.node(id);
        let identity = node.op().and_then(lookup).is_some_and(|op| op.def.tags.has(Tags::IDENTITY));
        let operand = node.args().first().and_then(Arg::as_tensor).copied();
        let value = ValueId { node: id, index: 0 };
        if let (true, Some(x)) = (identity, operand)
            && program.graph.fact(x) == program.graph.fact(value)
        {
            program.graph.replace_uses(value, x).map_err(|e| Diagnostic::error(e.to_string()))?;
        }
    }
    remove_dead(&mut program);
    Ok(program)
}

/// Removes nodes that no output depends on, except effects.
pub fn remove_dead(program: &mut Program) {
    program.graph.remove_dead(has_effect);
}

fn simplify_sizes(program: &mut Program) -> Result<(), Diagnostic> {
    let scope = program.scope.clone();
    let ids: Vec<NodeId> = program.graph.nodes().map(|(id, _)| id).collect();
    let fail = |e: pt2c_ir::GraphError| Diagnostic::error(e.to_string());
    for id in ids {
        // A size that binds a symbol stays, although a rule may tell it from others.
        let binds = program.graph.node(id).kind == NodeKind::Input;
        let simplify = |d: &Dim| if binds && d.as_symbol().is_some() { d.clone() } else { scope.simplify(d) };
        for value in program.graph.values(id).collect::<Vec<_>>() {
            if let Some(fact) = program.graph.fact(value)
                && fact.static_shape().is_none()
            {
                let mut fact = fact.clone();
                fact.shape = fact.shape.iter().map(simplify).collect();
                program.graph.set_fact(value, fact).map_err(fail)?;
            }
        }
        // What a binding gives a value stays a symbol, although a rule may tell it from others.
        if let NodeKind::Call { op, args } = &program.graph.node(id).kind
            && op != "prim.bind"
        {
            let simple: Vec<Arg> = args
                .iter()
                .map(|a| match a {
                    Arg::Int(d) => Arg::Int(scope.simplify(d)),
                    Arg::Ints(ds) => Arg::Ints(ds.iter().map(|d| scope.simplify(d)).collect()),
                    other => other.clone(),
                })
                .collect();
            if simple != *args {
                let op = op.clone();
                program.graph.set_call(id, &op, simple).map_err(fail)?;
            }
        }
    }
    Ok(())
}
