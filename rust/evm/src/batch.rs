//! The batch codec (docs/spec/derivation.md, "Batch"): a version byte and one zstd frame over canonical RLP.
//!
//! Decoding is total and frugal: what is not a batch is `None`, found out before memory is spent on it.

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable, Header};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

pub const VERSION: u8 = 0;
/// Most bytes that a batch's content has.
pub const MAX_CONTENT: usize = 16 << 20;
/// Most blocks that a batch holds.
pub const MAX_BLOCKS: usize = 4096;
/// Most transactions that a batch lists, in all its blocks: real ones, of a hundred bytes and more, could not be as many. What
/// is listed costs a reader hundreds of times what it costs to write, compressed.
pub const MAX_TXS: usize = 1 << 18;
/// Gas that a batch's blocks may have used when one more of them is executed. What a batch makes is held in memory until all of
/// it is stored, and a batch of a few hundred bytes could fill every block.
pub const MAX_GAS: u64 = 1 << 32;
/// Least gas that a transaction takes.
const TX_GAS: u64 = 21_000;

const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528u32.to_le_bytes();

/// A block as a batch declares it. `txs` are the block's own transactions, without those that the inbox forces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredBlock {
    pub timestamp: u64,
    pub inbox_end: u64,
    pub txs: Vec<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub parent_hash: B256,
    pub blocks: Vec<DeclaredBlock>,
}

/// Most transactions of its own that a block can list: more could not all be paid for.
pub fn max_txs(gas_limit: u64) -> usize {
    usize::try_from(gas_limit / TX_GAS).unwrap_or(usize::MAX)
}

/// Encodes a batch. None if it is over the limits.
pub fn encode(batch: &Batch, level: i32) -> Option<Vec<u8>> {
    let content = content(batch);
    if content.len() > MAX_CONTENT || batch.blocks.len() > MAX_BLOCKS {
        return None;
    }
    let mut compressor = zstd::bulk::Compressor::new(level.clamp(1, 22)).ok()?;
    compressor.include_checksum(false).ok()?;
    compressor.include_dictid(false).ok()?;
    compressor.include_contentsize(true).ok()?;
    let mut data = vec![VERSION];
    data.extend_from_slice(&compressor.compress(&content).ok()?);
    Some(data)
}

fn content(batch: &Batch) -> Vec<u8> {
    fn list(payload: &[u8], out: &mut Vec<u8>) {
        Header {
            list: true,
            payload_length: payload.len(),
        }
        .encode(out);
        out.extend_from_slice(payload);
    }
    let (mut blocks, mut block, mut txs) = (Vec::new(), Vec::new(), Vec::new());
    for declared in &batch.blocks {
        block.clear();
        txs.clear();
        declared.timestamp.encode(&mut block);
        declared.inbox_end.encode(&mut block);
        for tx in &declared.txs {
            tx.encode(&mut txs);
        }
        list(&txs, &mut block);
        list(&block, &mut blocks);
    }
    let (mut payload, mut content) = (Vec::new(), Vec::new());
    batch.parent_hash.encode(&mut payload);
    list(&blocks, &mut payload);
    list(&payload, &mut content);
    content
}

/// Decodes a batch for a chain with the given block gas limit. None: the batch counts as empty.
pub fn decode(data: &[u8], gas_limit: u64) -> Option<Batch> {
    let (&version, frame) = data.split_first()?;
    if version != VERSION {
        return None;
    }
    let content = Bytes::from(decompress(frame)?);
    parse(&content, max_txs(gas_limit))
}

/// One zstd frame (RFC 8878), with its content size, without checksum and dictionary, that fills `frame` exactly.
fn decompress(frame: &[u8]) -> Option<Vec<u8>> {
    let size = content_size(frame)?;
    // The decoder is pure and its input bounded; a panic in it would be a bug, and must not be a way to stop a chain.
    std::panic::catch_unwind(|| {
        let mut source = frame;
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_CONTENT as u64);
        decoder.init(&mut source).ok()?;
        let mut content = Vec::with_capacity(size);
        while !decoder.is_finished() {
            decoder
                .decode_blocks(&mut source, BlockDecodingStrategy::UptoBytes(1 << 20))
                .ok()?;
            content.extend_from_slice(&decoder.collect().unwrap_or_default());
            if content.len() > size {
                return None;
            }
        }
        content.extend_from_slice(&decoder.collect().unwrap_or_default());
        (content.len() == size && source.is_empty()).then_some(content)
    })
    .ok()
    .flatten()
}

/// Reads the frame header's content size, if the frame is of the one kind that a batch may use.
fn content_size(frame: &[u8]) -> Option<usize> {
    if frame.get(..4)? != ZSTD_MAGIC {
        return None;
    }
    let descriptor = *frame.get(4)?;
    let single_segment = descriptor & 0x20 != 0;
    // Reserved bit, checksum flag, dictionary flag.
    if descriptor & 0x0F != 0 {
        return None;
    }
    let start = if single_segment { 5 } else { 6 };
    if !single_segment {
        let window = *frame.get(5)?;
        let base = 1u64 << (10 + (window >> 3));
        if base + (base / 8) * u64::from(window & 7) > MAX_CONTENT as u64 {
            return None;
        }
    }
    let field = |width: usize| -> Option<u64> {
        let bytes = frame.get(start..start + width)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        )
    };
    let size = match (descriptor >> 6, single_segment) {
        (0, false) => return None,
        (0, true) => field(1)?,
        (1, _) => field(2)? + 256,
        (2, _) => field(4)?,
        _ => field(8)?,
    };
    usize::try_from(size)
        .ok()
        .filter(|size| *size <= MAX_CONTENT)
}

fn parse(content: &Bytes, max_txs: usize) -> Option<Batch> {
    let mut rest = content.as_ref();
    let mut body = Header::decode_bytes(&mut rest, true).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let parent_hash = B256::decode(&mut body).ok()?;
    let mut list = Header::decode_bytes(&mut body, true).ok()?;
    if !body.is_empty() {
        return None;
    }
    let mut blocks = Vec::new();
    let mut listed = 0;
    while !list.is_empty() {
        if blocks.len() == MAX_BLOCKS {
            return None;
        }
        let mut block = Header::decode_bytes(&mut list, true).ok()?;
        let timestamp = u64::decode(&mut block).ok()?;
        let inbox_end = u64::decode(&mut block).ok()?;
        let mut items = Header::decode_bytes(&mut block, true).ok()?;
        if !block.is_empty() {
            return None;
        }
        let mut txs = Vec::new();
        while !items.is_empty() {
            if txs.len() == max_txs || listed == MAX_TXS {
                return None;
            }
            listed += 1;
            txs.push(content.slice_ref(Header::decode_bytes(&mut items, false).ok()?));
        }
        blocks.push(DeclaredBlock {
            timestamp,
            inbox_end,
            txs,
        });
    }
    Some(Batch {
        parent_hash,
        blocks,
    })
}
