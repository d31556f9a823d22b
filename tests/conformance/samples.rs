//! Reads the recorded samples and compares results with them; shared by the tests of several crates, which include
//! this file. The format is described in README.md.

use pt2c_ir::dim::Dim;
use pt2c_ir::{Arg, DType};
use pt2c_ops::{BaseType, Op, ParamType, Scalar, Tensor, lookup};
use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A recorded call.
pub struct Sample {
    /// File and line it is from, for messages.
    pub at: String,
    /// The operator.
    pub op: &'static Op,
    /// Its arguments, complete and in order.
    pub args: Vec<Arg<Tensor>>,
    /// What PyTorch computed; `None` is not compared.
    pub outputs: Vec<Option<Tensor>>,
    /// Only dtypes and shapes are compared.
    pub random: bool,
    rtol: f64,
    atol: f64,
    /// Rounding errors of intermediate results, in units of the last place of the largest output.
    pub steps: f64,
}

/// The recorded families, sorted by name.
pub fn families() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find_map(|a| {
        let samples = a.join("tests/conformance/samples");
        samples.is_dir().then_some(samples)
    });
    let folder = folder.expect("the samples are in the repository");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder can be read")
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    files
}

/// The samples of one family whose operators are in the table, and how many are not.
pub fn samples(family: &Path) -> (Vec<Sample>, usize) {
    let name = family.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let text = std::fs::read_to_string(family).expect("the family can be read");
    let bytes = std::fs::read(family.with_extension("safetensors")).expect("the family has tensors");
    let tensors = SafeTensors::deserialize(&bytes).expect("the tensors can be read");
    // Python writes the tolerance of a call whose f64 result overflows as `Infinity`.
    let text = text.replace(":Infinity", ":1e308");
    let records: Vec<Value> = serde_json::from_str(&text).expect("the family is JSON");
    let (mut samples, mut unknown) = (Vec::new(), 0);
    for (i, record) in records.iter().enumerate() {
        match sample(record, &tensors, &format!("{name}.json:{}", i + 2)) {
            Some(s) => samples.push(s),
            None => unknown += 1,
        }
    }
    (samples, unknown)
}

fn sample(record: &Value, tensors: &SafeTensors<'_>, at: &str) -> Option<Sample> {
    let op = lookup(record["op"].as_str()?)?;
    let args = record["args"].as_object()?;
    let args = op
        .schema
        .params
        .iter()
        .map(|p| arg(&args[&p.name], p.ty, tensors).unwrap_or_else(|| panic!("{at}: argument {}", p.name)))
        .collect();
    let outputs = record["outputs"].as_array()?.iter().map(|o| Some(tensor(o.as_str()?, tensors))).collect();
    let number = |key: &str| record[key].as_f64().unwrap_or(0.0);
    Some(Sample {
        at: at.to_string(),
        op,
        args,
        outputs,
        random: record["random"].as_bool() == Some(true),
        rtol: number("rtol"),
        atol: number("atol"),
        steps: 0.0,
    })
}

fn tensor(key: &str, tensors: &SafeTensors<'_>) -> Tensor {
    use safetensors::Dtype as S;
    let view = tensors.tensor(key).unwrap_or_else(|e| panic!("tensor {key}: {e}"));
    let dtype = match view.dtype() {
        S::BOOL => DType::Bool,
        S::U8 => DType::U8,
        S::I8 => DType::I8,
        S::I16 => DType::I16,
        S::U16 => DType::U16,
        S::I32 => DType::I32,
        S::U32 => DType::U32,
        S::I64 => DType::I64,
        S::U64 => DType::U64,
        S::F16 => DType::F16,
        S::BF16 => DType::BF16,
        S::F32 => DType::F32,
        S::F64 => DType::F64,
        S::F8_E4M3 => DType::F8E4M3FN,
        S::F8_E5M2 => DType::F8E5M2,
        other => panic!("dtype {other:?}"),
    };
    let (mut dtype, mut shape) = (dtype, view.shape().to_vec());
    if key.starts_with('c') {
        shape.pop();
        dtype = dtype.to_complex().expect("complex tensors have float parts");
    }
    Tensor::from_bytes(dtype, &shape, view.data()).expect("the sizes fit")
}

fn arg(value: &Value, ty: ParamType, tensors: &SafeTensors<'_>) -> Option<Arg<Tensor>> {
    Some(match value {
        Value::Null => Arg::None,
        Value::Bool(b) => Arg::Bool(*b),
        // PyTorch's dump has the number of int64 as a default.
        Value::Number(n) if ty.base == BaseType::DType && n.as_i64() == Some(4) => Arg::DType(DType::I64),
        Value::Number(n) => number(&n.to_string())?,
        Value::String(s) if ty.base == BaseType::Str => Arg::Str(s.clone()),
        Value::String(s) => Arg::Opaque(s.clone()),
        Value::Array(items) => {
            let leaf = ParamType { list: false, ..ty };
            let items = items.iter().map(|i| arg(i, leaf, tensors)).collect::<Option<Vec<_>>>()?;
            list(items, ty)?
        }
        Value::Object(o) => {
            let (key, value) = o.iter().next()?;
            match key.as_str() {
                "tensor" => Arg::Tensor(tensor(value.as_str()?, tensors)),
                "float" => Arg::Float(value.as_str()?.parse().ok()?),
                "complex" => Arg::Complex(value[0].as_f64()?, value[1].as_f64()?),
                "dtype" => Arg::DType(value.as_str()?.parse().ok()?),
                _ => Arg::Opaque(value.as_str()?.to_string()),
            }
        }
    })
}

fn number(text: &str) -> Option<Arg<Tensor>> {
    if text.contains(['.', 'e', 'E']) {
        text.parse().ok().map(Arg::Float)
    } else {
        text.parse().ok().map(|i| Arg::Int(Dim::int(i)))
    }
}

fn list(items: Vec<Arg<Tensor>>, ty: ParamType) -> Option<Arg<Tensor>> {
    match ty.base {
        BaseType::Tensor => items
            .into_iter()
            .map(|i| match i {
                Arg::Tensor(t) => Some(Some(t)),
                Arg::None => Some(None),
                _ => None,
            })
            .collect::<Option<_>>()
            .map(Arg::Tensors),
        BaseType::Float => items.iter().map(Arg::as_float).collect::<Option<_>>().map(Arg::Floats),
        BaseType::Bool => items.iter().map(Arg::as_bool).collect::<Option<_>>().map(Arg::Bools),
        BaseType::Scalar if items.iter().any(|i| matches!(i, Arg::Float(_))) => {
            items.iter().map(Arg::as_float).collect::<Option<_>>().map(Arg::Floats)
        }
        _ => items.iter().map(|i| i.as_dim().cloned()).collect::<Option<_>>().map(Arg::Ints),
    }
}

impl Sample {
    /// Why `got` is not what PyTorch computed.
    pub fn differs(&self, got: &[Tensor]) -> Option<String> {
        if got.len() != self.outputs.len() {
            return Some(format!("{} outputs, recorded {}", got.len(), self.outputs.len()));
        }
        got.iter().zip(&self.outputs).enumerate().find_map(|(i, (got, recorded))| {
            // Which of several equal elements is the k-th is not defined.
            if i == 1 && self.op.schema.name == "kthvalue" {
                return None;
            }
            let why = self.tensor_differs(got, recorded.as_ref()?)?;
            Some(format!("output {i}: {why}"))
        })
    }

    fn tensor_differs(&self, got: &Tensor, recorded: &Tensor) -> Option<String> {
        if got.dtype() != recorded.dtype() || got.shape() != recorded.shape() {
            return Some(format!(
                "{}{:?}, recorded {}{:?}",
                got.dtype(),
                got.shape(),
                recorded.dtype(),
                recorded.shape()
            ));
        }
        if self.random {
            return None;
        }
        // PyTorch's vectorised GELU makes NaN of infinities, the one for remainders ±∞.
        let skip_nan = self.op.name == "aten.gelu.default";
        let epsilon = match recorded.dtype() {
            DType::F64 | DType::C128 => f64::EPSILON,
            DType::F16 => 2f64.powi(-10),
            DType::BF16 => 2f64.powi(-7),
            _ => f64::from(f32::EPSILON),
        };
        let largest =
            (0..recorded.numel()).map(|i| recorded.f64(i).abs()).filter(|v| v.is_finite()).fold(0.0, f64::max);
        let slack = self.atol + if self.steps > 0.0 { self.steps * epsilon * largest } else { 0.0 };
        (0..got.numel()).find_map(|i| {
            let (g, r) = (got.get(i), recorded.get(i));
            if skip_nan && r.to_f64().is_nan() {
                return None;
            }
            let same = match (g, r) {
                (Scalar::Float(g), Scalar::Float(r)) => self.close(g, r, slack),
                (Scalar::Complex(g), Scalar::Complex(r)) => {
                    // A part may be small next to the whole.
                    let part = |g: f64, q: f64| self.close(g, q, slack + self.rtol * r.norm());
                    part(g.re, r.re) && part(g.im, r.im)
                }
                (g, r) => g == r,
            };
            (!same).then(|| format!("element {i} of {:?} is {g:?}, recorded {r:?}", got.shape()))
        })
    }

    fn close(&self, got: f64, recorded: f64, atol: f64) -> bool {
        got == recorded
            || got.is_nan() && recorded.is_nan()
            || recorded.is_finite() && (got - recorded).abs() <= atol + self.rtol * recorded.abs()
    }

    /// The arguments in short, for messages.
    pub fn describe(&self) -> String {
        let args = self.op.schema.params.iter().zip(&self.args).filter(|(_, a)| !a.is_none());
        args.map(|(p, a)| {
            let value = match a {
                Arg::Tensor(t) => t.fact().to_string(),
                Arg::Tensors(ts) => {
                    format!("{:?}", ts.iter().flatten().map(|t| t.fact().to_string()).collect::<Vec<_>>())
                }
                other => format!("{other:?}"),
            };
            format!("{}={value}", p.name)
        })
        .collect::<Vec<_>>()
        .join(", ")
    }
}

/// What is wrong, by operator and dtype.
#[derive(Default)]
pub struct Failures(BTreeMap<String, Vec<String>>);

impl Failures {
    /// Notes that a sample fails, and why.
    pub fn add(&mut self, operator: String, why: String) {
        self.0.entry(operator).or_default().push(why);
    }

    /// How many samples failed.
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Fails the test if anything failed: the first two samples of each operator.
    pub fn assert_none(&self) {
        let report = |(op, all): (&String, &Vec<String>)| {
            let first: Vec<String> = all.iter().take(2).map(|why| why.chars().take(600).collect()).collect();
            format!("{op}: {} failed\n    {}", all.len(), first.join("\n    "))
        };
        let report: Vec<String> = self.0.iter().map(report).collect();
        assert!(report.is_empty(), "{} operators failed\n{}", report.len(), report.join("\n"));
    }
}
