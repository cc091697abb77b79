//! Multiplication of whole shards by a constant of the field, and the two butterflies of the transform.
//!
//! Multiplication by a constant is linear over bits: for GF(2^8) an 8x8 bit matrix applied to each byte. In GF(2^16) Leopard stores, in
//! every 64 bytes of a shard, the low bytes of 32 elements and then their high bytes; the product is four 8x8 matrices.

use crate::field::Field;

/// Shards are worked on in blocks of this many bytes.
pub const BLOCK: usize = 64;

/// An 8x8 bit matrix by columns: the product of each single bit.
type Columns = [u8; 8];

/// A constant, ready to multiply with.
#[derive(Clone)]
pub struct Factor {
    pub zero: bool,
    /// low to low, low to high, high to low, high to high; only the first is used in GF(2^8).
    columns: [Columns; 4],
    wide: bool,
    #[cfg(target_arch = "x86_64")]
    rows: [u64; 4],
}

impl Factor {
    pub fn new(field: &Field, constant: u16) -> Self {
        let wide = field.bits() == 16;
        let product = |bit: usize| {
            if bit < field.bits() {
                field.multiply(constant, 1 << bit)
            } else {
                0
            }
        };
        let columns = [(0, 0), (0, 8), (8, 0), (8, 8)].map(|(input, output)| {
            std::array::from_fn(|bit| (product(input + bit) >> output) as u8)
        });
        Self {
            zero: constant == 0,
            columns,
            wide,
            #[cfg(target_arch = "x86_64")]
            rows: columns.map(x86::rows),
        }
    }
}

/// x += factor * y, for blocks of whole shards of one length, a multiple of 64.
pub fn multiply_add(x: &mut [u8], y: &[u8], factor: &Factor) {
    if factor.zero {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if x86::available() {
        return x86::multiply_add(x, y, factor);
    }
    portable::multiply_add(x, y, factor);
}

/// The forward butterfly: x += factor * y, then y += x.
pub fn forward(x: &mut [u8], y: &mut [u8], factor: &Factor) {
    #[cfg(target_arch = "x86_64")]
    if x86::available() {
        return x86::forward(x, y, factor);
    }
    multiply_add(x, y, factor);
    add(y, x);
}

/// The inverse butterfly: y += x, then x += factor * y.
pub fn inverse(x: &mut [u8], y: &mut [u8], factor: &Factor) {
    #[cfg(target_arch = "x86_64")]
    if x86::available() {
        return x86::inverse(x, y, factor);
    }
    add(y, x);
    multiply_add(x, y, factor);
}

/// x += y
pub fn add(x: &mut [u8], y: &[u8]) {
    for (a, b) in x.iter_mut().zip(y) {
        *a ^= b;
    }
}

mod portable {
    use super::{BLOCK, Columns, Factor};

    /// Written so that compilers turn it into the vectors of any machine: a bit at a time, no tables.
    fn apply(out: &mut [u8], input: &[u8], columns: &Columns) {
        for (bit, column) in columns.iter().enumerate() {
            for (o, i) in out.iter_mut().zip(input) {
                *o ^= (i >> bit & 1).wrapping_neg() & column;
            }
        }
    }

    pub fn multiply_add(x: &mut [u8], y: &[u8], factor: &Factor) {
        if !factor.wide {
            for (x, y) in x.chunks_exact_mut(BLOCK).zip(y.chunks_exact(BLOCK)) {
                apply(x, y, &factor.columns[0]);
            }
            return;
        }
        for (x, y) in x.chunks_exact_mut(BLOCK).zip(y.chunks_exact(BLOCK)) {
            let (x_low, x_high) = x.split_at_mut(BLOCK / 2);
            let (y_low, y_high) = y.split_at(BLOCK / 2);
            apply(x_low, y_low, &factor.columns[0]);
            apply(x_high, y_low, &factor.columns[1]);
            apply(x_low, y_high, &factor.columns[2]);
            apply(x_high, y_high, &factor.columns[3]);
        }
    }
}

/// GFNI applies an 8x8 bit matrix to 64 bytes in one instruction.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use super::{BLOCK, Columns, Factor};
    use std::arch::x86_64::*;
    use std::sync::LazyLock;

    /// The matrix as GF2P8AFFINEQB takes it: byte 7 - i holds the mask of input bits that make output bit i.
    pub fn rows(columns: Columns) -> u64 {
        let mut rows = [0u8; 8];
        for (input, column) in columns.iter().enumerate() {
            for (output, row) in rows.iter_mut().rev().enumerate() {
                *row |= (column >> output & 1) << input;
            }
        }
        u64::from_le_bytes(rows)
    }

    pub fn available() -> bool {
        static FOUND: LazyLock<bool> = LazyLock::new(|| {
            is_x86_feature_detected!("gfni") && is_x86_feature_detected!("avx512bw")
        });
        *FOUND
    }

    pub fn multiply_add(x: &mut [u8], y: &[u8], factor: &Factor) {
        // SAFETY: `available` found the features; callers of this module ask it first.
        unsafe { multiply_add_512(x, y, factor) }
    }

    pub fn forward(x: &mut [u8], y: &mut [u8], factor: &Factor) {
        // SAFETY: as above.
        unsafe { forward_512(x, y, factor) }
    }

    pub fn inverse(x: &mut [u8], y: &mut [u8], factor: &Factor) {
        // SAFETY: as above.
        unsafe { inverse_512(x, y, factor) }
    }

    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn load(bytes: &[u8]) -> __m512i {
        assert!(bytes.len() >= BLOCK);
        // SAFETY: the length was checked; the load needs no alignment.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn store(bytes: &mut [u8], value: __m512i) {
        assert!(bytes.len() >= BLOCK);
        // SAFETY: as above.
        unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), value) }
    }

    /// The matrices in the lanes of a block: `[straight, crossed]`, the second for the block with its halves swapped.
    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn matrices(factor: &Factor) -> [__m512i; 2] {
        let r = factor.rows.map(|row| row as i64);
        if !factor.wide {
            return [_mm512_set1_epi64(r[0]), _mm512_setzero_si512()];
        }
        [
            _mm512_setr_epi64(r[0], r[0], r[0], r[0], r[3], r[3], r[3], r[3]),
            _mm512_setr_epi64(r[2], r[2], r[2], r[2], r[1], r[1], r[1], r[1]),
        ]
    }

    #[inline]
    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn product<const WIDE: bool>(y: __m512i, m: [__m512i; 2]) -> __m512i {
        let straight = _mm512_gf2p8affine_epi64_epi8::<0>(y, m[0]);
        if !WIDE {
            return straight;
        }
        let swapped = _mm512_shuffle_i64x2::<0b01_00_11_10>(y, y);
        _mm512_xor_si512(straight, _mm512_gf2p8affine_epi64_epi8::<0>(swapped, m[1]))
    }

    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn multiply_add_512(x: &mut [u8], y: &[u8], factor: &Factor) {
        if factor.wide {
            multiply_add_of::<true>(x, y, factor)
        } else {
            multiply_add_of::<false>(x, y, factor)
        }
    }

    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn multiply_add_of<const WIDE: bool>(x: &mut [u8], y: &[u8], factor: &Factor) {
        let m = matrices(factor);
        for (x, y) in x.chunks_exact_mut(BLOCK).zip(y.chunks_exact(BLOCK)) {
            let sum = _mm512_xor_si512(load(x), product::<WIDE>(load(y), m));
            store(x, sum);
        }
    }

    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn forward_512(x: &mut [u8], y: &mut [u8], factor: &Factor) {
        if factor.wide {
            forward_of::<true>(x, y, factor)
        } else {
            forward_of::<false>(x, y, factor)
        }
    }

    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn forward_of<const WIDE: bool>(x: &mut [u8], y: &mut [u8], factor: &Factor) {
        let m = matrices(factor);
        for (x, y) in x.chunks_exact_mut(BLOCK).zip(y.chunks_exact_mut(BLOCK)) {
            let right = load(y);
            let left = _mm512_xor_si512(load(x), product::<WIDE>(right, m));
            store(x, left);
            store(y, _mm512_xor_si512(right, left));
        }
    }

    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn inverse_512(x: &mut [u8], y: &mut [u8], factor: &Factor) {
        if factor.wide {
            inverse_of::<true>(x, y, factor)
        } else {
            inverse_of::<false>(x, y, factor)
        }
    }

    #[target_feature(enable = "gfni,avx512f,avx512bw")]
    fn inverse_of<const WIDE: bool>(x: &mut [u8], y: &mut [u8], factor: &Factor) {
        let m = matrices(factor);
        for (x, y) in x.chunks_exact_mut(BLOCK).zip(y.chunks_exact_mut(BLOCK)) {
            let left = load(x);
            let right = _mm512_xor_si512(load(y), left);
            store(y, right);
            store(x, _mm512_xor_si512(left, product::<WIDE>(right, m)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_multiplies_as_the_field_does() {
        for field in [Field::gf8(), Field::gf16()] {
            for constant in [0u16, 1, 2, 77, 200, 255] {
                let factor = Factor::new(&field, constant);
                let y: Vec<u8> = (0..2 * BLOCK).map(|i| (i * 37 + 11) as u8).collect();
                let (mut fast, mut slow) = (vec![0u8; y.len()], vec![0u8; y.len()]);
                multiply_add(&mut fast, &y, &factor);
                portable::multiply_add(&mut slow, &y, &factor);
                assert_eq!(fast, slow);
                for i in 0..BLOCK / 2 {
                    if field.bits() == 16 {
                        let element = u16::from(y[i]) | u16::from(y[i + 32]) << 8;
                        let got = u16::from(fast[i]) | u16::from(fast[i + 32]) << 8;
                        assert_eq!(got, field.multiply(element, constant));
                    } else {
                        assert_eq!(
                            u16::from(fast[i]),
                            field.multiply(u16::from(y[i]), constant)
                        );
                    }
                }
            }
        }
    }
}
