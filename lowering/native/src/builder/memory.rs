//! Memory: scalar, vector, masked and indexed access to flat buffers, stack buffers, raw pointers.
//!
//! Indices count elements. Nothing here checks bounds: the kernel IR's verifier did.

use super::{Elem, Func, Type, Val};
use std::fmt::Write;

fn is_half(v: Val) -> bool {
    matches!(v.ty.elem(), Elem::F16 | Elem::BF16)
}

impl Func<'_> {
    /// A buffer of 16-bit floats as one of their bits. LLVM makes calls of loads, stores and insertions of such scalars
    /// where the target has no such type, so they pass as integers.
    fn as_bits(&mut self, buffer: Val) -> Val {
        if is_half(buffer) { self.buffer_as(buffer, Elem::I16) } else { buffer }
    }

    fn to_bits(&mut self, value: Val) -> Val {
        if is_half(value) { self.bitcast(value, Elem::I16) } else { value }
    }

    /// What `load` reads from the bits of `buffer`, as its elements.
    fn loaded(&mut self, buffer: Val, load: impl FnOnce(&mut Self, Val) -> Val) -> Val {
        let bits = self.as_bits(buffer);
        let value = load(self, bits);
        if is_half(buffer) { self.bitcast(value, buffer.ty.elem()) } else { value }
    }

    /// Loads one element.
    pub fn load(&mut self, buffer: Val, index: Val) -> Val {
        self.loaded(buffer, |f, b| f.op(Type::Scalar(b.ty.elem()), format!("memref.load {b}[{index}] : {}", b.ty)))
    }

    /// Stores one element.
    pub fn store(&mut self, value: Val, buffer: Val, index: Val) {
        let (value, buffer) = (self.to_bits(value), self.as_bits(buffer));
        self.stmt(&format!("memref.store {value}, {buffer}[{index}] : {}", buffer.ty));
    }

    /// Loads `lanes` neighbouring elements (unaligned); one lane is a scalar load.
    pub fn vload(&mut self, buffer: Val, index: Val, lanes: u32) -> Val {
        if lanes == 1 {
            return self.load(buffer, index);
        }
        self.loaded(buffer, |f, b| {
            let ty = Type::Vector(lanes, b.ty.elem());
            f.op(ty, format!("vector.load {b}[{index}] : {}, {ty}", b.ty))
        })
    }

    /// Stores a vector to neighbouring elements (unaligned), or a scalar.
    pub fn vstore(&mut self, value: Val, buffer: Val, index: Val) {
        if !value.ty.is_vector() {
            return self.store(value, buffer, index);
        }
        let (value, buffer) = (self.to_bits(value), self.as_bits(buffer));
        self.stmt(&format!("vector.store {value}, {buffer}[{index}] : {}, {}", buffer.ty, value.ty));
    }

    /// Loads the lanes whose mask bit is set; the others come from `pass` and their memory is not touched.
    pub fn masked_load(&mut self, buffer: Val, index: Val, mask: Val, pass: Val) -> Val {
        let pass = self.to_bits(pass);
        self.loaded(buffer, |f, b| {
            let ty = pass.ty;
            let types = format!("{}, {}, {ty} into {ty}", b.ty, mask.ty);
            f.op(ty, format!("vector.maskedload {b}[{index}], {mask}, {pass} : {types}"))
        })
    }

    /// Stores the lanes whose mask bit is set.
    pub fn masked_store(&mut self, value: Val, buffer: Val, index: Val, mask: Val) {
        let (value, buffer) = (self.to_bits(value), self.as_bits(buffer));
        self.stmt(&format!(
            "vector.maskedstore {buffer}[{index}], {mask}, {value} : {}, {}, {}",
            buffer.ty, mask.ty, value.ty
        ));
    }

    /// Loads `buffer[base + lanes[k]]` for every lane `k` whose mask bit is set, else `pass`. `lanes` is a vector of
    /// `i32`, `i64` or `index`.
    pub fn gather(&mut self, buffer: Val, base: Val, lanes: Val, mask: Val, pass: Val) -> Val {
        let pass = self.to_bits(pass);
        self.loaded(buffer, |f, b| {
            let ty = pass.ty;
            let types = format!("{}, {}, {}, {ty} into {ty}", b.ty, lanes.ty, mask.ty);
            f.op(ty, format!("vector.gather {b}[{base}] [{lanes}], {mask}, {pass} : {types}"))
        })
    }

    /// Stores every lane `k` whose mask bit is set to `buffer[base + lanes[k]]`, in lane order.
    pub fn scatter(&mut self, value: Val, buffer: Val, base: Val, lanes: Val, mask: Val) {
        let (value, buffer) = (self.to_bits(value), self.as_bits(buffer));
        self.stmt(&format!(
            "vector.scatter {buffer}[{base}] [{lanes}], {mask}, {value} : {}, {}, {}, {}",
            buffer.ty, lanes.ty, mask.ty, value.ty
        ));
    }

    /// Asks for the cache line of `buffer[index]`; `locality` 0 (streaming) to 3 (keep in L1). The address may lie
    /// outside the buffer, but keep `index` non-negative.
    pub fn prefetch(&mut self, buffer: Val, index: Val, write: bool, locality: u32) {
        let rw = if write { "write" } else { "read" };
        self.stmt(&format!(
            "memref.prefetch {buffer}[{index}], {rw}, locality<{}>, data : {}",
            locality.min(3),
            buffer.ty
        ));
    }

    /// A stack buffer of the function, 64-byte aligned, hoisted to its entry. For small tiles only (a few kilobytes):
    /// larger scratch belongs in the arena.
    pub fn stack(&mut self, elements: u64, elem: Elem) -> Val {
        let v = self.fresh(Type::Memory(elements, elem));
        let _ = writeln!(self.entry, "    {v} = memref.alloca() {{alignment = 64 : i64}} : {}", v.ty);
        v
    }

    /// From here on the optimiser does not know what the buffer holds: values that were stored are loaded where they are
    /// asked for again, in place of staying in registers that the code between needs.
    pub fn forget(&mut self, buffer: Val) {
        let address = self.ptr_of_buffer(buffer);
        self.stmt(&format!(
            "llvm.inline_asm has_side_effects asm_dialect = att \"\", \"r,~{{memory}}\" {address} : ({}) -> ()",
            address.ty
        ));
    }

    /// A raw stack block of 64-bit words, hoisted to the function's entry (argument words of tasks).
    pub fn stack_words(&mut self, words: u64) -> Val {
        let count = self.int(Type::I64, words as i64);
        let v = self.fresh(Type::Ptr);
        let _ =
            writeln!(self.entry, "    {v} = llvm.alloca {count} x i64 {{alignment = 16 : i64}} : (i64) -> !llvm.ptr");
        v
    }

    /// A buffer parameter's view of a raw pointer.
    pub fn buffer_from_ptr(&mut self, ptr: Val, elem: Elem) -> Val {
        const DESCRIPTOR: &str = "!llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>";
        let ty = Type::buffer(elem);
        let zero = self.int(Type::I64, 0);
        let size = self.int(Type::I64, super::BUFFER_ELEMENTS as i64);
        let one = self.int(Type::I64, 1);
        let mut d = self.op(ty, format!("llvm.mlir.poison : {DESCRIPTOR}"));
        for (value, place) in [(ptr, "[0]"), (ptr, "[1]"), (zero, "[2]"), (size, "[3, 0]"), (one, "[4, 0]")] {
            d = self.op(ty, format!("llvm.insertvalue {value}, {d}{place} : {DESCRIPTOR}"));
        }
        self.op(ty, format!("builtin.unrealized_conversion_cast {d} : {DESCRIPTOR} to {ty}"))
    }

    /// The address of a buffer's first element.
    pub fn ptr_of_buffer(&mut self, buffer: Val) -> Val {
        let address =
            self.op(Type::INDEX, format!("memref.extract_aligned_pointer_as_index {buffer} : {} -> index", buffer.ty));
        let address = self.index_to_i64(address);
        self.op(Type::Ptr, format!("llvm.inttoptr {address} : i64 to !llvm.ptr"))
    }

    /// A buffer under another element type of the same size.
    pub fn buffer_as(&mut self, buffer: Val, elem: Elem) -> Val {
        let ty = buffer.ty.with_elem(elem);
        if ty == buffer.ty {
            return buffer;
        }
        self.op(ty, format!("builtin.unrealized_conversion_cast {buffer} : {} to {ty}", buffer.ty))
    }

    /// `ptr + bytes`, a constant distance.
    pub fn ptr_at(&mut self, ptr: Val, bytes: i64) -> Val {
        self.ptr_add_const(ptr, bytes)
    }

    /// `ptr + bytes`; `bytes` an `i64`.
    pub fn ptr_add(&mut self, ptr: Val, bytes: Val) -> Val {
        self.op(Type::Ptr, format!("llvm.getelementptr {ptr}[{bytes}] : (!llvm.ptr, i64) -> !llvm.ptr, i8"))
    }

    fn ptr_add_const(&mut self, ptr: Val, bytes: i64) -> Val {
        let bytes = self.int(Type::I64, bytes);
        self.ptr_add(ptr, bytes)
    }

    /// Loads a scalar or pointer through a raw pointer (naturally aligned).
    pub fn ptr_load(&mut self, ptr: Val, ty: Type) -> Val {
        self.op(ty, format!("llvm.load {ptr} : !llvm.ptr -> {ty}"))
    }

    /// Stores a scalar or pointer through a raw pointer (naturally aligned).
    pub fn ptr_store(&mut self, value: Val, ptr: Val) {
        self.stmt(&format!("llvm.store {value}, {ptr} : {}, !llvm.ptr", value.ty));
    }

    /// The processor's running counter ([`crate::machine::ticks`] reads the same one), as an `i64`.
    pub fn cycle_counter(&mut self) -> Val {
        self.op(Type::I64, "llvm.call_intrinsic \"llvm.readcyclecounter\"() : () -> i64")
    }

    /// The null pointer.
    pub fn null(&mut self) -> Val {
        self.op(Type::Ptr, "llvm.mlir.zero : !llvm.ptr")
    }

    /// `memcpy(to, from, bytes)` of blocks that do not overlap; `bytes` an `i64`.
    pub fn copy_bytes(&mut self, to: Val, from: Val, bytes: Val) {
        self.stmt(&format!(
            "\"llvm.intr.memcpy\"({to}, {from}, {bytes}) <{{isVolatile = false}}> : (!llvm.ptr, !llvm.ptr, i64) -> ()"
        ));
    }

    /// `memset(to, byte, bytes)`; `byte` an `i8`, `bytes` an `i64`.
    pub fn fill_bytes(&mut self, to: Val, byte: Val, bytes: Val) {
        self.stmt(&format!(
            "\"llvm.intr.memset\"({to}, {byte}, {bytes}) <{{isVolatile = false}}> : (!llvm.ptr, i8, i64) -> ()"
        ));
    }
}
