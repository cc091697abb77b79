//! What a processor can be told about memory that it will read, or will not.

use crate::bytes::{LINE, Line};

/// Asks for bytes that will be read soon.
pub fn fetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    x86::fetch(bytes);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

/// Writes whole lines past the caches, so that they need not be read in first.
pub fn write_past<'l>(to: &mut [[u8; LINE]], from: impl Iterator<Item = &'l Line>) {
    #[cfg(target_arch = "x86_64")]
    if x86::aligned(to) {
        return x86::write_past(to, from);
    }
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from.0);
}

pub fn settle() {
    #[cfg(target_arch = "x86_64")]
    x86::settle();
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use super::{LINE, Line};
    use std::arch::x86_64::*;

    pub fn fetch(bytes: &[u8]) {
        for line in bytes.chunks(LINE) {
            // SAFETY: any address may be asked for, and this one is valid.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
        }
    }

    pub fn settle() {
        // SAFETY: it only orders writes.
        unsafe { _mm_sfence() }
    }

    pub fn aligned(lines: &[[u8; LINE]]) -> bool {
        lines.as_ptr().addr().is_multiple_of(LINE)
    }

    pub fn write_past<'l>(to: &mut [[u8; LINE]], from: impl Iterator<Item = &'l Line>) {
        for (to, from) in to.iter_mut().zip(from) {
            for (to, from) in to.chunks_exact_mut(16).zip(from.0.chunks_exact(16)) {
                // SAFETY: both are 16 bytes; the target lies at a multiple of 16, as the caller asked `aligned`, and SSE2 is part of
                // every x86-64.
                unsafe {
                    _mm_stream_si128(
                        to.as_mut_ptr().cast(),
                        _mm_loadu_si128(from.as_ptr().cast()),
                    )
                }
            }
        }
    }
}
