//! Runs compiled objects inside this process: `pt2c run` executes the very objects that `compile` puts into the
//! archive, without a system linker.
//!
//! LLVM's ORC links them in memory; whatever they leave undefined (libc, libm, pthread) is taken from this process.

use crate::error::NativeError;
use inkwell::llvm_sys::core::LLVMCreateMemoryBufferWithMemoryRangeCopy;
use inkwell::llvm_sys::error::{LLVMConsumeError, LLVMDisposeErrorMessage, LLVMErrorRef, LLVMGetErrorMessage};
use inkwell::llvm_sys::orc2::lljit::{
    LLVMOrcCreateLLJIT, LLVMOrcDisposeLLJIT, LLVMOrcLLJITAddObjectFile, LLVMOrcLLJITGetGlobalPrefix,
    LLVMOrcLLJITGetMainJITDylib, LLVMOrcLLJITLookup, LLVMOrcLLJITRef,
};
use inkwell::llvm_sys::orc2::{LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess, LLVMOrcJITDylibAddGenerator};
use inkwell::targets::{InitializationConfig, Target};
use std::ffi::{CStr, CString};
use std::ptr;

/// Objects linked into this process. Dropping it unmaps them: no pointer taken from it may outlive it.
#[derive(Debug)]
pub struct Loaded {
    jit: LLVMOrcLLJITRef,
}

// SAFETY: LLJIT and its lookups are internally locked; the handle itself is an owned pointer without thread affinity.
unsafe impl Send for Loaded {}

impl Loaded {
    /// Links the objects with each other and with this process's libraries.
    ///
    /// # Errors
    /// [`NativeError::Load`] if an object is malformed or two define one symbol. Undefined symbols are found at the
    /// first [`Loaded::symbol`] that needs them.
    pub fn new(objects: &[Vec<u8>]) -> Result<Loaded, NativeError> {
        Target::initialize_x86(&InitializationConfig::default());
        let mut jit = ptr::null_mut();
        // SAFETY: a null builder asks for the default configuration; `jit` is written on success.
        check(unsafe { LLVMOrcCreateLLJIT(&mut jit, ptr::null_mut()) })?;
        let loaded = Loaded { jit };
        // SAFETY: `jit` is live until `loaded` drops; the library borrowed from it lives as long.
        let (library, prefix) = unsafe { (LLVMOrcLLJITGetMainJITDylib(jit), LLVMOrcLLJITGetGlobalPrefix(jit)) };
        let mut generator = ptr::null_mut();
        // SAFETY: no filter is given; the library takes ownership of the generator.
        unsafe {
            check(LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&mut generator, prefix, None, ptr::null_mut()))?;
            LLVMOrcJITDylibAddGenerator(library, generator);
        }
        for object in objects {
            // SAFETY: the buffer copies the bytes and is handed over to the JIT, which frees it also on failure.
            unsafe {
                let buffer =
                    LLVMCreateMemoryBufferWithMemoryRangeCopy(object.as_ptr().cast(), object.len(), c"object".as_ptr());
                check(LLVMOrcLLJITAddObjectFile(jit, library, buffer))?;
            }
        }
        Ok(loaded)
    }

    /// The address of a defined symbol; links what it needs. Symbols of hidden visibility are not found.
    ///
    /// # Errors
    /// [`NativeError::Load`] if there is no such symbol or something it needs is undefined.
    pub fn symbol(&self, name: &str) -> Result<*const (), NativeError> {
        let c_name = CString::new(name).map_err(|_| NativeError::Load { message: format!("bad symbol `{name}`") })?;
        let mut address = 0;
        // SAFETY: the JIT is live, the name is a C string, `address` is written on success.
        check(unsafe { LLVMOrcLLJITLookup(self.jit, &mut address, c_name.as_ptr()) })?;
        Ok(address as *const ())
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the handle is owned and not used again. An error while unmapping has nobody to report to.
        unsafe {
            let error = LLVMOrcDisposeLLJIT(self.jit);
            if !error.is_null() {
                LLVMConsumeError(error);
            }
        }
    }
}

/// Turns LLVM's error into ours.
fn check(error: LLVMErrorRef) -> Result<(), NativeError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null error is owned by us; taking its message consumes it; the message is freed after the copy.
    let message = unsafe {
        let text = LLVMGetErrorMessage(error);
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        LLVMDisposeErrorMessage(text);
        copy
    };
    Err(NativeError::Load { message })
}
