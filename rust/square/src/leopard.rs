//! The Leopard code at rate one half: k data shards, k parity shards, k a power of two.
//!
//! The data are the values of a polynomial of degree below k at the points k to 2k - 1, the parity its values at 0 to k - 1, both by the
//! additive transform of Lin, Chung and Han ("Novel polynomial basis and its application to Reed-Solomon erasure codes", 2014).
//! Up to 256 shards in all the field is GF(2^8), beyond it GF(2^16), as in rsmt2d.

use crate::SHARE;
use crate::bytes::{Factor, add, forward, inverse, multiply_add};
use crate::field::Field;

/// A code for one k: the factors of its butterflies, level by level.
pub struct Code {
    k: usize,
    field: Field,
    /// Transforms over k points from point k on, and over 2k points from 0 on: `[level][group]`.
    upper: Vec<Vec<Factor>>,
    whole: Vec<Vec<Factor>>,
}

impl Code {
    /// `k` is a power of two, at most 32,768.
    pub fn new(k: usize) -> Self {
        assert!(k.is_power_of_two() && k <= 1 << 15, "k = {k}");
        let field = if 2 * k <= 256 {
            Field::gf8()
        } else {
            Field::gf16()
        };
        let factors = |points: usize, first: usize| -> Vec<Vec<Factor>> {
            (0..points.trailing_zeros() as usize)
                .map(|level| {
                    (0..points >> (level + 1))
                        .map(|group| {
                            Factor::new(&field, field.skew(level, first + (group << (level + 1))))
                        })
                        .collect()
                })
                .collect()
        };
        Self {
            k,
            upper: factors(k, k),
            whole: factors(2 * k, 0),
            field,
        }
    }

    pub fn k(&self) -> usize {
        self.k
    }

    /// Writes the parity of `k` shards of `size` bytes.
    pub fn encode(&self, data: &[u8], parity: &mut [u8], size: usize) {
        parity.copy_from_slice(data);
        self.encode_in_place(parity, size);
    }

    /// Turns `k` shards of `size` bytes into their parity.
    pub fn encode_in_place(&self, shards: &mut [u8], size: usize) {
        assert_eq!(shards.len(), self.k * size);
        inverse_transform(shards, size, &self.upper);
        forward_transform(shards, size, &self.whole[..self.upper.len()]);
    }

    /// Fills the missing of 2k shards (data, then parity), of which at least k are present. If more than k are and they do
    /// not lie on one codeword, what is filled in is meaningless: encode again to see.
    pub fn decode(&self, shards: &mut [u8], present: &[bool]) {
        assert_eq!(
            (shards.len(), present.len()),
            (2 * self.k * SHARE, 2 * self.k)
        );
        assert!(
            present.iter().filter(|&&p| p).count() >= self.k,
            "too few shards"
        );
        let locator = self.locator_logs(present);
        let modulus = self.field.modulus();
        let point = |shard: usize| shard ^ self.k;
        let mut work = vec![0u8; shards.len()];
        for (shard, bytes) in shards
            .chunks_exact(SHARE)
            .enumerate()
            .filter(|(shard, _)| present[*shard])
        {
            let factor = Factor::new(&self.field, self.field.exp(locator[point(shard)]));
            multiply_add(&mut work[point(shard) * SHARE..][..SHARE], bytes, &factor);
        }
        inverse_transform(&mut work, SHARE, &self.whole);
        differentiate(&mut work, SHARE);
        forward_transform(&mut work, SHARE, &self.whole);
        for (shard, bytes) in shards
            .chunks_exact_mut(SHARE)
            .enumerate()
            .filter(|(shard, _)| !present[*shard])
        {
            let factor = Factor::new(
                &self.field,
                self.field.exp(modulus - locator[point(shard)] % modulus),
            );
            bytes.fill(0);
            multiply_add(bytes, &work[point(shard) * SHARE..][..SHARE], &factor);
        }
    }

    /// For each of the 2k points, the logarithm of the product of its differences to all other missing points.
    ///
    /// Differences are XORs of indexes, so this is an XOR convolution of the logarithms with the missing points, by a
    /// Walsh-Hadamard transform over these 2k points alone, in integers.
    fn locator_logs(&self, present: &[bool]) -> Vec<usize> {
        let points = 2 * self.k;
        let mut missing: Vec<i64> = (0..points)
            .map(|point| i64::from(!present[point ^ self.k]))
            .collect();
        let mut logs: Vec<i64> = (0..points)
            .map(|point| {
                if point == 0 {
                    0
                } else {
                    self.field.log(point as u16) as i64
                }
            })
            .collect();
        walsh_hadamard(&mut missing);
        walsh_hadamard(&mut logs);
        let mut product: Vec<i64> = missing.iter().zip(&logs).map(|(a, b)| a * b).collect();
        walsh_hadamard(&mut product);
        product
            .iter()
            .map(|sum| (sum / points as i64) as usize % self.field.modulus())
            .collect()
    }
}

fn walsh_hadamard(values: &mut [i64]) {
    let mut width = 1;
    while width < values.len() {
        for group in values.chunks_exact_mut(2 * width) {
            let (left, right) = group.split_at_mut(width);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        width *= 2;
    }
}

fn inverse_transform(work: &mut [u8], size: usize, factors: &[Vec<Factor>]) {
    for (level, factors) in factors.iter().enumerate() {
        let half = size << level;
        for (group, factor) in work.chunks_exact_mut(2 * half).zip(factors) {
            let (x, y) = group.split_at_mut(half);
            inverse(x, y, factor);
        }
    }
}

fn forward_transform(work: &mut [u8], size: usize, factors: &[Vec<Factor>]) {
    for (level, factors) in factors.iter().enumerate().rev() {
        let half = size << level;
        for (group, factor) in work.chunks_exact_mut(2 * half).zip(factors) {
            let (x, y) = group.split_at_mut(half);
            forward(x, y, factor);
        }
    }
}

/// The formal derivative in the transform's basis, where the derivative of each basis polynomial is the one without its lowest bits.
fn differentiate(work: &mut [u8], size: usize) {
    for index in 1..work.len() / size {
        let width = 1 << index.trailing_zeros();
        let (left, right) = work.split_at_mut(index * size);
        let from = left.len() - width * size;
        let count = (width * size).min(right.len());
        add(&mut left[from..from + count], &right[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect()
    }

    #[test]
    fn any_half_of_the_shards_gives_all_of_them() {
        for k in [1usize, 2, 4, 32, 128, 256] {
            let code = Code::new(k);
            let data = noise(k * SHARE, k as u64);
            let mut parity = vec![0; k * SHARE];
            code.encode(&data, &mut parity, SHARE);
            let whole = [data, parity].concat();
            for extra in [0, k / 2] {
                let order = noise(2 * k, 7 + extra as u64);
                let mut indexes: Vec<usize> = (0..2 * k).collect();
                indexes.sort_by_key(|&i| order[i]);
                let mut present = vec![false; 2 * k];
                indexes[..k + extra].iter().for_each(|&i| present[i] = true);
                let mut cut = whole.clone();
                for (i, shard) in cut.chunks_exact_mut(SHARE).enumerate() {
                    if !present[i] {
                        shard.fill(0xee);
                    }
                }
                code.decode(&mut cut, &present);
                assert!(cut == whole, "k = {k}, {extra} more than needed");
            }
        }
    }
}
