//! Stable sorting of lines by keys that order as the elements do, with their positions: byte by byte from the last one
//! (bytes that all keys share cost nothing), a merge sort where lines are short or keys are rows, and insertion where few
//! elements are kept.

use core::ffi::c_void;

use pt2c_abi::DType;

/// Runs up to this length are sorted by insertion.
const RUN: usize = 16;

/// A key and the position it comes from.
type Pair = (u64, u64);

/// The bits of a float in an order of unsigned numbers; zeros are equal, NaN is the largest.
fn float_key(bits: u64, width: u32) -> u64 {
    let sign = 1u64 << (width - 1);
    let infinity = match width {
        16 => 0x7c00,
        32 => 0x7f80_0000,
        _ => 0x7ff0_0000_0000_0000,
    };
    let magnitude = bits & (sign - 1);
    if magnitude > infinity {
        u64::MAX >> (64 - width)
    } else if magnitude == 0 {
        sign
    } else if bits & sign != 0 {
        sign - magnitude
    } else {
        sign + magnitude
    }
}

/// The key of element `i`.
///
/// # Safety
/// The element exists.
unsafe fn key(x: *const u8, dtype: DType, i: usize) -> u64 {
    // SAFETY: by the caller's promise; the caller's buffers are aligned for their type.
    unsafe {
        let signed = |value: i64| value as u64 ^ (1 << 63);
        match dtype {
            DType::Bool | DType::U8 => u64::from(*x.add(i)),
            DType::I8 => signed(i64::from(*x.cast::<i8>().add(i))),
            DType::U16 => u64::from(*x.cast::<u16>().add(i)),
            DType::I16 => signed(i64::from(*x.cast::<i16>().add(i))),
            DType::U32 => u64::from(*x.cast::<u32>().add(i)),
            DType::I32 => signed(i64::from(*x.cast::<i32>().add(i))),
            DType::I64 => signed(*x.cast::<i64>().add(i)),
            DType::U64 => *x.cast::<u64>().add(i),
            DType::F16 => float_key(u64::from(*x.cast::<u16>().add(i)), 16),
            DType::BF16 => float_key(u64::from(*x.cast::<u16>().add(i)) << 16, 32),
            DType::F32 => float_key(u64::from(*x.cast::<u32>().add(i)), 32),
            DType::F64 => float_key(*x.cast::<u64>().add(i), 64),
            _ => 0,
        }
    }
}

/// Sorts `a`; `b` is as long. The result is in the one that is returned.
fn merge_sort<'a, T: Copy>(
    mut a: &'a mut [T],
    mut b: &'a mut [T],
    after: &impl Fn(&T, &T) -> bool,
) -> &'a mut [T] {
    for run in a.chunks_mut(RUN) {
        for i in 1..run.len() {
            let one = run[i];
            let mut at = i;
            while at > 0 && after(&run[at - 1], &one) {
                run[at] = run[at - 1];
                at -= 1;
            }
            run[at] = one;
        }
    }
    let mut width = RUN;
    while width < a.len() {
        for (from, to) in a.chunks(2 * width).zip(b.chunks_mut(2 * width)) {
            let (left, right) = from.split_at(width.min(from.len()));
            let (mut i, mut j) = (0, 0);
            for slot in to.iter_mut() {
                // Equal elements: the left one comes first.
                let take = i < left.len() && (j == right.len() || !after(&left[i], &right[j]));
                *slot = if take { left[i] } else { right[j] };
                i += usize::from(take);
                j += usize::from(!take);
            }
        }
        core::mem::swap(&mut a, &mut b);
        width *= 2;
    }
    a
}

/// Lines from this length on are sorted byte by byte.
const LONG: usize = 256;
/// Up to this many elements are selected by insertion.
const FEW: usize = 64;

/// Sorts `a` by its keys, byte by byte from the last; `b` is as long. The result is in the one that is returned.
fn radix_sort<'a>(mut a: &'a mut [Pair], mut b: &'a mut [Pair]) -> &'a mut [Pair] {
    let digit = |pair: &Pair, byte: usize| (pair.0 >> (8 * byte)) as usize & 255;
    let mut counts = [[0usize; 256]; 8];
    for pair in a.iter() {
        for (byte, count) in counts.iter_mut().enumerate() {
            count[digit(pair, byte)] += 1;
        }
    }
    for (byte, count) in counts.iter_mut().enumerate() {
        if count.contains(&a.len()) {
            continue;
        }
        let mut next = 0;
        for slot in count.iter_mut() {
            next += core::mem::replace(slot, next);
        }
        for pair in a.iter() {
            let slot = &mut count[digit(pair, byte)];
            if let Some(place) = b.get_mut(*slot) {
                *place = *pair;
            }
            *slot += 1;
        }
        core::mem::swap(&mut a, &mut b);
    }
    a
}

/// Brings the `keep` least of `a` to its start, in order.
fn select(a: &mut [Pair], keep: usize) {
    let (kept, rest) = a.split_at_mut(keep.min(a.len()));
    let insert = |kept: &mut [Pair], one: Pair| {
        let mut at = kept.len() - 1;
        while at > 0 && kept[at - 1].0 > one.0 {
            kept[at] = kept[at - 1];
            at -= 1;
        }
        kept[at] = one;
    };
    for i in 1..kept.len() {
        let one = kept[i];
        insert(&mut kept[..=i], one);
    }
    if let Some(mut last) = kept.last().map(|pair| pair.0) {
        for &one in rest.iter() {
            // An equal one comes later.
            if one.0 < last {
                insert(kept, one);
                last = kept[kept.len() - 1].0;
            }
        }
    }
}

/// What to sort; see `pt2c_kernel::Sort`. The compiled program writes it word by word.
#[repr(C)]
pub struct Shape {
    pub outer: u64,
    pub len: u64,
    pub inner: u64,
    pub keep: u64,
    /// Lines that have memory to work in.
    pub areas: u64,
    /// A [`DType`]; plus 256: from the largest on; plus 512: rows.
    pub flags: u64,
}

/// Sorts the lines of the areas `begin..end`.
///
/// # Safety
/// The pointers lead to as many elements as the shape says (`values` may be null); the scratch has `4 · len` words for
/// each area.
pub unsafe fn sort(
    [x, values, indices, scratch]: [*mut c_void; 4],
    shape: &Shape,
    begin: i64,
    end: i64,
) {
    let (len, inner, keep) = (shape.len as usize, shape.inner as usize, shape.keep as usize);
    let rows = shape.flags & 512 != 0;
    let descending = shape.flags & 256 != 0;
    let dtype = DType::from_code(shape.flags as u32 & 255).unwrap_or(DType::U8);
    let lines = if rows { shape.outer as usize } else { (shape.outer * shape.inner) as usize };
    let size = dtype.size() as usize;
    let (x, values, indices) = (x.cast::<u8>(), values.cast::<u8>(), indices.cast::<i64>());
    for area in begin as usize..end as usize {
        let words = scratch.cast::<Pair>().wrapping_add(area * 2 * len);
        // SAFETY: by the caller's promise; every area is its own. Pairs of any content are valid.
        let (a, b) = unsafe {
            let all = core::slice::from_raw_parts_mut(words, 2 * len);
            all.split_at_mut(len)
        };
        let mut line = area;
        while line < lines {
            let (start, step) =
                if rows { (line * len * inner, inner) } else { (line / inner * len * inner + line % inner, inner) };
            for (k, pair) in a.iter_mut().enumerate() {
                // SAFETY: inside of the line.
                let key = if rows { 0 } else { unsafe { key(x, dtype, start + k * step) } };
                *pair = (if descending { !key } else { key }, k as u64);
            }
            let sorted = if rows {
                let after = |p: &Pair, q: &Pair| {
                    let (p, q) = (start + p.1 as usize * step, start + q.1 as usize * step);
                    for k in 0..inner {
                        // SAFETY: inside of the two rows.
                        let (p, q) = unsafe { (key(x, dtype, p + k), key(x, dtype, q + k)) };
                        if p != q {
                            return (p > q) != descending;
                        }
                    }
                    false
                };
                merge_sort(&mut *a, &mut *b, &after)
            } else if keep <= FEW && 4 * keep <= len {
                select(a, keep);
                &mut *a
            } else if len >= LONG {
                radix_sort(&mut *a, &mut *b)
            } else {
                merge_sort(&mut *a, &mut *b, &|p: &Pair, q: &Pair| p.0 > q.0)
            };
            let to = if rows { line * keep } else { line / inner * keep * inner + line % inner };
            let to_step = if rows { 1 } else { inner };
            for (k, pair) in sorted.iter().take(keep).enumerate() {
                let (from, to) = (start + pair.1 as usize * step, to + k * to_step);
                // SAFETY: inside of the line and of the results.
                unsafe {
                    *indices.add(to) = pair.1 as i64;
                    if !values.is_null() {
                        copy(x.add(from * size), values.add(to * size), size);
                    }
                }
            }
            line += shape.areas as usize;
        }
    }
}

/// Copies one element.
///
/// # Safety
/// Both places hold one, aligned for its size.
unsafe fn copy(from: *const u8, to: *mut u8, size: usize) {
    // SAFETY: by the caller's promise.
    unsafe {
        match size {
            1 => *to = *from,
            2 => *to.cast::<u16>() = *from.cast(),
            4 => *to.cast::<u32>() = *from.cast(),
            _ => *to.cast::<u64>() = *from.cast(),
        }
    }
}
