//! How a block's receipts are stored: so that one is read without the others.
//!
//! ```text
//! count u32 · wei of a unit of blob gas u128
//! for each transaction: sender 20 · hash 32 · where it begins in the body u32 · where its receipt begins in what follows u32
//!                       · gas that the block used before it u64 · logs that the block has before it u32
//! the receipts' RLP, one after the other
//! ```
//!
//! Integers are big-endian.

use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::{Decodable, Encodable, Header};

use crate::block::{Executed, StoredReceipt};
use crate::error::{Error, Result};

const HEAD: usize = 4 + 16;
const ENTRY: usize = 20 + 32 + 4 + 4 + 8 + 4;

/// All receipts of a block, and what goes with them.
#[derive(Debug)]
pub struct ReceiptsRecord {
    pub senders: Vec<Address>,
    pub hashes: Vec<B256>,
    pub receipts: Vec<StoredReceipt>,
    pub blob_price: u128,
}

/// One transaction among the others of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub index: usize,
    pub sender: Address,
    pub hash: B256,
    pub gas_before: u64,
    pub logs_before: usize,
    in_body: usize,
    in_receipts: usize,
}

impl Place {
    /// Its EIP-2718 encoding, in the block's body.
    pub fn transaction(&self, body: &[u8]) -> Result<Bytes> {
        let whole = body.get(self.in_body..).ok_or_else(damaged)?;
        let mut rest = whole;
        let header = Header::decode(&mut rest)?;
        let payload = rest.get(..header.payload_length).ok_or_else(damaged)?;
        let prefix = whole.len() - rest.len();
        Ok(Bytes::copy_from_slice(match header.list {
            true => &whole[..prefix + payload.len()],
            false => payload,
        }))
    }
}

/// A stored record, read in place.
pub struct Receipts<'t> {
    pub blob_price: u128,
    entries: &'t [u8],
    receipts: &'t [u8],
}

fn damaged() -> Error {
    Error::Corrupt("a block's stored receipts do not decode".into())
}

impl<'t> Receipts<'t> {
    pub fn new(record: &'t [u8]) -> Result<Self> {
        let (count, rest) = record.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (price, rest) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
        let count = u32::from_be_bytes(*count) as usize;
        let (entries, receipts) = rest
            .split_at_checked(count.saturating_mul(ENTRY))
            .ok_or_else(damaged)?;
        Ok(Self {
            blob_price: u128::from_be_bytes(*price),
            entries,
            receipts,
        })
    }

    pub fn count(&self) -> usize {
        self.entries.len() / ENTRY
    }

    pub fn place(&self, index: usize) -> Result<Place> {
        let start = index.checked_mul(ENTRY).ok_or_else(damaged)?;
        let mut entry = self.entries.get(start..start + ENTRY).ok_or_else(damaged)?;
        Ok(Place {
            index,
            sender: Address::new(take(&mut entry)?),
            hash: B256::new(take(&mut entry)?),
            in_body: u32::from_be_bytes(take(&mut entry)?) as usize,
            in_receipts: u32::from_be_bytes(take(&mut entry)?) as usize,
            gas_before: u64::from_be_bytes(take(&mut entry)?),
            logs_before: u32::from_be_bytes(take(&mut entry)?) as usize,
        })
    }

    pub fn receipt(&self, place: &Place) -> Result<StoredReceipt> {
        let mut data = self.receipts.get(place.in_receipts..).ok_or_else(damaged)?;
        Ok(StoredReceipt::decode(&mut data)?)
    }

    pub fn all(&self) -> Result<ReceiptsRecord> {
        let count = self.count();
        let mut record = ReceiptsRecord {
            senders: Vec::with_capacity(count),
            hashes: Vec::with_capacity(count),
            receipts: Vec::with_capacity(count),
            blob_price: self.blob_price,
        };
        let mut data = self.receipts;
        for index in 0..count {
            let place = self.place(index)?;
            record.senders.push(place.sender);
            record.hashes.push(place.hash);
            record.receipts.push(StoredReceipt::decode(&mut data)?);
        }
        Ok(record)
    }
}

fn take<const N: usize>(data: &mut &[u8]) -> Result<[u8; N]> {
    let (first, rest) = data.split_first_chunk::<N>().ok_or_else(damaged)?;
    *data = rest;
    Ok(*first)
}

/// The record of a block whose transactions begin at `starts` in its body.
pub(super) fn encode(block: &Executed, starts: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + block.txs.len() * (ENTRY + 32));
    out.extend_from_slice(&(block.txs.len() as u32).to_be_bytes());
    out.extend_from_slice(&block.blob_price.to_be_bytes());
    let mut receipts = Vec::new();
    let (mut gas, mut logs) = (0, 0u32);
    for ((tx, receipt), start) in block.txs.iter().zip(&block.receipts).zip(starts) {
        out.extend_from_slice(tx.sender.as_slice());
        out.extend_from_slice(tx.hash().as_slice());
        out.extend_from_slice(&start.to_be_bytes());
        out.extend_from_slice(&(receipts.len() as u32).to_be_bytes());
        out.extend_from_slice(&u64::to_be_bytes(gas));
        out.extend_from_slice(&logs.to_be_bytes());
        receipt.encode(&mut receipts);
        gas = receipt.cumulative_gas_used;
        logs += receipt.logs.len() as u32;
    }
    out.extend_from_slice(&receipts);
    out
}
