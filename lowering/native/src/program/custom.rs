//! Custom operators: calls of functions that the library's user provides, as the header declares them.

use crate::NativeError;
use crate::builder::{Elem, Module, Type, Val};
use crate::loops::Cx;
use indexmap::IndexMap;
use pt2c_ir::dim::Dim;
use pt2c_kernel::{Custom, CustomArgument, CustomTensor, Param};

/// The functions of a program and the types of their parameters.
#[derive(Default)]
pub(super) struct Functions(IndexMap<String, Vec<Type>>);

impl Functions {
    /// Adds the function of a call.
    pub fn add(&mut self, c: &Custom) -> Result<(), NativeError> {
        let types = types(c);
        match self.0.insert(c.function.clone(), types.clone()) {
            Some(known) if known != types => {
                let what = format!("calls of the custom operator `{}` with arguments of different kinds", c.function);
                Err(NativeError::Unsupported { what })
            }
            _ => Ok(()),
        }
    }

    pub fn declare(&self, module: &mut Module) {
        for (name, types) in &self.0 {
            module.declare(name, types, &[Type::I32]);
        }
    }
}

fn types(c: &Custom) -> Vec<Type> {
    let mut types = Vec::new();
    for argument in &c.arguments {
        match argument {
            CustomArgument::Tensor(_) | CustomArgument::Absent => types.push(Type::Ptr),
            CustomArgument::Int(_) | CustomArgument::Bool(_) => types.push(Type::I64),
            CustomArgument::Ints(_) | CustomArgument::Floats(_) | CustomArgument::Tensors(_) => {
                types.extend([Type::Ptr, Type::I64]);
            }
            CustomArgument::Text(_) => types.push(Type::Ptr),
            CustomArgument::Float(_) => types.push(Type::Scalar(Elem::F64)),
        }
    }
    types.extend(c.results.iter().map(|_| Type::Ptr));
    types
}

/// Writes the call; a result other than 0 ends the call of the library.
pub(super) fn custom(cx: &mut Cx<'_>, params: &[Param], c: &Custom) -> Result<(), NativeError> {
    let mut args = Vec::new();
    for argument in &c.arguments {
        match argument {
            CustomArgument::Tensor(t) => args.push(tensor(cx, params, t)?),
            CustomArgument::Absent => args.push(cx.b.null()),
            CustomArgument::Int(value) | CustomArgument::Bool(value) => args.push(size(cx, value)?),
            CustomArgument::Ints(values) => {
                args.push(list(cx, values)?);
                args.push(cx.b.int(Type::I64, values.len() as i64));
            }
            CustomArgument::Float(value) => args.push(cx.b.float(Type::Scalar(Elem::F64), *value)),
            CustomArgument::Floats(values) => {
                let bits: Vec<i64> = values.iter().map(|value| value.to_bits() as i64).collect();
                args.push(words(cx, &bits));
                args.push(cx.b.int(Type::I64, values.len() as i64));
            }
            CustomArgument::Tensors(tensors) => {
                let place = cx.b.stack_words(TENSOR_WORDS * tensors.len().max(1) as u64);
                for (i, t) in tensors.iter().enumerate() {
                    let first = cx.b.ptr_at(place, 8 * TENSOR_WORDS as i64 * i as i64);
                    fill(cx, params, t, first)?;
                }
                args.push(place);
                args.push(cx.b.int(Type::I64, tensors.len() as i64));
            }
            CustomArgument::Text(text) => {
                // Zero-terminated, and filled up to whole words.
                let bytes: Vec<u8> = text.bytes().chain([0]).collect();
                let word =
                    |chunk: &[u8]| chunk.iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte)) as i64;
                let text: Vec<i64> = bytes.chunks(8).map(word).collect();
                args.push(words(cx, &text));
            }
        }
    }
    for result in &c.results {
        args.push(tensor(cx, params, result)?);
    }
    let code = cx.b.call(&c.function, &args, &[Type::I32]).into_iter().next();
    let code = code.ok_or_else(|| NativeError::Unsupported { what: "a function without a result".to_string() })?;
    let code = cx.b.cast_int(code, Type::I64, true);
    cx.fail_unless_zero(code, &format!("the custom operator {} failed with code {{}}", c.function))
}

fn size(cx: &mut Cx<'_>, value: &Dim) -> Result<Val, NativeError> {
    let value = cx.ix.dim(&mut cx.b, value)?;
    Ok(cx.b.index_to_i64(value))
}

/// Constants in memory.
fn words(cx: &mut Cx<'_>, values: &[i64]) -> Val {
    let words = cx.b.stack_words(values.len().max(1) as u64);
    for (i, &value) in values.iter().enumerate() {
        let value = cx.b.int(Type::I64, value);
        let place = cx.b.ptr_at(words, 8 * i as i64);
        cx.b.ptr_store(value, place);
    }
    words
}

/// Numbers in memory.
fn list(cx: &mut Cx<'_>, values: &[Dim]) -> Result<Val, NativeError> {
    let words = cx.b.stack_words(values.len().max(1) as u64);
    for (i, value) in values.iter().enumerate() {
        let value = size(cx, value)?;
        let place = cx.b.ptr_at(words, 8 * i as i64);
        cx.b.ptr_store(value, place);
    }
    Ok(words)
}

/// Size of a `pt2c_tensor` in words.
const TENSOR_WORDS: u64 = 3;

/// A `pt2c_tensor`.
fn tensor(cx: &mut Cx<'_>, params: &[Param], t: &CustomTensor) -> Result<Val, NativeError> {
    let words = cx.b.stack_words(TENSOR_WORDS);
    fill(cx, params, t, words)?;
    Ok(words)
}

/// Fills a `pt2c_tensor`: data, sizes, rank and element type.
fn fill(cx: &mut Cx<'_>, params: &[Param], t: &CustomTensor, words: Val) -> Result<(), NativeError> {
    let missing = || NativeError::Unsupported { what: "a custom operator without its parameters".to_string() };
    let dtype = params.get(t.param).ok_or_else(missing)?.dtype;
    let buffer = cx.params.get(t.param).ok_or_else(missing)?.val;
    let data = cx.b.ptr_of_buffer(buffer);
    let sizes = list(cx, &t.sizes)?;
    let rank_and_type = t.sizes.len() as i64 | (pt2c_library::dtype_code(dtype) as i64) << 32;
    let rank_and_type = cx.b.int(Type::I64, rank_and_type);
    for (i, value) in [data, sizes, rank_and_type].into_iter().enumerate() {
        let place = cx.b.ptr_at(words, 8 * i as i64);
        cx.b.ptr_store(value, place);
    }
    Ok(())
}
