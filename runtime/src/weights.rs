//! The weights: embedded in the library, or a file that is mapped read-only.

use core::ffi::{c_char, c_void};
use core::{ptr, slice};

use pt2c_abi::weights::{HEADER_SIZE, WeightsHeader};
use pt2c_abi::{ABI_VERSION, Status};

use crate::{libc, memory};
use crate::message::Message;
use crate::view::View;

/// Where the weights are, and the mapping to undo if they come from a file.
pub struct Weights {
    start: *const u8,
    mapping: *mut c_void,
    length: usize,
}

impl Weights {
    pub const NONE: Weights = Weights { start: ptr::null(), mapping: ptr::null_mut(), length: 0 };

    /// The first byte of the weights.
    pub fn start(&self) -> *const u8 {
        self.start
    }

    /// Finds the weights: embedded, or in the file `path` (null: the model's default name).
    ///
    /// # Safety
    /// `path` is null or ends in a zero byte.
    pub unsafe fn open(
        view: View,
        path: *const c_char,
        verify: bool,
        message: &mut Message,
    ) -> Result<Weights, Status> {
        let model = view.model();
        if !model.weights.is_null() || model.weights_size == 0 {
            // SAFETY: they are part of the program, which is mapped.
            unsafe { memory::advise_huge(model.weights, model.weights_size as usize) };
            return Ok(Weights { start: model.weights, ..Weights::NONE });
        }
        let path = if path.is_null() { model.weights_file } else { path };
        // SAFETY: `path` and the descriptor's texts are zero-terminated.
        unsafe {
            message.text("weights file \"").c(path).text("\": ");
            let weights = Weights::map(path, message)?;
            weights.check(view, verify, message)?;
            message.clear();
            Ok(weights)
        }
    }

    /// Maps the whole file.
    ///
    /// # Safety
    /// `path` ends in a zero byte.
    unsafe fn map(path: *const c_char, message: &mut Message) -> Result<Weights, Status> {
        // SAFETY: the path is zero-terminated; the descriptor is used while it is open and closed once.
        unsafe {
            let file = libc::open(path, libc::O_RDONLY | libc::O_CLOEXEC);
            if file < 0 {
                message.text("cannot open it");
                return Err(Status::Weights);
            }
            let length = libc::lseek(file, 0, libc::SEEK_END);
            if length < HEADER_SIZE as i64 {
                libc::close(file);
                message.text("not a weights file: it is shorter than the header");
                return Err(Status::Weights);
            }
            let length = length as usize;
            let mapping = libc::mmap(ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, file, 0);
            libc::close(file);
            if mapping as isize == -1 {
                message.text("cannot map it");
                return Err(Status::Weights);
            }
            memory::advise_huge(mapping.cast(), length);
            Ok(Weights { start: mapping.cast::<u8>().add(HEADER_SIZE), mapping, length })
        }
    }

    /// Compares the header, and on request the content, with what the library expects.
    fn check(&self, view: View, verify: bool, message: &mut Message) -> Result<(), Status> {
        let model = view.model();
        // SAFETY: the mapping is at least as long as the header and is never written.
        let header = unsafe { &*self.mapping.cast::<[u8; HEADER_SIZE]>() };
        let Some(header) = WeightsHeader::from_bytes(header) else {
            message.text("not a weights file of pt2c");
            return Err(Status::Weights);
        };
        if header.version != ABI_VERSION {
            message.text("its format version is ").unsigned(u64::from(header.version));
            message.text(", this library reads version ").unsigned(u64::from(ABI_VERSION));
            return Err(Status::Weights);
        }
        if header.hash != model.weights_hash || header.size != model.weights_size {
            message.text("it was written for another model or another compilation of this one");
            return Err(Status::Weights);
        }
        let content = (self.length - HEADER_SIZE) as u64;
        if content != model.weights_size {
            message.text("it holds ").unsigned(content).text(" bytes of weights, but its header says ");
            message.unsigned(model.weights_size).text(": the file is damaged");
            return Err(Status::Weights);
        }
        // SAFETY: header and content together are the mapping.
        if verify && pt2c_abi::hash::hash(unsafe { slice::from_raw_parts(self.start, content as usize) }) != header.hash
        {
            message.text("its content does not match its hash: the file is damaged");
            return Err(Status::Weights);
        }
        Ok(())
    }
}

impl Drop for Weights {
    fn drop(&mut self) {
        if !self.mapping.is_null() {
            // SAFETY: the mapping is this value's own and is undone once.
            unsafe { libc::munmap(self.mapping, self.length) };
        }
    }
}
