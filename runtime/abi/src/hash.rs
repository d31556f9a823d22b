//! XXH64 (Yann Collet's xxHash, seed 0): the content hash that ties a weights file to its library. Not cryptographic:
//! it finds the wrong or a damaged file, not an attacker's.

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

fn round(accumulator: u64, lane: u64) -> u64 {
    accumulator.wrapping_add(lane.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The XXH64 hash of `bytes` with seed 0.
pub fn hash(bytes: &[u8]) -> u64 {
    let (stripes, tail) = bytes.as_chunks::<32>();
    let mut value = if stripes.is_empty() {
        P5
    } else {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, 0u64.wrapping_sub(P1)];
        for stripe in stripes {
            for (lane, bytes) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
                *lane = round(*lane, u64::from_le_bytes(*bytes));
            }
        }
        let [a, b, c, d] = lanes;
        let start = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
        lanes.iter().fold(start, |value, &lane| (value ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4))
    };
    value = value.wrapping_add(bytes.len() as u64);
    let (words, tail) = tail.as_chunks::<8>();
    for bytes in words {
        value = (value ^ round(0, u64::from_le_bytes(*bytes))).rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
    }
    let (halves, tail) = tail.as_chunks::<4>();
    for bytes in halves {
        value = (value ^ word(bytes).wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
    }
    for &byte in tail {
        value = (value ^ u64::from(byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    value = (value ^ value >> 33).wrapping_mul(P2);
    value = (value ^ value >> 29).wrapping_mul(P3);
    value ^ value >> 32
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn agrees_with_the_published_algorithm() {
        // Values from the documentation of xxHash and of its Python package.
        assert_eq!(hash(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(hash(b"a"), 0xD24E_C4F1_A98C_6E5B);
        assert_eq!(hash(b"abc"), 0x44BC_2CF5_AD77_0999);
        assert_eq!(hash(b"Nobody inspects the spammish repetition"), 0xFBCE_A83C_8A37_8BF1);
    }
}
