//! Multiplication of lines of bytes by a constant of the field.
//!
//! It is linear over bits: for GF(2^8) an 8x8 bit matrix applied to each byte. In GF(2^16) Leopard stores, in every 64 bytes of a shard,
//! the low bytes of 32 elements and then their high bytes; the product is four 8x8 matrices.

use crate::field::Field;

/// Shards are worked on in lines of this many bytes.
pub const LINE: usize = 64;

/// A line of a shard, where the widest vectors can be loaded from at once.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Line(pub [u8; LINE]);

impl Line {
    pub const ZERO: Self = Self([0; LINE]);

    pub fn add(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a ^= b;
        }
    }

    /// self += factor * other
    pub fn add_product(&mut self, other: &Self, factor: &Factor) {
        let (x, y, m) = (&mut self.0, &other.0, &factor.matrices);
        if !factor.wide {
            return apply(x, y, m[0]);
        }
        let (x_low, x_high) = x.split_at_mut(LINE / 2);
        let (y_low, y_high) = y.split_at(LINE / 2);
        apply(x_low, y_low, m[0]);
        apply(x_high, y_low, m[1]);
        apply(x_low, y_high, m[2]);
        apply(x_high, y_high, m[3]);
    }
}

/// Written so that compilers turn it into the vectors of any machine: a bit at a time, no tables.
fn apply(out: &mut [u8], input: &[u8], matrix: u64) {
    // The matrix by columns: the product of each single bit.
    let columns = transpose(matrix.swap_bytes()).to_le_bytes();
    for (bit, column) in columns.iter().enumerate() {
        for (o, i) in out.iter_mut().zip(input) {
            *o ^= (i >> bit & 1).wrapping_neg() & column;
        }
    }
}

/// A constant, ready to multiply with.
#[derive(Clone)]
pub struct Factor {
    pub wide: bool,
    /// Low to low, low to high, high to low, high to high; only the first is used in GF(2^8). As GF2P8AFFINEQB takes a matrix: byte
    /// 7 - i holds the mask of input bits that make output bit i.
    pub matrices: [u64; 4],
}

impl Factor {
    pub fn new(field: &Field, constant: u16) -> Self {
        let wide = field.bits() == 16;
        let mut columns = [[0u8; 8]; 4];
        for bit in 0..field.bits() {
            let product = field.multiply(constant, 1 << bit);
            columns[bit / 8 * 2][bit % 8] = product as u8;
            columns[bit / 8 * 2 + 1][bit % 8] = (product >> 8) as u8;
        }
        Self {
            wide,
            matrices: columns.map(|c| transpose(u64::from_le_bytes(c)).swap_bytes()),
        }
    }
}

/// The transpose of an 8x8 bit matrix whose row i is byte i: swaps of ever larger blocks across the diagonal.
fn transpose(mut m: u64) -> u64 {
    for (shift, mask) in [
        (7, 0x00aa_00aa_00aa_00aa),
        (14, 0x0000_cccc_0000_cccc),
        (28, 0x0000_0000_f0f0_f0f0),
    ] {
        let swapped = (m ^ m >> shift) & mask;
        m ^= swapped ^ swapped << shift;
    }
    m
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_multiplied_as_the_field_does() {
        for field in [Field::gf8(), Field::gf16()] {
            for constant in [0u16, 1, 2, 77, 200, 255] {
                let factor = Factor::new(&field, constant);
                let y = Line(std::array::from_fn(|i| (i * 37 + 11) as u8));
                let mut x = Line::ZERO;
                x.add_product(&y, &factor);
                for i in 0..LINE / 2 {
                    if field.bits() == 16 {
                        let element = u16::from(y.0[i]) | u16::from(y.0[i + 32]) << 8;
                        let got = u16::from(x.0[i]) | u16::from(x.0[i + 32]) << 8;
                        assert_eq!(got, field.multiply(element, constant));
                    } else {
                        let got = u16::from(x.0[i]);
                        assert_eq!(got, field.multiply(u16::from(y.0[i]), constant));
                    }
                }
            }
        }
    }
}
