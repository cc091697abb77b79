//! Keccak-256 of many messages at once: eight side by side where the processor has AVX-512, one after the other elsewhere.
//!
//! Source: FIPS 202, section 3 (the permutation), with Keccak's own padding, as Ethereum has it. The keys and nodes of a trie are
//! short and many: hashed side by side they take a third of the time. `DOUGONG_PORTABLE` in the environment turns it off.

use alloy_primitives::{B256, keccak256};

/// Bytes that the permutation takes in at a time.
const RATE: usize = 136;

/// The hash of each message, in order.
pub fn all<T: AsRef<[u8]>>(messages: &[T]) -> Vec<B256> {
    #[cfg(target_arch = "x86_64")]
    if messages.len() >= wide::FEWEST && wide::available() {
        return wide::all(messages);
    }
    messages.iter().map(keccak256).collect()
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use super::RATE;
    use alloy_primitives::{B256, keccak256};
    use std::arch::x86_64::*;
    use std::sync::LazyLock;

    const LANES: usize = 8;
    /// Fewer messages are faster one after the other.
    pub const FEWEST: usize = 3;
    /// Longer messages than this many blocks are rare: each alone.
    const MOST_BLOCKS: usize = 5;

    pub fn available() -> bool {
        static FOUND: LazyLock<bool> = LazyLock::new(|| {
            std::env::var_os("DOUGONG_PORTABLE").is_none() && is_x86_feature_detected!("avx512f")
        });
        *FOUND
    }

    /// Messages of as many blocks go side by side.
    pub fn all<T: AsRef<[u8]>>(messages: &[T]) -> Vec<B256> {
        let mut hashes = vec![B256::ZERO; messages.len()];
        let mut waiting: [([usize; LANES], usize); MOST_BLOCKS] = Default::default();
        for (place, message) in messages.iter().enumerate() {
            let message = message.as_ref();
            let Some((places, count)) = waiting.get_mut(message.len() / RATE) else {
                hashes[place] = keccak256(message);
                continue;
            };
            places[*count] = place;
            *count += 1;
            if *count == LANES {
                *count = 0;
                some(messages, places, &mut hashes);
            }
        }
        for (places, count) in &waiting {
            some(messages, &places[..*count], &mut hashes);
        }
        hashes
    }

    /// The hashes of eight messages at most, all of as many blocks.
    fn some<T: AsRef<[u8]>>(messages: &[T], places: &[usize], hashes: &mut [B256]) {
        if places.len() < FEWEST {
            for place in places {
                hashes[*place] = keccak256(&messages[*place]);
            }
            return;
        }
        let mut lanes: [&[u8]; LANES] = [messages[places[0]].as_ref(); LANES];
        for (lane, place) in lanes.iter_mut().zip(places) {
            *lane = messages[*place].as_ref();
        }
        // SAFETY: `available` found AVX-512; callers of this module ask it first.
        #[allow(unsafe_code)]
        let words = unsafe { sponge(&lanes) };
        for (lane, place) in places.iter().enumerate() {
            for (word, bytes) in words.iter().zip(hashes[*place].0.chunks_exact_mut(8)) {
                bytes.copy_from_slice(&word[lane].to_le_bytes());
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    fn sponge(lanes: &[&[u8]; LANES]) -> [[u64; LANES]; 4] {
        let zero = _mm512_setzero_si512();
        let mut state = [zero; 25];
        let last = lanes[0].len() / RATE;
        for block in 0..=last {
            let mut words = [[0u64; LANES]; RATE / 8];
            for (lane, message) in lanes.iter().enumerate() {
                let rest = &message[block * RATE..];
                let mut padded = [0; RATE];
                let bytes = match rest.split_first_chunk::<RATE>() {
                    Some((full, _)) if block < last => full,
                    _ => {
                        padded[..rest.len()].copy_from_slice(rest);
                        padded[rest.len()] ^= 0x01;
                        padded[RATE - 1] ^= 0x80;
                        &padded
                    }
                };
                for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    word[lane] = u64::from_le_bytes(*chunk);
                }
            }
            for (lane, word) in state.iter_mut().zip(&words) {
                *lane = _mm512_xor_si512(*lane, load(word));
            }
            permute(&mut state);
        }
        [0, 1, 2, 3].map(|word| store(state[word]))
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn load(words: &[u64; LANES]) -> __m512i {
        // SAFETY: eight words are 64 bytes; the load asks for no alignment.
        #[allow(unsafe_code)]
        unsafe {
            _mm512_loadu_si512(words.as_ptr().cast())
        }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn store(lane: __m512i) -> [u64; LANES] {
        let mut words = [0; LANES];
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe {
            _mm512_storeu_si512(words.as_mut_ptr().cast(), lane)
        };
        words
    }

    /// Steps theta, rho and pi, chi and iota, 24 times.
    #[target_feature(enable = "avx512f")]
    fn permute(state: &mut [__m512i; 25]) {
        let mut a = *state;
        for constant in ROUNDS {
            let column = |x: usize| {
                let three = _mm512_ternarylogic_epi64::<0x96>(a[x], a[x + 5], a[x + 10]);
                _mm512_ternarylogic_epi64::<0x96>(three, a[x + 15], a[x + 20])
            };
            let c = [column(0), column(1), column(2), column(3), column(4)];
            for x in 0..5 {
                let turned = _mm512_rol_epi64::<1>(c[(x + 1) % 5]);
                for y in 0..5 {
                    let lane = &mut a[x + 5 * y];
                    *lane = _mm512_ternarylogic_epi64::<0x96>(*lane, c[(x + 4) % 5], turned);
                }
            }
            let mut b = a;
            macro_rules! move_lanes {
                ($($from:literal $turn:literal $to:literal),*) => {
                    $(b[$to] = _mm512_rol_epi64::<$turn>(a[$from]);)*
                };
            }
            move_lanes!(
                1 1 10, 10 3 7, 7 6 11, 11 10 17, 17 15 18, 18 21 3, 3 28 5, 5 36 16, 16 45 8, 8 55 21, 21 2 24, 24 14 4,
                4 27 15, 15 41 23, 23 56 19, 19 8 13, 13 25 12, 12 43 2, 2 62 20, 20 18 14, 14 39 22, 22 61 9, 9 20 6, 6 44 1
            );
            for y in 0..5 {
                for x in 0..5 {
                    let at = |x: usize| b[5 * y + x % 5];
                    a[5 * y + x] = _mm512_ternarylogic_epi64::<0xD2>(at(x), at(x + 1), at(x + 2));
                }
            }
            a[0] = _mm512_xor_si512(a[0], _mm512_set1_epi64(constant as i64));
        }
        *state = a;
    }

    #[rustfmt::skip]
    const ROUNDS: [u64; 24] = [
        0x0000_0000_0000_0001, 0x0000_0000_0000_8082, 0x8000_0000_0000_808A, 0x8000_0000_8000_8000, 0x0000_0000_0000_808B,
        0x0000_0000_8000_0001, 0x8000_0000_8000_8081, 0x8000_0000_0000_8009, 0x0000_0000_0000_008A, 0x0000_0000_0000_0088,
        0x0000_0000_8000_8009, 0x0000_0000_8000_000A, 0x0000_0000_8000_808B, 0x8000_0000_0000_008B, 0x8000_0000_0000_8089,
        0x8000_0000_0000_8003, 0x8000_0000_0000_8002, 0x8000_0000_0000_0080, 0x0000_0000_0000_800A, 0x8000_0000_8000_000A,
        0x8000_0000_8000_8081, 0x8000_0000_0000_8080, 0x0000_0000_8000_0001, 0x8000_0000_8000_8008,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_length_has_its_hash() {
        let messages: Vec<Vec<u8>> = (0..900)
            .map(|length| vec![length as u8 ^ 0x5A; length])
            .collect();
        for count in 0..20 {
            for start in (0..messages.len() - count).step_by(7) {
                let some = &messages[start..start + count];
                let known: Vec<B256> = some.iter().map(keccak256).collect();
                assert_eq!(all(some), known, "{count} from {start}");
            }
        }
    }

    proptest! {
        #[test]
        fn all_have_their_hashes(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..60)) {
            let known: Vec<B256> = messages.iter().map(keccak256).collect();
            prop_assert_eq!(all(&messages), known);
        }
    }
}
