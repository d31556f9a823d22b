//! A converter to another runtime: an exported program becomes a Python module that needs NumPy only.
//!
//!     cargo run --package pt2c-pt2 --example to_numpy model.pt2 model.py
//!
//! The weights go into one `.bin` file beside it. What it does is what a converter to any other format does: walk the
//! functional graph in order, look at the operator, its complete arguments and its types, and name the tensors.

use std::fmt::Write as _;
use std::path::Path;

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType, Graph, NodeKind, Program, ValueId};
use pt2c_pt2::{ExportedProgram, import};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = args.as_slice() else {
        return Err("usage: to_numpy MODEL.pt2 MODULE.py".into());
    };
    let exported = ExportedProgram::open(Path::new(from))?;
    let program = import(&exported)?.program;
    let (text, weights) = convert(&program, &format!("{to}.bin"))?;
    std::fs::write(to, text)?;
    std::fs::write(format!("{to}.bin"), weights)?;
    println!("{to}: {} nodes", program.graph.len());
    Ok(())
}

/// The module's text, and the bytes of all its tensors.
fn convert(program: &Program, weights_file: &str) -> Result<(String, Vec<u8>), String> {
    let graph = &program.graph;
    let mut out =
        format!("\"\"\"Made from the exported program {:?}.\"\"\"\nimport os\nimport numpy as np\n\n", program.name);
    let mut weights = Vec::new();
    let file = Path::new(weights_file).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let _ = writeln!(
        out,
        "_bytes = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), {file:?}), \"rb\").read()"
    );
    let names: Vec<String> = graph.inputs().map(|value| name(graph, value)).collect();
    let _ = writeln!(out, "\n\ndef forward({}):", names.join(", "));
    for (value, fact) in graph.inputs().filter_map(|value| Some((value, graph.fact(value)?))) {
        for (dim, size) in fact.shape.iter().enumerate() {
            // The sizes that callers choose are ordinary Python numbers.
            if let Some(symbol) = size.as_symbol() {
                let _ = writeln!(out, "    {symbol} = {}.shape[{dim}]", name(graph, value));
            }
        }
    }
    for (id, node) in graph.nodes() {
        let result = name(graph, ValueId { node: id, index: 0 });
        match &node.kind {
            NodeKind::Input => {}
            NodeKind::Tensor(tensor) => {
                let entry = program.tensors.get(tensor).ok_or_else(|| format!("no tensor {tensor}"))?;
                let data = entry.data.as_ref().ok_or_else(|| format!("{tensor} has no data"))?;
                let (bytes, at) = (data.to_dense(), weights.len());
                weights.extend_from_slice(&bytes);
                let count: usize = data.sizes().iter().product();
                let _ = writeln!(
                    out,
                    "    {result} = np.frombuffer(_bytes, np.{}, {count}, {at}).reshape({:?})  # {tensor}",
                    numpy_type(data.dtype())?,
                    data.sizes()
                );
            }
            NodeKind::Call { op, args } => {
                let _ = writeln!(out, "    {result} = {}  # {}", call(graph, op, args)?, node.name);
            }
        }
    }
    let outputs: Vec<String> = graph.outputs.iter().map(|arg| argument(graph, arg)).collect();
    let _ = writeln!(out, "    return {}", outputs.join(", "));
    Ok((out, weights))
}

fn name(graph: &Graph, value: ValueId) -> String {
    format!("v_{}", graph.value_name(value).replace(['.', '-'], "_"))
}

fn numpy_type(dtype: DType) -> Result<&'static str, String> {
    Ok(match dtype {
        DType::Bool => "bool_",
        DType::U8 => "uint8",
        DType::I32 => "int32",
        DType::I64 => "int64",
        DType::F16 => "float16",
        DType::F32 => "float32",
        DType::F64 => "float64",
        other => return Err(format!("NumPy has no {other}")),
    })
}

fn argument(graph: &Graph, arg: &Arg) -> String {
    let ints = |dims: &[Dim]| format!("[{}]", dims.iter().map(Dim::to_string).collect::<Vec<_>>().join(", "));
    match arg {
        Arg::Tensor(value) => name(graph, *value),
        Arg::Tensors(values) => {
            let names: Vec<String> = values.iter().flatten().map(|value| name(graph, *value)).collect();
            format!("[{}]", names.join(", "))
        }
        Arg::Int(dim) => dim.to_string(),
        Arg::Ints(dims) => ints(dims),
        Arg::Float(value) => format!("{value:?}"),
        Arg::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
        _ => "None".to_owned(),
    }
}

/// One operator in NumPy. A real converter has one entry for each operator of its target.
fn call(graph: &Graph, op: &str, args: &[Arg]) -> Result<String, String> {
    let text: Vec<String> = args.iter().map(|arg| argument(graph, arg)).collect();
    let arg = |at: usize| text.get(at).map_or("None", String::as_str);
    Ok(match op {
        "aten.linear.default" if arg(2) == "None" => format!("{} @ {}.T", arg(0), arg(1)),
        "aten.linear.default" => format!("{} @ {}.T + {}", arg(0), arg(1), arg(2)),
        "aten.add.Tensor" => format!("{} + {} * {}", arg(0), arg(1), arg(2)),
        "aten.sub.Tensor" => format!("{} - {} * {}", arg(0), arg(1), arg(2)),
        "aten.mul.Tensor" => format!("{} * {}", arg(0), arg(1)),
        "aten.div.Tensor" => format!("{} / {}", arg(0), arg(1)),
        "aten.relu.default" => format!("np.maximum({}, 0)", arg(0)),
        "aten.tanh.default" => format!("np.tanh({})", arg(0)),
        "aten.sigmoid.default" => format!("1 / (1 + np.exp(-{}))", arg(0)),
        "aten.stack.default" => format!("np.stack({}, {})", arg(0), arg(1)),
        "aten.cat.default" => format!("np.concatenate({}, {})", arg(0), arg(1)),
        "aten.mean.dim" => format!("np.mean({}, tuple({}), keepdims={})", arg(0), arg(1), arg(2)),
        "aten.sum.dim_IntList" => format!("np.sum({}, tuple({}), keepdims={})", arg(0), arg(1), arg(2)),
        "aten.reshape.default" | "aten.view.default" => format!("np.reshape({}, {})", arg(0), arg(1)),
        "aten.permute.default" => format!("np.transpose({}, {})", arg(0), arg(1)),
        "aten.softmax.int" => {
            format!(
                "(lambda e: e / e.sum({1}, keepdims=True))(np.exp({0} - {0}.max({1}, keepdims=True)))",
                arg(0),
                arg(1)
            )
        }
        "aten.detach.default" | "aten.contiguous.default" | "aten.clone.default" | "aten.lift_fresh_copy.default" => {
            arg(0).to_owned()
        }
        other => return Err(format!("{other} is not in this example's table")),
    })
}
