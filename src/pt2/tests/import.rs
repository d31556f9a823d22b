//! Recorded programs imported: every one, with facts, names, constraints and locations where they belong.

mod common;

use common::{load, models};
use pt2c_ir::{Arg, InputKind, OutputKind, Program};
use pt2c_pt2::import;

fn imported(name: &str) -> Program {
    let imported = import(&load(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(imported.warnings.is_empty(), "{name}: {:?}", imported.warnings);
    imported.program
}

fn mutations(program: &Program) -> Vec<&str> {
    program.mutated_buffers().collect()
}

#[test]
fn all_recorded_programs_import() {
    for entry in std::fs::read_dir(models()).expect("there") {
        let name = entry.expect("readable").file_name().into_string().expect("UTF-8");
        if let Some(name) = name.strip_suffix(".pt2") {
            let program = imported(name);
            assert_eq!(program.name, name);
            for (id, node) in program.graph.nodes() {
                assert!(program.graph.contains(id));
                assert!(node.op().is_none_or(|op| op.starts_with("aten.")), "{name}: {:?}", node.op());
            }
        }
    }
}

#[test]
fn mutated_buffers_become_outputs() {
    assert_eq!(mutations(&imported("m_bn_train")), ["1.running_mean", "1.running_var", "1.num_batches_tracked"]);
    assert_eq!(mutations(&imported("m_kvcache_step")), ["k", "v", "pos"]);
    assert_eq!(mutations(&imported("m_kvcache_prefill.dyn")), ["k", "v", "pos"]);
    assert!(mutations(&imported("m_lstm")).is_empty());
}

#[test]
fn omitted_arguments_get_the_schemas_defaults() {
    let program = imported("m_pytree_io");
    let (_, add) = program.graph.nodes().find(|(_, n)| n.op() == Some("aten.add.Tensor")).expect("there");
    assert_eq!(add.args().len(), 3);
    assert_eq!(add.args()[2].as_int(), Some(1));
    let (_, mul) = program.graph.nodes().find(|(_, n)| n.op() == Some("aten.mul.Tensor")).expect("there");
    // A Python number in a tensor's place stays a number.
    assert_eq!(mul.args()[1], Arg::Float(2.0));
}

#[test]
fn constants_among_inputs_and_outputs_are_kept() {
    let program = imported("m_pytree_io");
    let names: Vec<_> = program.signature.inputs.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(names, [r#"d["a"]"#, r#"d["b"][0]"#, r#"d["b"][1]"#, "l[0]", "l[1]", "scale", "flag"]);
    assert_eq!(program.signature.inputs[5].kind, InputKind::Constant(Arg::Float(2.0)));
    assert_eq!(program.signature.inputs[6].kind, InputKind::Constant(Arg::Bool(true)));
    assert_eq!(program.graph.inputs().len(), 5);
    assert_eq!(program.graph.outputs[2], Arg::None);
    assert_eq!(program.graph.outputs[3].as_int(), Some(3));
    assert_eq!(program.graph.outputs[5], Arg::Str("txt".to_owned()));
    // The last output is the input l[1] itself.
    let l_1 = program.graph.inputs().nth(4).expect("five");
    assert_eq!(program.graph.outputs[6], Arg::Tensor(l_1));
    assert!(program.signature.outputs.iter().all(|o| o.kind == OutputKind::User));
}

#[test]
fn guards_become_constraints() {
    let program = imported("real_silero_vad_16k.dyn");
    // `L['x'].size()[0] == L['state'].size()[1]` holds by construction: both are the same symbol.
    assert!(program.constraints.is_empty(), "{:?}", program.constraints);
    let state = program.graph.inputs().nth(1).and_then(|v| program.graph.fact(v)).expect("two inputs");
    assert_eq!(state.to_string(), "f32[2, s34, 128]");
}

#[test]
fn nodes_know_the_users_line_and_module() {
    let program = imported("real_crepe_tiny.dyn");
    let (_, conv) = program.graph.nodes().find(|(_, n)| n.op() == Some("aten.conv2d.default")).expect("there");
    let location = program.locations.get(conv.location).expect("known");
    assert_eq!((location.file.as_str(), location.line), ("/home/user/zoo/realpkgs/torchcrepe/model.py", 96));
    assert_eq!((location.code.as_str(), location.module.as_str()), ("x = self.embed(x)", "conv1"));
}

#[test]
fn tied_weights_are_one_value() {
    let program = imported("hf_gpt2_tiny");
    let (a, b) = (&program.tensors["lm_head.weight"], &program.tensors["transformer.wte.weight"]);
    let storage = |entry: &pt2c_ir::TensorEntry| entry.data.as_ref().map(|d| d.storage().as_ptr());
    assert_eq!(storage(a), storage(b));
}

#[test]
fn symbolic_sizes_are_expressions() {
    let exported = load("m_kvcache_prefill.dyn");
    assert!(exported.graph().nodes.iter().any(|n| n.target == "torch.ops.aten.sym_size.int"));
    let program = imported("m_kvcache_prefill.dyn");
    assert!(program.graph.nodes().all(|(_, n)| n.op() != Some("aten.sym_size.int")));
    let (_, arange) = program.graph.nodes().find(|(_, n)| n.op() == Some("aten.arange.default")).expect("there");
    assert_eq!(arange.args()[0].as_dim().map(ToString::to_string).as_deref(), Some("s27"));
    let symbols: Vec<_> =
        program.scope.symbols().map(|(symbol, range)| (symbol.as_str(), range.min, range.max)).collect();
    // The archive says 2 to 8; PyTorch's own module takes 0 and 1 as well.
    assert_eq!(symbols, [("s27", Some(0), Some(8))]);
}
