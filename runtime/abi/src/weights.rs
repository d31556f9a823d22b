//! The weights file: a header of 64 bytes, then the weights.

/// "pt2cwght", the file's first eight bytes.
pub const WEIGHTS_MAGIC: [u8; 8] = *b"pt2cwght";

/// Bytes of the header: the weights begin here, so that they are as aligned as the mapping.
pub const HEADER_SIZE: usize = 64;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightsHeader {
    /// [`crate::ABI_VERSION`] of the writer.
    pub version: u32,
    /// Bytes after the header.
    pub size: u64,
    /// [`crate::hash::hash`] of these bytes.
    pub hash: u64,
}

impl WeightsHeader {
    /// The header's bytes; all numbers are little-endian, the rest is zero.
    pub fn to_bytes(self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[..8].copy_from_slice(&WEIGHTS_MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.size.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.hash.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` without the magic number.
    pub fn from_bytes(bytes: &[u8; HEADER_SIZE]) -> Option<WeightsHeader> {
        let number = |start: usize, length: usize| {
            bytes.iter().skip(start).take(length).rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte))
        };
        bytes.starts_with(&WEIGHTS_MAGIC).then(|| WeightsHeader {
            version: number(8, 4) as u32,
            size: number(16, 8),
            hash: number(24, 8),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trips() {
        let header = WeightsHeader { version: 3, size: 1 << 40, hash: 0x0123_4567_89ab_cdef };
        assert_eq!(WeightsHeader::from_bytes(&header.to_bytes()), Some(header));
        assert_eq!(WeightsHeader::from_bytes(&[0; HEADER_SIZE]), None);
    }
}
