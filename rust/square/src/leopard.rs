//! The Leopard code at rate one half: k data shards, k parity shards, k a power of two.
//!
//! The data are the values of a polynomial of degree below k at the points k to 2k - 1, the parity its values at 0 to k - 1, both by the
//! additive transform of Lin, Chung and Han ("Novel polynomial basis and its application to Reed-Solomon erasure codes", 2014).
//! Up to 256 shards in all the field is GF(2^8), beyond it GF(2^16), as in rsmt2d.

use crate::SHARE;
use crate::bytes::{Factor, LINE, Line};
use crate::field::Field;
#[cfg(target_arch = "x86_64")]
use crate::transform::fused;
use crate::transform::{differentiate, forward, inverse, multiply};

/// A shard has so many lines. Each line of all shards is transformed for itself, in the cache nearest to the processor.
const LINES: usize = SHARE / LINE;

/// A code for one k: the factors of its butterflies, level by level.
pub struct Code {
    k: usize,
    field: Field,
    /// Transforms over k points from point k on, and over 2k points from 0 on: `[level][group]`.
    upper: Vec<Vec<Factor>>,
    whole: Vec<Vec<Factor>>,
    /// The transformed logarithms of the 2k points.
    logs: Vec<i64>,
}

/// Memory to work in, for one thread: the first lines of all shards, the second lines, and so on.
#[derive(Default)]
pub struct Work(Vec<Line>);

impl Work {
    /// Room for each line of so many shards, `stride` of them; what it holds is left over from before.
    fn room(&mut self, stride: usize) -> &mut [Line] {
        if self.0.len() < stride * LINES {
            self.0.resize(stride * LINES, Line::ZERO);
        }
        &mut self.0[..stride * LINES]
    }
}

/// From one line of the first shard to its next. Were this a power of two, the lines of a shard would have the same place in the cache
/// and drive each other out.
fn stride(shards: usize) -> usize {
    shards + 1
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
        let log = |point| match point {
            0 => 0,
            _ => field.log(point) as i64,
        };
        let mut logs: Vec<i64> = (0..2 * k).map(|point| log(point as u16)).collect();
        walsh_hadamard(&mut logs);
        Self {
            k,
            upper: factors(k, k),
            whole: factors(2 * k, 0),
            logs,
            field,
        }
    }

    pub fn k(&self) -> usize {
        self.k
    }

    /// Writes the `k` parity shards of `k` data shards. `far` says that the parity is not read again soon.
    pub fn encode<'d, 'p>(
        &self,
        data: impl Iterator<Item = &'d [u8]> + Clone,
        parity: impl Iterator<Item = &'p mut [u8]>,
        far: bool,
        work: &mut Work,
    ) {
        #[cfg(target_arch = "x86_64")]
        if fused::serves(&self.upper) {
            let stride = stride(self.k);
            let planes = (work.room(stride), stride);
            let whole = &self.whole[..self.upper.len()];
            return fused::encode(data, parity, far, planes, &self.upper, whole);
        }
        let _ = far;
        self.encode_plainly(data, parity, work);
    }

    /// On any machine, for any `k`.
    fn encode_plainly<'d, 'p>(
        &self,
        data: impl Iterator<Item = &'d [u8]>,
        parity: impl Iterator<Item = &'p mut [u8]>,
        work: &mut Work,
    ) {
        let stride = stride(self.k);
        let lines = work.room(stride);
        for (at, shard) in data.enumerate() {
            for (line, bytes) in shard.as_chunks::<LINE>().0.iter().enumerate() {
                lines[line * stride + at].0 = *bytes;
            }
        }
        for lines in lines.chunks_exact_mut(stride) {
            let lines = &mut lines[..self.k];
            inverse(lines, &self.upper);
            forward(lines, &self.whole[..self.upper.len()]);
        }
        for (at, shard) in parity.enumerate() {
            let from = lines[at..].iter().step_by(stride);
            for (to, from) in shard.as_chunks_mut::<LINE>().0.iter_mut().zip(from) {
                *to = from.0;
            }
        }
    }

    /// Fills the missing of 2k shards (data, then parity), of which at least k are present. If more than k are and they do
    /// not lie on one codeword, what is filled in is meaningless: encode again to see.
    pub fn decode(&self, shards: &mut [&mut [u8]], present: &[bool], work: &mut Work) {
        let points = 2 * self.k;
        assert_eq!((shards.len(), present.len()), (points, points));
        assert!(
            present.iter().filter(|&&p| p).count() >= self.k,
            "too few shards"
        );
        let locator = self.locator_logs(present);
        let modulus = self.field.modulus();
        let stride = stride(points);
        let lines = work.room(stride);
        lines.fill(Line::ZERO);
        for (shard, bytes) in shards.iter().enumerate().filter(|(at, _)| present[*at]) {
            let point = shard ^ self.k;
            let factor = Factor::new(&self.field, self.field.exp(locator[point]));
            let mut values = [Line::ZERO; LINES];
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<LINE>().0) {
                value.0 = *bytes;
            }
            multiply(&mut values, &factor);
            for (to, value) in lines[point..].iter_mut().step_by(stride).zip(values) {
                *to = value;
            }
        }
        for lines in lines.chunks_exact_mut(stride) {
            let lines = &mut lines[..points];
            inverse(lines, &self.whole);
            differentiate(lines);
            forward(lines, &self.whole);
        }
        for (shard, bytes) in shards
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| !present[*at])
        {
            let point = shard ^ self.k;
            let log = modulus - locator[point] % modulus;
            let factor = Factor::new(&self.field, self.field.exp(log));
            let mut values = [Line::ZERO; LINES];
            for (value, from) in values.iter_mut().zip(lines[point..].iter().step_by(stride)) {
                *value = *from;
            }
            multiply(&mut values, &factor);
            for (to, value) in bytes.as_chunks_mut::<LINE>().0.iter_mut().zip(values) {
                *to = value.0;
            }
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
        walsh_hadamard(&mut missing);
        let mut product: Vec<i64> = missing.iter().zip(&self.logs).map(|(a, b)| a * b).collect();
        walsh_hadamard(&mut product);
        // Each is so many times too large.
        let (shift, modulus) = (points.trailing_zeros(), self.field.modulus() as u32);
        product
            .iter()
            .map(|sum| ((sum >> shift) as u32 % modulus) as usize)
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
    fn parity_is_the_same_however_it_is_computed_and_wherever_it_is_written() {
        for k in (0..10).map(|level| 1usize << level) {
            let code = Code::new(k);
            let data = noise(k * SHARE + 1, k as u64);
            let mut work = Work::default();
            for from in [0, 1] {
                let data = || data[from..].chunks_exact(SHARE);
                let mut want = vec![0; k * SHARE];
                code.encode_plainly(data(), want.chunks_exact_mut(SHARE), &mut work);
                let mut room = vec![0; k * SHARE + 2 * LINE];
                let aligned = LINE - room.as_ptr().addr() % LINE;
                for (to, far) in [(0, false), (0, true), (1, false), (16, true)] {
                    let parity = &mut room[aligned + to..][..k * SHARE];
                    parity.fill(0xee);
                    let shards = parity.chunks_exact_mut(SHARE);
                    code.encode(data(), shards, far, &mut work);
                    assert!(
                        parity == want,
                        "k = {k}, {to} bytes off a line, far = {far}"
                    );
                }
            }
        }
    }

    #[test]
    fn any_half_of_the_shards_gives_all_of_them() {
        for k in [1usize, 2, 4, 32, 128, 256] {
            let code = Code::new(k);
            let data = noise(k * SHARE, k as u64);
            let (mut parity, mut work) = (vec![0; k * SHARE], Work::default());
            let shards = data.chunks_exact(SHARE);
            code.encode(shards, parity.chunks_exact_mut(SHARE), false, &mut work);
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
                let mut shards: Vec<&mut [u8]> = cut.chunks_exact_mut(SHARE).collect();
                code.decode(&mut shards, &present, &mut work);
                assert!(cut == whole, "k = {k}, {extra} more than needed");
            }
        }
    }
}
