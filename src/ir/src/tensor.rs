//! The bytes behind parameters, buffers and constants: strided views of shared, read-only storage.

use crate::DType;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Shared read-only bytes: a mapped file, or a buffer made by the compiler. Cloning copies no data.
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    start: usize,
    len: usize,
}

impl Bytes {
    /// All the bytes of `owner` (a `Vec<u8>`, a memory map, …).
    pub fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Bytes {
        let len = owner.as_ref().len();
        Bytes { owner: Arc::new(owner), start: 0, len }
    }

    /// A part of them; `None` if it is not inside.
    pub fn slice(&self, start: usize, len: usize) -> Option<Bytes> {
        let end = start.checked_add(len)?;
        (end <= self.len).then(|| Bytes { owner: self.owner.clone(), start: self.start + start, len })
    }

    /// Whether both are the same bytes of the same owner (not merely equal).
    pub fn same_storage(&self, other: &Bytes) -> bool {
        Arc::ptr_eq(&self.owner, &other.owner) && self.start == other.start && self.len == other.len
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.owner).as_ref().get(self.start..self.start + self.len).unwrap_or(&[])
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} bytes)", self.len)
    }
}

/// A tensor's view does not fit its storage.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TensorDataError {
    /// Ranks of sizes and strides differ.
    #[error("{sizes} sizes but {strides} strides")]
    RankMismatch { sizes: usize, strides: usize },
    /// A product or sum does not fit 64 bits.
    #[error("the extent of the view overflows")]
    Overflow,
    /// The last element lies outside the storage.
    #[error("the view needs {needed} bytes, its storage has {available}")]
    OutOfBounds { needed: usize, available: usize },
}

/// An element type and a strided view of a storage.
#[derive(Clone, Debug)]
pub struct TensorData {
    dtype: DType,
    sizes: Vec<usize>,
    strides: Vec<usize>,
    /// In elements.
    offset: usize,
    storage: Bytes,
}

impl TensorData {
    /// A view of `storage`: `sizes` and `strides` in elements per dimension, `offset` in elements.
    pub fn strided(
        dtype: DType,
        sizes: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: Bytes,
    ) -> Result<TensorData, TensorDataError> {
        if sizes.len() != strides.len() {
            return Err(TensorDataError::RankMismatch { sizes: sizes.len(), strides: strides.len() });
        }
        let numel = sizes.iter().try_fold(1usize, |n, &s| n.checked_mul(s)).ok_or(TensorDataError::Overflow)?;
        numel.checked_mul(dtype.size()).ok_or(TensorDataError::Overflow)?;
        if numel > 0 {
            let last = sizes
                .iter()
                .zip(&strides)
                .try_fold(offset, |at, (&n, &s)| at.checked_add((n - 1).checked_mul(s)?))
                .and_then(|last| last.checked_add(1)?.checked_mul(dtype.size()))
                .ok_or(TensorDataError::Overflow)?;
            if last > storage.len() {
                return Err(TensorDataError::OutOfBounds { needed: last, available: storage.len() });
            }
        }
        Ok(TensorData { dtype, sizes, strides, offset, storage })
    }

    /// A dense row-major tensor over all of `bytes`.
    pub fn dense(dtype: DType, sizes: Vec<usize>, bytes: impl Into<Vec<u8>>) -> Result<TensorData, TensorDataError> {
        let mut strides = vec![1usize; sizes.len()];
        for i in (1..sizes.len()).rev() {
            strides[i - 1] = strides[i].checked_mul(sizes[i].max(1)).ok_or(TensorDataError::Overflow)?;
        }
        TensorData::strided(dtype, sizes, strides, 0, Bytes::new(bytes.into()))
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Sizes, one per dimension.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Strides in elements, one per dimension.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// Offset of the first element, in elements.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The storage the view is of.
    pub fn storage(&self) -> &Bytes {
        &self.storage
    }

    /// Whether both are the same view of the same storage (tied weights).
    pub fn same_view(&self, other: &TensorData) -> bool {
        self.storage.same_storage(&other.storage)
            && (self.dtype, self.offset) == (other.dtype, other.offset)
            && self.sizes == other.sizes
            && self.strides == other.strides
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.sizes.iter().product()
    }

    /// Whether the elements lie in row-major order without gaps.
    pub fn is_dense(&self) -> bool {
        let mut expected = 1;
        for (&n, &s) in self.sizes.iter().zip(&self.strides).rev() {
            if n != 1 && s != expected {
                return self.numel() == 0;
            }
            expected *= n;
        }
        true
    }

    /// The elements in row-major order: borrowed when they lie so, gathered otherwise.
    pub fn to_dense(&self) -> std::borrow::Cow<'_, [u8]> {
        let size = self.dtype.size();
        let numel = self.numel();
        if self.is_dense() {
            let start = if numel == 0 { 0 } else { self.offset * size };
            return std::borrow::Cow::Borrowed(self.storage.get(start..start + numel * size).unwrap_or(&[]));
        }
        let mut out = Vec::with_capacity(numel * size);
        let mut index = vec![0usize; self.sizes.len()];
        for _ in 0..numel {
            let at = index.iter().zip(&self.strides).fold(self.offset, |a, (i, s)| a + i * s) * size;
            out.extend_from_slice(self.storage.get(at..at + size).unwrap_or(&[]));
            for d in (0..index.len()).rev() {
                index[d] += 1;
                if index[d] < self.sizes[d] {
                    break;
                }
                index[d] = 0;
            }
        }
        std::borrow::Cow::Owned(out)
    }
}
