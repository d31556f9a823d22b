//! Tensor files: safetensors and NumPy, read and written by leaf.

use indexmap::IndexMap;
use pt2c_ir::{DType, Diagnostic};
use pt2c_ops::Tensor;
use std::path::Path;

/// A tensor as stored: complex ones are pairs in a last dimension of 2 in safetensors files.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Element type.
    pub dtype: DType,
    /// Sizes.
    pub shape: Vec<usize>,
    /// Little-endian, row-major.
    pub bytes: Vec<u8>,
}

impl Stored {
    /// From a host tensor; complex becomes real pairs.
    pub fn from_tensor(tensor: &Tensor) -> Stored {
        Stored::new(tensor.dtype(), tensor.shape().to_vec(), tensor.to_bytes())
    }

    /// Complex elements become real pairs.
    pub fn new(dtype: DType, mut shape: Vec<usize>, bytes: Vec<u8>) -> Stored {
        if dtype.is_complex() {
            shape.push(2);
        }
        Stored { dtype: dtype.to_real(), shape, bytes }
    }

    /// As a tensor of `dtype`: pairs become complex numbers, nothing else is converted.
    pub fn to_tensor(&self, dtype: DType) -> Result<Tensor, String> {
        let (mut shape, mut stored) = (self.shape.clone(), self.dtype);
        if dtype.is_complex() && stored == dtype.to_real() && shape.last() == Some(&2) {
            shape.pop();
            stored = dtype;
        }
        if stored != dtype {
            return Err(format!("it is {stored}, the program takes {dtype}"));
        }
        Tensor::from_bytes(dtype, &shape, &self.bytes).map_err(|e| e.to_string())
    }
}

/// Tensors by name.
pub type Tensors = IndexMap<String, Stored>;

fn unreadable(path: &Path, why: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::error(format!("cannot read {}: {why}", path.display()))
}

fn unwritable(path: &Path, why: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::error(format!("cannot write {}: {why}", path.display()))
}

/// Safetensors' name of a dtype and ours.
const DTYPES: &[(safetensors::Dtype, DType)] = &[
    (safetensors::Dtype::BOOL, DType::Bool),
    (safetensors::Dtype::U8, DType::U8),
    (safetensors::Dtype::I8, DType::I8),
    (safetensors::Dtype::I16, DType::I16),
    (safetensors::Dtype::U16, DType::U16),
    (safetensors::Dtype::I32, DType::I32),
    (safetensors::Dtype::U32, DType::U32),
    (safetensors::Dtype::I64, DType::I64),
    (safetensors::Dtype::U64, DType::U64),
    (safetensors::Dtype::F8_E4M3, DType::F8E4M3FN),
    (safetensors::Dtype::F8_E5M2, DType::F8E5M2),
    (safetensors::Dtype::F16, DType::F16),
    (safetensors::Dtype::BF16, DType::BF16),
    (safetensors::Dtype::F32, DType::F32),
    (safetensors::Dtype::F64, DType::F64),
];

/// Reads all `--inputs` of a command; see [`read`]. A later source replaces what an earlier one says of the same name.
pub fn read_all(sources: &[String]) -> Result<Tensors, Diagnostic> {
    let mut all = Tensors::new();
    for source in sources {
        read(source, &mut all)?;
    }
    Ok(all)
}

/// Reads `FILE.safetensors`, `FILE.npy` (as leaf 0000), or `NAME=FILE.npy`.
pub fn read(source: &str, into: &mut Tensors) -> Result<(), Diagnostic> {
    if let Some((name, file)) = source.split_once('=') {
        into.insert(name.to_string(), read_npy(Path::new(file))?);
        return Ok(());
    }
    let path = Path::new(source);
    if path.extension().is_some_and(|e| e == "npy") {
        into.insert("0000".into(), read_npy(path)?);
        return Ok(());
    }
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, e))?;
    let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|e| unreadable(path, e))?;
    for (name, view) in file.iter() {
        let known = DTYPES.iter().find(|(d, _)| *d == view.dtype());
        let (_, dtype) = known.ok_or_else(|| {
            unreadable(path, format!("tensor \"{name}\" has the dtype {:?}, which is not supported", view.dtype()))
        })?;
        into.insert(
            name.to_string(),
            Stored { dtype: *dtype, shape: view.shape().to_vec(), bytes: view.data().to_vec() },
        );
    }
    Ok(())
}

fn read_npy(path: &Path) -> Result<Stored, Diagnostic> {
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, e))?;
    let npy = npyz::NpyFile::new(&bytes[..]).map_err(|e| unreadable(path, e))?;
    let shape: Vec<usize> = npy.shape().iter().map(|&n| n as usize).collect();
    if npy.order() == npyz::Order::Fortran && shape.len() > 1 {
        return Err(unreadable(path, "the array is in Fortran order; save it with numpy.ascontiguousarray"));
    }
    let npyz::DType::Plain(ty) = npy.dtype() else {
        return Err(unreadable(path, "structured arrays are not supported"));
    };
    use npyz::TypeChar;
    let dtype = match (ty.type_char(), ty.size_field()) {
        (TypeChar::Bool, _) => DType::Bool,
        (TypeChar::Uint, 1) => DType::U8,
        (TypeChar::Int, 1) => DType::I8,
        (TypeChar::Uint, 2) => DType::U16,
        (TypeChar::Int, 2) => DType::I16,
        (TypeChar::Uint, 4) => DType::U32,
        (TypeChar::Int, 4) => DType::I32,
        (TypeChar::Uint, 8) => DType::U64,
        (TypeChar::Int, 8) => DType::I64,
        (TypeChar::Float, 2) => DType::F16,
        (TypeChar::Float, 4) => DType::F32,
        (TypeChar::Float, 8) => DType::F64,
        _ => return Err(unreadable(path, format!("arrays of {ty} are not supported"))),
    };
    let count = shape.iter().try_fold(dtype.size(), |n, &s| n.checked_mul(s)).unwrap_or(usize::MAX);
    let data = bytes.len().checked_sub(count).and_then(|start| bytes.get(start..));
    let data = data.ok_or_else(|| unreadable(path, "it is shorter than its header says"))?;
    if ty.to_string().starts_with('>') {
        return Err(unreadable(path, "the array is big-endian"));
    }
    Ok(Stored { dtype, shape, bytes: data.to_vec() })
}

/// Writes a safetensors file, or one `.npy` file if that is the name and there is one tensor.
pub fn write(path: &Path, tensors: &Tensors) -> Result<(), Diagnostic> {
    if path.extension().is_some_and(|e| e == "npy") {
        let mut all = tensors.values();
        let (Some(one), None) = (all.next(), all.next()) else {
            return Err(unwritable(path, format!("there are {} tensors; name a .safetensors file", tensors.len())));
        };
        return write_npy(path, one);
    }
    let mut views = Vec::with_capacity(tensors.len());
    for (name, t) in tensors {
        let known = DTYPES.iter().find(|(_, d)| *d == t.dtype);
        let (dtype, _) = known.ok_or_else(|| unwritable(path, format!("tensor \"{name}\" is {}", t.dtype)))?;
        let view =
            safetensors::tensor::TensorView::new(*dtype, t.shape.clone(), &t.bytes).map_err(|e| unwritable(path, e))?;
        views.push((name.clone(), view));
    }
    let bytes = safetensors::serialize(views, None).map_err(|e| unwritable(path, e))?;
    std::fs::write(path, bytes).map_err(|e| unwritable(path, e))
}

fn write_npy(path: &Path, tensor: &Stored) -> Result<(), Diagnostic> {
    let code = match tensor.dtype {
        DType::Bool => "|b1",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::U16 => "<u2",
        DType::I16 => "<i2",
        DType::U32 => "<u4",
        DType::I32 => "<i4",
        DType::U64 => "<u8",
        DType::I64 => "<i8",
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        other => return Err(unwritable(path, format!("NumPy has no {other}; name a .safetensors file"))),
    };
    let shape: String = tensor.shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': ({shape}), }}");
    // Magic, version and length take 10 bytes; the data starts at a multiple of 64.
    let padded = (header.len() + 11).next_multiple_of(64) - 11;
    header.push_str(&" ".repeat(padded - header.len()));
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(&tensor.bytes);
    std::fs::write(path, out).map_err(|e| unwritable(path, e))
}
