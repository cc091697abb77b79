//! Memory for squares: cells and then their leaf digests, in huge pages where the system has them, and used again.
//!
//! A square is mostly first touches of memory, and the system clears pages before it gives them: a third of the time to extend a big
//! one. So the memory of the last square dropped is kept for the next of its size; the system may take the pages back any time.

use crate::SHARE;
use memmap2::{MmapMut, MmapOptions};
use std::sync::Mutex;

/// Bytes of a leaf's digest.
const DIGEST: usize = 32;

static SPARE: Mutex<Option<MmapMut>> = Mutex::new(None);

/// The system has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Room for so many cells and digests. What it holds at first is whatever was there before.
#[derive(Debug)]
pub struct Memory {
    map: Option<MmapMut>,
    count: usize,
}

impl Memory {
    pub fn new(count: usize) -> Result<Self, Full> {
        let bytes = count * (SHARE + DIGEST);
        let spare = SPARE.lock().ok().and_then(|mut spare| spare.take());
        let map = match spare {
            Some(map) if map.len() == bytes => map,
            _ => fresh(bytes)?,
        };
        Ok(Self {
            map: Some(map),
            count,
        })
    }

    fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&[])
    }

    pub fn cells(&self) -> &[u8] {
        &self.bytes()[..self.count * SHARE]
    }

    pub fn digests(&self) -> &[[u8; DIGEST]] {
        self.bytes()[self.count * SHARE..].as_chunks().0
    }

    pub fn split_mut(&mut self) -> (&mut [u8], &mut [[u8; DIGEST]]) {
        let bytes = self.map.as_deref_mut().unwrap_or(&mut []);
        let (cells, digests) = bytes.split_at_mut(self.count * SHARE);
        (cells, digests.as_chunks_mut().0)
    }
}

fn fresh(bytes: usize) -> Result<MmapMut, Full> {
    let map = MmapOptions::new().len(bytes).map_anon().map_err(|_| Full)?;
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(map)
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let (Some(map), Ok(mut spare)) = (self.map.take(), SPARE.lock()) {
            forget(&map);
            *spare = Some(map);
        }
    }
}

/// Lets the system take the pages when it needs them, which then read as zeros.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn forget(map: &MmapMut) {
    // SAFETY: what the map holds is not read again before it is written, and any bytes are valid.
    let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::Free) };
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &MmapMut) {}
