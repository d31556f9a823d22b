//! Programs made in Rust, for PyTorch: each is written with inputs and with what the reference interpreter computes.
//!
//!     cargo run --package pt2c-pt2 --example build_programs FOLDER
//!
//! `make roundtrip` loads them with `torch.export.load` and compares.

use std::collections::BTreeMap;
use std::path::Path;

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::{Tensor, interpret::Input};
use pt2c_pt2::{ExportedProgram, Nested, ProgramBuilder};
use safetensors::tensor::TensorView;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let folder = std::env::args().nth(1).ok_or("usage: build_programs FOLDER")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    write(folder, "built_mlp", &mlp()?, &[numbers(&[5, 4], 0.3)])?;
    write(folder, "built_image", &image()?, &[numbers(&[2, 3, 8, 8], 0.1)])?;
    write(folder, "built_counter", &counter()?, &[numbers(&[3], 0.5)])?;
    write(folder, "built_attention", &attention()?, &[numbers(&[1, 6, 8], 0.2)])?;
    Ok(())
}

/// Values that repeat with a long period.
fn values(count: usize, step: f32) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + 11) % 101) as f32 * step / 50.0 - step).collect()
}

fn bytes(count: usize, step: f32) -> Vec<u8> {
    values(count, step).into_iter().flat_map(f32::to_le_bytes).collect()
}

fn numbers(shape: &[usize], step: f32) -> Tensor {
    let values: Vec<f64> = values(shape.iter().product(), step).into_iter().map(f64::from).collect();
    Tensor::from_f64(DType::F32, shape, &values)
}

/// Two linear layers with tied weights, any number of rows, a dict of results.
fn mlp() -> Result<ExportedProgram, Failure> {
    let mut b = ProgramBuilder::new("built_mlp");
    let rows = b.dynamic_dim("rows", 1, Some(64));
    let x = b.input("x", DType::F32, &[rows, Dim::int(4)])?;
    let weight = b.parameter("first.weight", DType::F32, &[4, 4], &bytes(16, 0.5))?;
    let bias = b.parameter("first.bias", DType::F32, &[4], &bytes(4, 0.1))?;
    let tied = b.tie("second.weight", "first.weight")?;
    b.enter_module("first", "torch.nn.modules.linear.Linear");
    let h = one(b.call("aten.linear.default", &[x.into(), weight.into(), bias.into()])?)?;
    b.leave_module();
    let h = one(b.call("aten.gelu.default", &[h.into()])?)?;
    b.enter_module("second", "torch.nn.modules.linear.Linear");
    let y = one(b.call("aten.linear.default", &[(&h).into(), tied.into()])?)?;
    b.leave_module();
    Ok(b.finish(Nested::dict([("y", Nested::Leaf(y)), ("hidden", Nested::Leaf(h))]))?)
}

/// A convolution, its statistics, and a mean over the picture.
fn image() -> Result<ExportedProgram, Failure> {
    let mut b = ProgramBuilder::new("built_image");
    let batch = b.dynamic_dim("batch", 1, Some(16));
    let x = b.input("x", DType::F32, &[batch, Dim::int(3), Dim::int(8), Dim::int(8)])?;
    let weight = b.parameter("conv.weight", DType::F32, &[5, 3, 3, 3], &bytes(135, 0.3))?;
    let ints = |values: &[i64]| Arg::Ints(values.iter().map(|&v| Dim::int(v)).collect());
    let y = b.call("aten.conv2d.default", &[x.into(), weight.into(), Arg::None, ints(&[2, 2]), ints(&[1, 1])])?;
    let y = one(b.call("aten.relu.default", &[one(y)?.into()])?)?;
    let mean = one(b.call("aten.mean.dim", &[(&y).into(), ints(&[2, 3])])?)?;
    let top = b.call("aten.max.dim", &[(&mean).into(), Arg::Int(Dim::int(1))])?;
    let leaves = [mean].into_iter().chain(top).map(Nested::Leaf).collect();
    Ok(b.finish(Nested::Tuple(leaves))?)
}

/// A buffer that counts what it has seen.
fn counter() -> Result<ExportedProgram, Failure> {
    let mut b = ProgramBuilder::new("built_counter");
    let x = b.input("x", DType::F32, &[Dim::int(3)])?;
    let total = b.buffer("total", DType::F32, &[3], &bytes(3, 1.0), true)?;
    let next = one(b.call("aten.add.Tensor", &[total.into(), x.into()])?)?;
    b.mutate_buffer("total", &next)?;
    let y = one(b.call("aten.mul.Scalar", &[(&next).into(), Arg::Float(2.0)])?)?;
    Ok(b.finish(Nested::Leaf(y))?)
}

/// Attention of a sequence of any length over itself.
fn attention() -> Result<ExportedProgram, Failure> {
    let mut b = ProgramBuilder::new("built_attention");
    let length = b.dynamic_dim("length", 1, Some(128));
    let x = b.input("x", DType::F32, &[Dim::int(1), length, Dim::int(8)])?;
    let mut parts = Vec::new();
    for name in ["query", "key", "value"] {
        let weight = b.parameter(&format!("{name}.weight"), DType::F32, &[8, 8], &bytes(64, 0.4))?;
        parts.push(one(b.call("aten.linear.default", &[(&x).into(), weight.into()])?)?);
    }
    let parts: Vec<Arg<_>> = parts.into_iter().map(Arg::from).collect();
    let y = one(b.call("aten.scaled_dot_product_attention.default", &parts)?)?;
    Ok(b.finish(Nested::Leaf(y))?)
}

fn one(results: Vec<pt2c_pt2::Value>) -> Result<pt2c_pt2::Value, Failure> {
    results.into_iter().next().ok_or_else(|| "the operator returns nothing".into())
}

/// NAME.pt2, NAME.inputs.safetensors and NAME.outputs.safetensors.
fn write(folder: &Path, name: &str, program: &ExportedProgram, inputs: &[Tensor]) -> Result<(), Failure> {
    program.lint()?;
    program.save(&folder.join(format!("{name}.pt2")))?;
    let given: Vec<Input> = inputs.iter().cloned().map(Input::Tensor).collect();
    let outputs = program.module()?.call(&given)?.outputs;
    let outputs: Vec<Tensor> = outputs.into_iter().filter_map(|arg| arg.as_tensor().cloned()).collect();
    for (what, tensors) in [("inputs", inputs), ("outputs", outputs.as_slice())] {
        let data: Vec<Vec<u8>> = tensors.iter().map(Tensor::to_bytes).collect();
        let mut views = BTreeMap::new();
        for (at, (tensor, data)) in tensors.iter().zip(&data).enumerate() {
            let dtype = match tensor.dtype() {
                DType::F32 => safetensors::Dtype::F32,
                DType::I64 => safetensors::Dtype::I64,
                other => return Err(format!("no program here returns {other}").into()),
            };
            views.insert(format!("{at:04}"), TensorView::new(dtype, tensor.shape().to_vec(), data)?);
        }
        std::fs::write(folder.join(format!("{name}.{what}.safetensors")), safetensors::serialize(views, None)?)?;
    }
    println!("{name}: {} nodes", program.graph().nodes.len());
    Ok(())
}
