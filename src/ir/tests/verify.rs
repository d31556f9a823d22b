//! What the structural verifier says of graphs that no text can state: wrong order, foreign locations, foreign values.

use pt2c_ir::verify::{as_error, verify};
use pt2c_ir::{
    Arg, DType, Fact, Graph, InputKind, InputSpec, Location, LocationId, Locations, OutputKind, OutputSpec, Program,
    TensorData, TensorEntry, TensorRole, ValueId,
};

fn messages(program: &Program) -> Vec<String> {
    verify(program).into_iter().map(|d| d.message).collect()
}

/// `y = f(x); z = g(y)`, which is well formed, and its values.
fn chain() -> (Program, [ValueId; 3]) {
    let mut program = Program::default();
    program.signature.inputs.push(InputSpec { name: "x".into(), kind: InputKind::Tensor });
    program.signature.outputs.push(OutputSpec { name: "z".into(), kind: OutputKind::User });
    let fact = || Fact::of(DType::F32, &[2]);
    let graph = &mut program.graph;
    let x = graph.add_input("x", fact());
    let call = |graph: &mut Graph, name: &str, v: ValueId| {
        let node = graph.add_call("aten.relu.default", vec![Arg::Tensor(v)], name, vec![fact()], LocationId::UNKNOWN);
        ValueId { node: node.expect("the operand exists"), index: 0 }
    };
    let y = call(graph, "y", x);
    let z = call(graph, "z", y);
    graph.outputs = vec![Arg::Tensor(z)];
    (program, [x, y, z])
}

#[test]
fn a_well_formed_program_has_no_findings() {
    let (program, _) = chain();
    assert_eq!(messages(&program), [""; 0]);
    assert_eq!(as_error(verify(&program), "test"), Ok(()));
}

#[test]
fn operands_come_before_their_users() {
    let (mut program, [x, y, z]) = chain();
    // `y` now reads `w`, which stands behind it.
    let args = vec![Arg::Tensor(x)];
    let fact = Fact::of(DType::F32, &[2]);
    let w = program.graph.add_call("aten.abs.default", args, "w", vec![fact], LocationId::UNKNOWN).expect("fine");
    program
        .graph
        .set_call(y.node, "aten.relu.default", vec![Arg::Tensor(ValueId { node: w, index: 0 })])
        .expect("fine");
    assert_eq!(messages(&program), ["operand `%w` is computed after its use"]);
    program.graph.sort().expect("no cycle");
    assert_eq!(messages(&program), [""; 0]);
    // A cycle is found as well: no order helps.
    program.graph.set_call(w, "aten.abs.default", vec![Arg::Tensor(z)]).expect("fine");
    assert_eq!(messages(&program).len(), 1);
}

#[test]
fn values_and_locations_of_others_are_found() {
    let (mut program, [x, ..]) = chain();
    let mut other = Locations::default();
    let foreign = other.intern(Location { file: "other.py".into(), line: 1, ..Location::default() });
    let fact = Fact::of(DType::F32, &[2]);
    let args = vec![Arg::Tensor(x)];
    let node = program.graph.add_call("aten.abs.default", args, "w", vec![fact], foreign).expect("fine");
    program.graph.outputs = vec![Arg::Tensor(ValueId { node, index: 7 })];
    assert_eq!(
        messages(&program),
        ["its location is not in the table", "the graph returns a value that does not exist in it"]
    );
    let error = as_error(verify(&program), "fuse").expect_err("two findings");
    assert_eq!(error.message, "after `fuse` the program is malformed: 2 things found");
    assert_eq!(error.notes.len(), 2);
}

#[test]
fn data_fits_its_type() {
    let (mut program, _) = chain();
    let data = TensorData::dense(DType::F32, vec![3], vec![0u8; 12]).expect("fits");
    let fact = Fact::of(DType::F32, &[2]);
    let entry = TensorEntry { role: TensorRole::Parameter, fact, data: Some(data) };
    program.tensors.insert("w".into(), entry);
    assert_eq!(messages(&program), ["its data is f32[3], its type f32[2]"]);
}
