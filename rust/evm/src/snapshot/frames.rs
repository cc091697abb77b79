//! Frames: `kind u8 · packed length u32 · length u32 · digest 32 · packed`, after `magic 8 · version u32`.
//!
//! A digest is keccak256(digest before ‖ kind ‖ content), and the first one's predecessor keccak256(magic ‖ version): no frame
//! can be left out, repeated or moved. Digests are over the content, so they do not depend on the compressor.

use alloy_primitives::{B256, keccak256};
use std::io::{ErrorKind, Read, Write};

use super::Flaw;
use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"DGSTATE\n";
const VERSION: u32 = 1;
/// Content of a frame, at most.
pub const MOST: usize = 32 << 20;
/// zstd's level: part of what makes the same state the same bytes.
const LEVEL: i32 = 3;

pub const HEAD: u8 = 1;
pub const STATE: u8 = 2;
pub const END: u8 = 3;

fn start() -> B256 {
    keccak256([&MAGIC[..], &VERSION.to_be_bytes()].concat())
}

fn digest(before: B256, kind: u8, content: &[u8]) -> B256 {
    let mut hasher = alloy_primitives::Keccak256::new();
    hasher.update(before);
    hasher.update([kind]);
    hasher.update(content);
    hasher.finalize()
}

pub fn output(error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Full(error.to_string()),
        _ => Error::Store(format!("the snapshot: {error}")),
    }
}

pub struct Writer<W> {
    out: W,
    digest: B256,
}

impl<W: Write> Writer<W> {
    pub fn new(mut out: W) -> Result<Self> {
        out.write_all(MAGIC).map_err(output)?;
        out.write_all(&VERSION.to_be_bytes()).map_err(output)?;
        Ok(Self {
            out,
            digest: start(),
        })
    }

    pub fn put(&mut self, kind: u8, content: &[u8]) -> Result<()> {
        if content.len() > MOST {
            return Err(Flaw::Oversized(content.len() as u64).into());
        }
        let packed = zstd::bulk::compress(content, LEVEL).map_err(output)?;
        self.digest = digest(self.digest, kind, content);
        let mut prefix = vec![kind];
        prefix.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        prefix.extend_from_slice(&(content.len() as u32).to_be_bytes());
        prefix.extend_from_slice(self.digest.as_slice());
        self.out.write_all(&prefix).map_err(output)?;
        self.out.write_all(&packed).map_err(output)
    }

    /// The last digest, which stands for all of the snapshot.
    pub fn finish(mut self) -> Result<B256> {
        self.out.flush().map_err(output)?;
        Ok(self.digest)
    }
}

pub struct Reader<R> {
    input: R,
    digest: B256,
    count: u64,
}

fn read(input: &mut impl Read, into: &mut [u8]) -> Result<()> {
    input.read_exact(into).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => Flaw::Truncated.into(),
        _ => output(error),
    })
}

impl<R: Read> Reader<R> {
    pub fn new(mut input: R) -> Result<Self> {
        let mut prefix = [0; 12];
        read(&mut input, &mut prefix)?;
        let version = u32::from_be_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]);
        if prefix[..8] != MAGIC[..] {
            return Err(Flaw::Foreign.into());
        }
        if version != VERSION {
            return Err(Flaw::Version(version).into());
        }
        Ok(Self {
            input,
            digest: start(),
            count: 0,
        })
    }

    /// The next frame's kind and content.
    pub fn next(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut prefix = [0; 41];
        read(&mut self.input, &mut prefix)?;
        let length = |at: usize| {
            u32::from_be_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]])
                as usize
        };
        let (packed, whole) = (length(1), length(5));
        if whole > MOST || packed > zstd::zstd_safe::compress_bound(whole) {
            return Err(Flaw::Oversized(whole.max(packed) as u64).into());
        }
        // Memory grows with what arrives, not with what is announced.
        let mut data = Vec::new();
        let taken = Read::by_ref(&mut self.input)
            .take(packed as u64)
            .read_to_end(&mut data)
            .map_err(output)?;
        if taken < packed {
            return Err(Flaw::Truncated.into());
        }
        let damaged = Flaw::Damaged(self.count);
        let content = zstd::bulk::decompress(&data, whole).map_err(|_| damaged.clone())?;
        self.digest = digest(self.digest, prefix[0], &content);
        if content.len() != whole || self.digest.as_slice() != &prefix[9..] {
            return Err(damaged.into());
        }
        self.count += 1;
        Ok((prefix[0], content))
    }

    pub fn end(mut self) -> Result<()> {
        match self.input.read(&mut [0]).map_err(output)? {
            0 => Ok(()),
            _ => Err(Flaw::Trailing.into()),
        }
    }
}
