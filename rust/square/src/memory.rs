//! Memory for squares: cells, their leaf digests, and the namespaces of the original ones, in huge pages where the system has them,
//! and used again.
//!
//! A square is mostly first touches of memory, and the system clears pages before it gives them: a third of the time to extend a big
//! one. So the memory of the last square dropped is kept for the next of its size; the system may take the pages back any time.

use crate::SHARE;
use crate::nmt::Padded;
use memmap2::{MmapMut, MmapOptions};
use std::sync::Mutex;

/// Bytes of a leaf's digest.
const DIGEST: usize = 32;

static SPARE: Mutex<Option<MmapMut>> = Mutex::new(None);

/// The system has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Room for an extended square. What it holds at first is whatever was there before.
#[derive(Debug)]
pub struct Memory {
    map: Option<MmapMut>,
    /// How many cells.
    count: usize,
}

/// The parts of it: what belongs to each cell, row by row, and the namespace of each cell of the original quadrant, row by row.
pub struct Parts<'m> {
    pub cells: &'m mut [u8],
    pub digests: &'m mut [[u8; DIGEST]],
    pub own: &'m mut [Padded],
}

impl Memory {
    pub fn new(count: usize) -> Result<Self, Full> {
        let bytes = count * (SHARE + DIGEST) + count / 4 * size_of::<Padded>();
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
        let (digests, _) = self.bytes()[self.count * SHARE..].as_chunks();
        &digests[..self.count]
    }

    pub fn own(&self) -> &[Padded] {
        self.bytes()[self.count * (SHARE + DIGEST)..].as_chunks().0
    }

    pub fn parts(&mut self) -> Parts<'_> {
        let bytes = self.map.as_deref_mut().unwrap_or(&mut []);
        let (cells, rest) = bytes.split_at_mut(self.count * SHARE);
        let (digests, own) = rest.as_chunks_mut().0.split_at_mut(self.count);
        Parts {
            cells,
            digests,
            own,
        }
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
