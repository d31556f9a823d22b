//! A converter to ONNX: an exported program becomes a file that ONNX Runtime runs.
//!
//!     cargo run --package pt2c-pt2 --example to_onnx model.pt2 model.onnx
//!
//! [`node`] is the table of operators, as far as two of the recorded programs need it; what is missing is an error that names
//! the operator. Dynamic sizes keep their names. [`Message`] writes protocol buffers, the little of it that ONNX takes.

use std::path::Path;

use pt2c_ir::{Arg, DType, Fact, Graph, Node, NodeKind, Program, TensorData, ValueId};
use pt2c_pt2::{ExportedProgram, import};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = args.as_slice() else {
        return Err("usage: to_onnx MODEL.pt2 MODEL.onnx".into());
    };
    let exported = ExportedProgram::open(Path::new(from))?;
    let program = import(&exported)?.program;
    std::fs::write(to, model(&program)?)?;
    println!("{to}: {} nodes", program.graph.len());
    Ok(())
}

/// A protocol buffer under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, field: u64, value: i64) -> Message {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    fn float(mut self, field: u64, value: f32) -> Message {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Message {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Message {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, inner: &Message) -> Message {
        self.bytes(field, &inner.0)
    }
}

/// `ModelProto`.
fn model(program: &Program) -> Result<Vec<u8>, String> {
    let graph = &program.graph;
    let mut out = Message::default().text(2, &program.name);
    for (id, node) in graph.nodes() {
        let value = |index| name(graph, ValueId { node: id, index });
        match &node.kind {
            NodeKind::Input => out = out.message(11, &value_info(&value(0), fact(node, 0)?)?),
            NodeKind::Tensor(tensor) => {
                let entry = program.tensors.get(tensor).ok_or_else(|| format!("no tensor {tensor}"))?;
                let data = entry.data.as_ref().ok_or_else(|| format!("{tensor} has no data"))?;
                out = out.message(5, &initializer(&value(0), data)?);
            }
            NodeKind::Call { op, args } => {
                let calls = self::node(graph, op, args, node, &value(0))?;
                out = calls.nodes.iter().fold(out, |out, call| out.message(1, call));
                out = calls.constants.iter().fold(out, |out, constant| out.message(5, constant));
            }
        }
    }
    for output in &graph.outputs {
        let Arg::Tensor(value) = output else { return Err("an output that is no tensor".to_owned()) };
        let fact = graph.fact(*value).ok_or("an output without a type")?;
        out = out.message(12, &value_info(&name(graph, *value), fact)?);
    }
    let opset = Message::default().text(1, "").int(2, 18);
    Ok(Message::default().int(1, 9).text(2, "pt2c").message(7, &out).message(8, &opset).0)
}

fn fact(node: &Node, index: usize) -> Result<&Fact, String> {
    node.outputs.get(index).ok_or_else(|| format!("{} has no type", node.name))
}

fn name(graph: &Graph, value: ValueId) -> String {
    graph.value_name(value)
}

/// ONNX's number of an element type.
fn element(dtype: DType) -> Result<i64, String> {
    Ok(match dtype {
        DType::F32 => 1,
        DType::U8 => 2,
        DType::I32 => 6,
        DType::I64 => 7,
        DType::Bool => 9,
        DType::F16 => 10,
        DType::F64 => 11,
        other => return Err(format!("{other} is not in this example's table")),
    })
}

/// `ValueInfoProto`: sizes that are one symbol keep its name, other expressions their text.
fn value_info(name: &str, fact: &Fact) -> Result<Message, String> {
    let shape = fact.shape.iter().fold(Message::default(), |shape, size| {
        let dimension = match size.as_int() {
            Some(size) => Message::default().int(1, size),
            None => Message::default().text(2, &size.to_string()),
        };
        shape.message(1, &dimension)
    });
    let tensor = Message::default().int(1, element(fact.dtype)?).message(2, &shape);
    Ok(Message::default().text(1, name).message(2, &Message::default().message(1, &tensor)))
}

/// `TensorProto`.
fn initializer(name: &str, data: &TensorData) -> Result<Message, String> {
    let sizes = data.sizes().iter().fold(Message::default(), |m, &size| m.int(1, size as i64));
    Ok(sizes.int(2, element(data.dtype())?).text(8, name).bytes(9, &data.to_dense()))
}

/// A vector of integers as a constant.
fn integers(name: &str, values: &[i64]) -> Message {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Message::default().int(1, values.len() as i64).int(2, 7).text(8, name).bytes(9, &bytes)
}

/// What stands for one operator.
#[derive(Default)]
struct Calls {
    nodes: Vec<Message>,
    constants: Vec<Message>,
}

enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
}

impl Calls {
    /// Adds a `NodeProto`.
    fn add(&mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, Attribute<'_>)]) {
        let call = inputs.iter().fold(Message::default(), |call, input| call.text(1, input));
        let call = call.text(2, output).text(3, output).text(4, op);
        self.nodes.push(attributes.iter().fold(call, |call, (name, value)| {
            let attribute = Message::default().text(1, name);
            call.message(
                5,
                &match value {
                    Attribute::Int(value) => attribute.int(3, *value).int(20, 2),
                    Attribute::Ints(values) => values.iter().fold(attribute, |a, &value| a.int(8, value)).int(20, 7),
                    Attribute::Float(value) => attribute.float(2, *value).int(20, 1),
                },
            )
        }));
    }

    fn constant(&mut self, name: String, values: &[i64]) -> String {
        self.constants.push(integers(&name, values));
        name
    }
}

/// One operator in ONNX. The arguments are complete and in the order of the schema.
fn node(graph: &Graph, op: &str, args: &[Arg], node: &Node, to: &str) -> Result<Calls, String> {
    let wrong = |at: usize| format!("argument {at} of {op} in {to} is not of the expected kind");
    let tensor = |at: usize| match args.get(at) {
        Some(Arg::Tensor(value)) => Ok(name(graph, *value)),
        _ => Err(wrong(at)),
    };
    let rank = |at: usize| match args.get(at) {
        Some(Arg::Tensor(value)) => graph.fact(*value).map(Fact::rank).ok_or_else(|| wrong(at)),
        _ => Err(wrong(at)),
    };
    let ints = |at: usize| args.get(at).and_then(|arg| arg.as_ints()).ok_or_else(|| wrong(at));
    let int = |at: usize| match args.get(at) {
        Some(Arg::Int(value)) => value.as_int().ok_or_else(|| wrong(at)),
        Some(Arg::Bool(value)) => Ok(i64::from(*value)),
        _ => Err(wrong(at)),
    };
    let pads = |at: usize| ints(at).map(|pads| [pads.as_slice(), pads.as_slice()].concat());
    let mut calls = Calls::default();
    match op {
        "aten.contiguous.default" | "aten.clone.default" | "aten.detach.default" => {
            calls.add("Identity", &[&tensor(0)?], to, &[]);
        }
        "aten.relu.default" => calls.add("Relu", &[&tensor(0)?], to, &[]),
        "aten.sigmoid.default" => calls.add("Sigmoid", &[&tensor(0)?], to, &[]),
        "aten.add.Tensor" => calls.add("Add", &[&tensor(0)?, &tensor(1)?], to, &[]),
        "aten.mul.Tensor" => calls.add("Mul", &[&tensor(0)?, &tensor(1)?], to, &[]),
        "aten.leaky_relu.default" => {
            let slope = args.get(1).and_then(Arg::as_float).ok_or_else(|| wrong(1))?;
            calls.add("LeakyRelu", &[&tensor(0)?], to, &[("alpha", Attribute::Float(slope as f32))]);
        }
        "aten.linear.default" => {
            let (turned, product) = (format!("{to}_weight"), format!("{to}_product"));
            let biased = matches!(args.get(2), Some(Arg::Tensor(_)));
            calls.add("Transpose", &[&tensor(1)?], &turned, &[("perm", Attribute::Ints(&[1, 0]))]);
            calls.add("MatMul", &[&tensor(0)?, &turned], if biased { &product } else { to }, &[]);
            if biased {
                calls.add("Add", &[&product, &tensor(2)?], to, &[]);
            }
        }
        "aten.conv2d.default" => {
            let mut inputs = vec![tensor(0)?, tensor(1)?];
            inputs.extend(tensor(2).ok());
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            let attributes = [
                ("strides", Attribute::Ints(&ints(3)?)),
                ("pads", Attribute::Ints(&pads(4)?)),
                ("dilations", Attribute::Ints(&ints(5)?)),
                ("group", Attribute::Int(int(6)?)),
            ];
            calls.add("Conv", &inputs, to, &attributes);
        }
        "aten.max_pool2d.default" => {
            let size = ints(1)?;
            let strides = ints(2).ok().filter(|strides| !strides.is_empty()).unwrap_or_else(|| size.clone());
            let attributes = [
                ("kernel_shape", Attribute::Ints(&size)),
                ("strides", Attribute::Ints(&strides)),
                ("pads", Attribute::Ints(&pads(3)?)),
                ("dilations", Attribute::Ints(&ints(4)?)),
                ("ceil_mode", Attribute::Int(int(5)?)),
            ];
            calls.add("MaxPool", &[&tensor(0)?], to, &attributes);
        }
        "aten.prelu.default" => {
            // One slope for each channel stands in dimension 1.
            let mut sizes = vec![1; rank(0)?.saturating_sub(1)];
            if let Some(first) = sizes.first_mut() {
                *first = -1;
            }
            let (sizes, slopes) = (calls.constant(format!("{to}_sizes"), &sizes), format!("{to}_slopes"));
            calls.add("Reshape", &[&tensor(1)?, &sizes], &slopes, &[]);
            calls.add("PRelu", &[&tensor(0)?, &slopes], to, &[]);
        }
        "aten.permute.default" => calls.add("Transpose", &[&tensor(0)?], to, &[("perm", Attribute::Ints(&ints(1)?))]),
        "aten.softmax.int" => calls.add("Softmax", &[&tensor(0)?], to, &[("axis", Attribute::Int(int(1)?))]),
        "aten.view.default" | "aten.reshape.default" => {
            let sizes = fact(node, 0)?.shape.iter().map(|size| size.as_int().unwrap_or(-1)).collect::<Vec<_>>();
            if sizes.iter().filter(|&&size| size == -1).count() > 1 {
                return Err(format!("{to} has several dynamic sizes: not in this example's table"));
            }
            let sizes = calls.constant(format!("{to}_sizes"), &sizes);
            calls.add("Reshape", &[&tensor(0)?, &sizes], to, &[]);
        }
        "aten.mean.dim" => {
            let dims = calls.constant(format!("{to}_dims"), &ints(1)?);
            calls.add("ReduceMean", &[&tensor(0)?, &dims], to, &[("keepdims", Attribute::Int(int(2)?))]);
        }
        "aten.stack.default" => {
            let Some(Arg::Tensors(parts)) = args.first() else { return Err(wrong(0)) };
            let at = calls.constant(format!("{to}_axis"), &[int(1)?]);
            let mut joined = Vec::new();
            for (index, part) in parts.iter().flatten().enumerate() {
                joined.push(format!("{to}_{index}"));
                calls.add("Unsqueeze", &[&name(graph, *part), &at], &format!("{to}_{index}"), &[]);
            }
            let joined: Vec<&str> = joined.iter().map(String::as_str).collect();
            calls.add("Concat", &joined, to, &[("axis", Attribute::Int(int(1)?))]);
        }
        other => return Err(format!("{other} is not in this example's table")),
    }
    Ok(calls)
}
