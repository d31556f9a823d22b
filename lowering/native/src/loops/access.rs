//! Loads and stores: each address by the cheapest access that fits it.

use super::lanes::LaneForm;
use super::{Cx, Mask, Memory, Value};
use crate::NativeError;
use crate::builder::{Elem, Type, Val};
use pt2c_ir::dim::Dim;

impl Cx<'_> {
    /// The parameter at that position.
    pub(super) fn memory(&self, param: usize) -> Result<Memory, NativeError> {
        self.params
            .get(param)
            .copied()
            .ok_or_else(|| NativeError::Unsupported { what: format!("access to missing parameter {param}") })
    }

    /// Loads an element, or one for each lane.
    ///
    /// # Errors
    /// For unbound symbols in the address and unsupported dtypes.
    pub fn load(&mut self, param: usize, address: &Dim) -> Result<Value, NativeError> {
        let memory = self.memory(param)?;
        let width = self.width();
        let elem = memory.bits.ty.elem();
        let ty = Type::of_lanes(width, elem);
        let raw = match self.lane_form(address)? {
            LaneForm::Uniform(index) => match self.mask {
                Some(mask) if !mask.first_lane => {
                    // Perhaps no lane asks for it: then the address may be wrong.
                    let any = self.b.any(mask.val);
                    let scope = self.b.begin_if(any, &[Type::Scalar(elem)]);
                    let loaded = self.b.load(memory.bits, index);
                    self.b.begin_else(&[loaded]);
                    let zero = self.b.zero(Type::Scalar(elem));
                    one(self.b.end_if(scope, &[zero]))?
                }
                _ => self.b.load(memory.bits, index),
            },
            LaneForm::Strided(index, 1) => match self.mask {
                Some(mask) => {
                    let pass = self.b.zero(ty);
                    self.b.masked_load(memory.bits, index, mask.val, pass)
                }
                None => self.b.vload(memory.bits, index, width),
            },
            LaneForm::Strided(index, stride) => {
                let steps = self.steps(stride);
                self.gather(memory.bits, index, steps, ty)
            }
            LaneForm::Any(indices) => {
                let zero = self.b.index(0);
                self.gather(memory.bits, zero, indices, ty)
            }
        };
        self.from_memory(raw, memory.dtype)
    }

    /// Stores an element, or one for each lane.
    ///
    /// # Errors
    /// As [`Cx::load`].
    pub fn store(&mut self, param: usize, address: &Dim, value: Value) -> Result<(), NativeError> {
        let memory = self.memory(param)?;
        let width = self.width();
        let raw = self.to_memory(value, memory.dtype)?;
        match self.lane_form(address)? {
            LaneForm::Uniform(index) => {
                // One element for all lanes: the iterations that store it hold the same value.
                match self.mask {
                    None => {
                        let first = self.b.extract(raw, 0);
                        self.b.store(first, memory.bits, index);
                    }
                    Some(mask) => {
                        let raw = self.b.broadcast(raw, width);
                        let zeros = self.b.int(Type::Vector(width, Elem::I64), 0);
                        self.b.scatter(raw, memory.bits, index, zeros, mask.val);
                    }
                }
            }
            LaneForm::Strided(index, 1) => {
                let raw = self.b.broadcast(raw, width);
                match self.mask {
                    Some(mask) => self.b.masked_store(raw, memory.bits, index, mask.val),
                    None => self.b.vstore(raw, memory.bits, index),
                }
            }
            LaneForm::Strided(index, stride) => {
                let steps = self.steps(stride);
                let raw = self.b.broadcast(raw, width);
                let mask = self.full_or(self.mask);
                self.b.scatter(raw, memory.bits, index, steps, mask);
            }
            LaneForm::Any(indices) => {
                let raw = self.b.broadcast(raw, width);
                let zero = self.b.index(0);
                let mask = self.full_or(self.mask);
                self.b.scatter(raw, memory.bits, zero, indices, mask);
            }
        }
        Ok(())
    }

    fn full_or(&mut self, mask: Option<Mask>) -> Val {
        let width = self.width();
        mask.map_or_else(|| self.b.full_mask(width), |m| m.val)
    }

    fn gather(&mut self, memory: Val, base: Val, indices: Val, ty: Type) -> Val {
        let mask = self.full_or(self.mask);
        let pass = self.b.zero(ty);
        self.b.gather(memory, base, indices, mask, pass)
    }

    /// `0, stride, 2·stride, …` for the lanes, in 32 bits where they fit: the hardware gathers twice as many at once.
    fn steps(&mut self, stride: i64) -> Val {
        let width = i64::from(self.width());
        let steps: Vec<i64> = (0..width).map(|k| k.wrapping_mul(stride)).collect();
        let fits = stride.checked_mul(width).is_some_and(|m| i32::try_from(m).is_ok());
        self.b.int_lanes(if fits { Elem::I32 } else { Elem::I64 }, &steps)
    }
}

/// The only result of a region.
pub(super) fn one(results: Vec<Val>) -> Result<Val, NativeError> {
    results.first().copied().ok_or_else(|| NativeError::Unsupported { what: "a region without a result".to_string() })
}
