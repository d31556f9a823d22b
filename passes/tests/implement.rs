//! Programs in place of custom operators.

use indexmap::IndexMap;
use pt2c_ir::text::parse;
use pt2c_ir::{DType, Program};
use pt2c_ops::{Tensor, interpret, interpret::Input};
use pt2c_passes::implement::implement;

fn program(text: &str) -> Program {
    parse(text).unwrap_or_else(|error| panic!("{error:?}\n{text}"))
}

/// Calls the operator on two sizes: `n` and 3 rows.
const CALLER: &str = "program \"caller\"\nsymbol s0 in 0..64\ninput \"x\": tensor\ninput \"z\": tensor\noutput \"a\": user\noutput \"b\": user\n\n\
    graph(%x: f32[s0, 2], %z: f32[3, 2]) {\n  \
      %a: f32[s0, 2] = mylib.scaled_relu.default(%x, 2.5)\n  \
      %b: f32[3, 2] = mylib.scaled_relu.default(%z, 4.0)\n  \
      return %a, %b\n}\n";

/// relu(x) * scale for any number of rows, the factor as a tensor.
const BODY: &str = "program \"body\"\nsymbol s0 in 0..100\ninput \"x\": tensor\ninput \"scale\": tensor\noutput \"y\": user\n\n\
    graph(%x: f32[s0, 2], %scale: f32[]) {\n  \
      %r: f32[s0, 2] = aten.relu.default(%x)\n  \
      %y: f32[s0, 2] = aten.mul.Tensor(%r, %scale)\n  \
      return %y\n}\n";

#[test]
fn calls_of_several_sizes_are_replaced() {
    let whole = implement(&program(CALLER), "mylib.scaled_relu.default", &program(BODY)).expect("fits");
    assert!(whole.graph.nodes().all(|(_, node)| node.op().is_none_or(|op| !op.starts_with("mylib"))));
    let input = |shape: &[usize], values: &[f64]| Input::Tensor(Tensor::from_f64(DType::F32, shape, values));
    let inputs = [input(&[2, 2], &[1.0, -1.0, 2.0, 0.0]), input(&[3, 2], &[1.0, -2.0, 3.0, -4.0, 5.0, -6.0])];
    let outputs = interpret::run(&whole, &inputs, &IndexMap::new()).expect("runs").outputs;
    let values: Vec<f64> =
        outputs.iter().filter_map(|output| output.as_tensor()).flat_map(|t| t.as_f64s().into_owned()).collect();
    assert_eq!(values, [2.5, 0.0, 5.0, 0.0, 4.0, 0.0, 12.0, 0.0, 20.0, 0.0]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |body: &str, wanted: &str| {
        let error = implement(&program(CALLER), "mylib.scaled_relu.default", &program(body)).expect_err(wanted);
        assert!(error.message.contains(wanted), "{}", error.message);
    };
    refused(&BODY.replace("f32", "f64"), "its input `x` is f64[s0, 2], the call gives f32[s0, 2]");
    refused(&BODY.replace("[s0, 2]", "[s0, 7]"), "breaks its rule");
    refused(&BODY.replace("return %y", "return %scale"), "its output 0 is f32[]");
    refused(
        &BODY
            .replace("input \"scale\": tensor", "input \"scale\": constant 3.0")
            .replace(", %scale: f32[]", "")
            .replace("%scale)", "%r)"),
        "was exported as 3.0, the call gives 2.5",
    );
    let error = implement(&program(CALLER), "mylib.other.default", &program(BODY)).expect_err("is not called");
    assert!(error.message.contains("does not call mylib.other.default"), "{}", error.message);
}
