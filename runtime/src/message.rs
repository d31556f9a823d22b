//! The error text of a context: a fixed buffer that is written piece by piece and cut where it is full.

use core::ffi::{CStr, c_char};

/// Bytes of the buffer, the final zero included.
const SIZE: usize = 1024;

/// A zero-terminated text of limited length.
pub struct Message {
    bytes: [u8; SIZE],
    length: usize,
}

impl Message {
    pub const fn new() -> Message {
        Message { bytes: [0; SIZE], length: 0 }
    }

    pub fn clear(&mut self) {
        self.length = 0;
        self.bytes[0] = 0;
    }

    pub fn as_ptr(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    #[inline(never)]
    #[cold]
    fn bytes(&mut self, text: &[u8]) -> &mut Message {
        for &byte in text {
            if self.length + 1 >= SIZE {
                break;
            }
            if let Some(slot) = self.bytes.get_mut(self.length) {
                *slot = byte;
                self.length += 1;
            }
        }
        if let Some(end) = self.bytes.get_mut(self.length) {
            *end = 0;
        }
        self
    }

    #[inline(never)]
    #[cold]
    pub fn text(&mut self, text: &str) -> &mut Message {
        self.bytes(text.as_bytes())
    }

    /// A string of the descriptor or of the caller; nothing for null.
    ///
    /// # Safety
    /// `text` is null or ends in a zero byte.
    #[inline(never)]
    #[cold]
    pub unsafe fn c(&mut self, text: *const c_char) -> &mut Message {
        if text.is_null() {
            return self;
        }
        // SAFETY: not null, and zero-terminated by the caller's promise.
        self.bytes(unsafe { CStr::from_ptr(text) }.to_bytes())
    }

    /// A string of the descriptor with its first `{}` replaced by the value.
    ///
    /// # Safety
    /// As [`Message::c`].
    #[inline(never)]
    #[cold]
    pub unsafe fn c_with(&mut self, text: *const c_char, value: i64) -> &mut Message {
        if text.is_null() {
            return self;
        }
        // SAFETY: not null, and zero-terminated by the caller's promise.
        let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
        match bytes.windows(2).position(|pair| pair == b"{}") {
            Some(at) => {
                let (before, after) = bytes.split_at_checked(at).unwrap_or((bytes, b""));
                self.bytes(before).int(value).bytes(after.get(2..).unwrap_or(b""))
            }
            None => self.bytes(bytes),
        }
    }

    #[inline(never)]
    #[cold]
    pub fn int(&mut self, value: i64) -> &mut Message {
        if value < 0 {
            self.text("-");
        }
        self.unsigned(value.unsigned_abs())
    }

    #[inline(never)]
    #[cold]
    pub fn unsigned(&mut self, value: u64) -> &mut Message {
        let mut digits = [0u8; 20];
        let mut rest = value;
        let mut count = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        let (_, used) = digits.split_at_checked(20 - count).unwrap_or((b"", &digits));
        self.bytes(used)
    }
}
