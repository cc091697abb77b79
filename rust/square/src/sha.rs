//! SHA-256 of messages side by side. The instructions for it take four times as long to finish as to start, so four messages take
//! little longer than one; where there are none, the `sha2` crate does them one by one.

use rayon::prelude::*;

/// How many messages are hashed side by side.
pub const LANES: usize = 4;

/// Bytes of a block.
pub const BLOCK: usize = 64;

const INITIAL: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

/// Writes the padding of a message of `length` bytes at the end of its last block or blocks, `N` bytes of which the message fills all
/// but the rest of `length`; the bytes between must be zero.
pub const fn pad<const N: usize>(mut tail: [u8; N], length: usize) -> [u8; N] {
    tail[N - (length / BLOCK * BLOCK + BLOCK - length)] = 0x80;
    let bits = (length as u64 * 8).to_be_bytes();
    let mut i = 0;
    while i < 8 {
        tail[N - 8 + i] = bits[i];
        i += 1;
    }
    tail
}

/// The digests of `LANES` padded messages, each given in parts of whole blocks: `parts[i][lane]`, of one length for all lanes.
pub fn digests<const PARTS: usize>(parts: &[[&[u8]; LANES]; PARTS]) -> [[u8; 32]; LANES] {
    for part in parts {
        assert!(
            part.iter()
                .all(|lane| lane.len() == part[0].len() && lane.len().is_multiple_of(BLOCK))
        );
    }
    #[cfg(target_arch = "x86_64")]
    if x86::available() {
        return x86::digests(parts);
    }
    portable(parts)
}

/// The digests of messages of one length that lie side by side. A rest that is too short for a message is not hashed.
pub fn many(messages: &[u8], length: usize) -> Vec<[u8; 32]> {
    const EMPTY: usize = 2 * BLOCK;
    let whole = length / BLOCK * BLOCK;
    let padded = if length - whole < BLOCK - 8 {
        BLOCK
    } else {
        EMPTY
    };
    let message = |at: usize| &messages[at * length..][..length];
    let count = messages.len().checked_div(length).unwrap_or(0);
    let mut out = vec![[0; 32]; count];
    out.par_chunks_mut(LANES)
        .enumerate()
        .for_each(|(group, out)| {
            let at = |lane: usize| LANES * group + lane.min(out.len() - 1);
            let mut tails = [[0; EMPTY]; LANES];
            for (lane, tail) in tails.iter_mut().enumerate() {
                let tail = &mut tail[..padded];
                tail[..length - whole].copy_from_slice(&message(at(lane))[whole..]);
                tail[length - whole] = 0x80;
                tail[padded - 8..].copy_from_slice(&(length as u64 * 8).to_be_bytes());
            }
            let parts = [
                std::array::from_fn(|lane| &message(at(lane))[..whole]),
                tails.each_ref().map(|tail| &tail[..padded]),
            ];
            out.copy_from_slice(&digests(&parts)[..out.len()]);
        });
    out
}

fn portable(parts: &[[&[u8]; LANES]]) -> [[u8; 32]; LANES] {
    use sha2::digest::generic_array::GenericArray;
    std::array::from_fn(|lane| {
        let mut state = INITIAL;
        for part in parts {
            for block in part[lane].chunks_exact(BLOCK) {
                sha2::compress256(&mut state, &[*GenericArray::from_slice(block)]);
            }
        }
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    })
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use super::{BLOCK, INITIAL, LANES};
    use std::arch::x86_64::*;
    use std::sync::LazyLock;

    /// The round constants of FIPS 180-4, four to a row.
    #[rustfmt::skip]
    const ROUNDS: [[u32; 4]; 16] = [
        [0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5], [0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5],
        [0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3], [0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174],
        [0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc], [0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da],
        [0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7], [0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967],
        [0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13], [0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85],
        [0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3], [0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070],
        [0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5], [0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3],
        [0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208], [0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2],
    ];

    pub fn available() -> bool {
        static FOUND: LazyLock<bool> = LazyLock::new(|| {
            !crate::cpu::portable()
                && is_x86_feature_detected!("sha")
                && is_x86_feature_detected!("avx")
        });
        *FOUND
    }

    pub fn digests<const PARTS: usize>(parts: &[[&[u8]; LANES]; PARTS]) -> [[u8; 32]; LANES] {
        // SAFETY: `available` found the features; the caller asked it first.
        unsafe { digests_ni(parts) }
    }

    #[inline]
    #[target_feature(enable = "sha,avx")]
    fn words(a: [u32; 4]) -> __m128i {
        _mm_setr_epi32(a[0] as i32, a[1] as i32, a[2] as i32, a[3] as i32)
    }

    #[inline]
    #[target_feature(enable = "sha,avx")]
    fn swap_bytes(words: __m128i) -> __m128i {
        _mm_shuffle_epi8(
            words,
            _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12),
        )
    }

    #[inline]
    #[target_feature(enable = "sha,avx")]
    fn load(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: a reference to 16 bytes; the load needs no alignment.
        swap_bytes(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
    }

    /// The state as SHA256RNDS2 wants it: (a b e f) and (c d g h), highest first, for each lane.
    #[target_feature(enable = "sha,avx")]
    fn digests_ni<const PARTS: usize>(parts: &[[&[u8]; LANES]; PARTS]) -> [[u8; 32]; LANES] {
        let [a, b, c, d, e, f, g, h] = INITIAL;
        let mut abef = [words([f, e, b, a]); LANES];
        let mut cdgh = [words([h, g, d, c]); LANES];
        for part in parts {
            compress(&mut abef, &mut cdgh, part);
        }
        let mut out = [[0u8; 32]; LANES];
        for lane in 0..LANES {
            let abcd = _mm_unpackhi_epi64(abef[lane], cdgh[lane]);
            let efgh = _mm_unpacklo_epi64(abef[lane], cdgh[lane]);
            let halves = out[lane].split_at_mut(16);
            for (half, words) in [(halves.0, abcd), (halves.1, efgh)] {
                let big_endian = swap_bytes(_mm_shuffle_epi32::<0b10_11_00_01>(words));
                let half: &mut [u8; 16] = half.try_into().expect("16 bytes");
                // SAFETY: a reference to 16 bytes; the store needs no alignment.
                unsafe { _mm_storeu_si128(half.as_mut_ptr().cast(), big_endian) };
            }
        }
        out
    }

    /// Four rounds, from `4 * ROW` on, and the four words of the schedule that take the place of those used.
    #[inline]
    #[target_feature(enable = "sha,avx")]
    fn four_rounds<const ROW: usize>(
        abef: &mut [__m128i; LANES],
        cdgh: &mut [__m128i; LANES],
        w: &mut [[__m128i; LANES]; 4],
    ) {
        let constants = words(ROUNDS[ROW]);
        for lane in 0..LANES {
            let (w0, w1) = (w[ROW % 4][lane], w[(ROW + 1) % 4][lane]);
            let (w2, w3) = (w[(ROW + 2) % 4][lane], w[(ROW + 3) % 4][lane]);
            let sum = _mm_add_epi32(w0, constants);
            cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sum);
            abef[lane] = _mm_sha256rnds2_epu32(
                abef[lane],
                cdgh[lane],
                _mm_shuffle_epi32::<0b00_00_11_10>(sum),
            );
            if ROW < 12 {
                let older = _mm_sha256msg1_epu32(w0, w1);
                let shifted = _mm_alignr_epi8::<4>(w3, w2);
                w[ROW % 4][lane] = _mm_sha256msg2_epu32(_mm_add_epi32(older, shifted), w3);
            }
        }
    }

    /// Takes in all blocks of a part.
    #[inline]
    #[target_feature(enable = "sha,avx")]
    fn compress(
        state_abef: &mut [__m128i; LANES],
        state_cdgh: &mut [__m128i; LANES],
        part: &[&[u8]; LANES],
    ) {
        let (mut abef, mut cdgh) = (*state_abef, *state_cdgh);
        for at in 0..part[0].len() / BLOCK {
            block(&mut abef, &mut cdgh, part, at);
        }
        (*state_abef, *state_cdgh) = (abef, cdgh);
    }

    #[inline]
    #[target_feature(enable = "sha,avx")]
    fn block(
        abef: &mut [__m128i; LANES],
        cdgh: &mut [__m128i; LANES],
        part: &[&[u8]; LANES],
        at: usize,
    ) {
        let (before_abef, before_cdgh) = (*abef, *cdgh);
        let mut w = [[_mm_setzero_si128(); LANES]; 4];
        for (lane, bytes) in part.iter().enumerate() {
            let block = &bytes.as_chunks::<BLOCK>().0[at];
            for (words, bytes) in w.iter_mut().zip(block.as_chunks::<16>().0) {
                words[lane] = load(bytes);
            }
        }
        // Not a loop: where words lie must be known when this is compiled, for them to lie in registers.
        four_rounds::<0>(abef, cdgh, &mut w);
        four_rounds::<1>(abef, cdgh, &mut w);
        four_rounds::<2>(abef, cdgh, &mut w);
        four_rounds::<3>(abef, cdgh, &mut w);
        four_rounds::<4>(abef, cdgh, &mut w);
        four_rounds::<5>(abef, cdgh, &mut w);
        four_rounds::<6>(abef, cdgh, &mut w);
        four_rounds::<7>(abef, cdgh, &mut w);
        four_rounds::<8>(abef, cdgh, &mut w);
        four_rounds::<9>(abef, cdgh, &mut w);
        four_rounds::<10>(abef, cdgh, &mut w);
        four_rounds::<11>(abef, cdgh, &mut w);
        four_rounds::<12>(abef, cdgh, &mut w);
        four_rounds::<13>(abef, cdgh, &mut w);
        four_rounds::<14>(abef, cdgh, &mut w);
        four_rounds::<15>(abef, cdgh, &mut w);
        for lane in 0..LANES {
            abef[lane] = _mm_add_epi32(abef[lane], before_abef[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], before_cdgh[lane]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn every_kernel_is_sha_256() {
        const LENGTH: usize = 181;
        let messages: [[u8; LENGTH]; LANES] =
            std::array::from_fn(|lane| std::array::from_fn(|i| ((2 * lane + 1) * i) as u8));
        let padded = messages.map(|message| {
            let mut blocks = pad([0; 192], LENGTH);
            blocks[..LENGTH].copy_from_slice(&message);
            blocks
        });
        let want = messages.map(|message| <[u8; 32]>::from(Sha256::digest(message)));
        assert_eq!(digests(&[padded.each_ref().map(|m| m.as_slice())]), want);
        assert_eq!(portable(&[padded.each_ref().map(|m| m.as_slice())]), want);
        let parts = [
            padded.each_ref().map(|m| &m[..64]),
            padded.each_ref().map(|m| &m[64..]),
        ];
        assert_eq!(digests(&parts), want);
    }

    #[test]
    fn messages_of_any_length_are_hashed_side_by_side() {
        let bytes: Vec<u8> = (0..7 * 200).map(|i| (i * 31) as u8).collect();
        assert!(many(&bytes, 0).is_empty());
        assert!(many(&bytes[..9], 10).is_empty());
        for length in 1..200 {
            let messages = &bytes[..7 * length];
            let want: Vec<[u8; 32]> = messages
                .chunks_exact(length)
                .map(|message| Sha256::digest(message).into())
                .collect();
            assert_eq!(many(messages, length), want, "{length} bytes");
        }
    }
}
