//! SHA-256 of many messages of one length, already padded to whole blocks.

use sha2::compress256;
use sha2::digest::generic_array::GenericArray;

/// How many messages are hashed side by side.
pub const LANES: usize = 2;

const INITIAL: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

/// Writes the padding of a message of `length` bytes at the end of its blocks; the bytes between must be zero.
pub const fn pad<const N: usize>(mut blocks: [u8; N], length: usize) -> [u8; N] {
    blocks[length] = 0x80;
    let bits = (length as u64 * 8).to_be_bytes();
    let mut i = 0;
    while i < 8 {
        blocks[N - 8 + i] = bits[i];
        i += 1;
    }
    blocks
}

/// The digests of `LANES` padded messages.
pub fn digests<const N: usize>(messages: &[[u8; N]; LANES]) -> [[u8; 32]; LANES] {
    messages.each_ref().map(|message| {
        let mut state = INITIAL;
        for block in message.chunks_exact(64) {
            compress256(&mut state, &[*GenericArray::from_slice(block)]);
        }
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    })
}
