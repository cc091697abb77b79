//! What finds logs and transactions in many blocks: a short list of fingerprints for each block.
//!
//! A block has two records. One lists the addresses and topics of its logs, the other who took part in its transactions: each
//! as sorted 32-bit fingerprints, so that a commit appends one value where an inverted index would write to as many places as
//! the block names. A reader walks the records in order and looks each up by binary search; what a fingerprint finds is
//! checked against the block itself, so a collision costs a look and is never seen.
//!
//! Who takes part: sender, recipient, the contract that the transaction creates, and every account that an inner call which
//! was not undone called, paid or created. The last are nowhere else in the block, so their record is exact: after the
//! fingerprints, each such address with the places of its transactions.
//!
//! `SECTION` blocks share a summary, the union of their fingerprints, so that a reader passes over all of them at once. Where
//! they have more than `MOST_IN_SECTION` between them it is left empty, and every block is looked at.

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, Log};
use revm::state::EvmState;

use crate::block::Executed;
use crate::error::{Error, Result};

pub const SECTION: u64 = 256;
pub const MOST_IN_SECTION: usize = 1 << 16;

/// Which record of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Logs = 0,
    Participants = 1,
}

/// Which records to look through, in which order: of blocks range.0..=range.1.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    pub kind: Kind,
    pub range: (u64, u64),
    pub backwards: bool,
}

pub type Fingerprint = u32;

/// Of some bytes in their role. What is stored depends on it: it never changes.
fn fingerprint(role: u64, bytes: &[u8]) -> Fingerprint {
    let mut hash = role.wrapping_add(0x9e37_79b9_7f4a_7c15);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^= hash >> 29;
    }
    hash = hash.wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash >> 32) as Fingerprint
}

pub fn of_address(address: &Address) -> Fingerprint {
    fingerprint(0, address.as_slice())
}

/// Of a topic in its place.
pub fn of_topic(place: usize, topic: &B256) -> Fingerprint {
    fingerprint(1 + place as u64, topic.as_slice())
}

/// Fingerprints as they are stored: sorted, each once.
pub fn encode(mut fingerprints: Vec<Fingerprint>) -> Vec<u8> {
    fingerprints.sort_unstable();
    fingerprints.dedup();
    let mut out = Vec::with_capacity(4 * fingerprints.len());
    for fingerprint in fingerprints {
        out.extend_from_slice(&fingerprint.to_le_bytes());
    }
    out
}

/// A stored list of fingerprints.
#[derive(Clone, Copy)]
pub struct List<'a>(&'a [[u8; 4]]);

impl<'a> List<'a> {
    pub fn new(record: &'a [u8]) -> Result<Self> {
        match record.as_chunks() {
            (list, []) => Ok(Self(list)),
            _ => Err(Error::Corrupt("an index record does not decode".into())),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Fingerprint> + 'a {
        self.0
            .iter()
            .map(|bytes| Fingerprint::from_le_bytes(*bytes))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any of `wanted` (sorted) is in it: by search where few are wanted, side by side where many are.
    pub fn has_any(&self, wanted: &[Fingerprint]) -> bool {
        let (few, many) = (wanted.len(), self.0.len());
        if few * (many.ilog2().max(1) as usize) < few + many {
            return wanted.iter().any(|one| {
                self.0
                    .binary_search_by_key(one, |bytes| Fingerprint::from_le_bytes(*bytes))
                    .is_ok()
            });
        }
        let mut wanted = wanted.iter().copied().peekable();
        self.iter().any(|there| {
            while wanted.next_if(|one| *one < there).is_some() {}
            wanted.peek() == Some(&there)
        })
    }
}

/// The record of a block's logs.
pub fn log_record<'a>(logs: impl Iterator<Item = &'a Log>) -> Vec<u8> {
    let mut found = Vec::new();
    for log in logs {
        found.push(of_address(&log.address));
        for (place, topic) in log.topics().iter().enumerate() {
            found.push(of_topic(place, topic));
        }
    }
    encode(found)
}

/// The record of a block's participants: (length of the list, the list, inner participants).
pub fn participant_record(block: &Executed) -> Vec<u8> {
    let mut found = Vec::new();
    let mut inner: AddressMap<Vec<u32>> = AddressMap::default();
    for (place, tx) in block.txs.iter().enumerate() {
        let target = tx.to().unwrap_or_else(|| tx.sender.create(tx.nonce()));
        found.push(of_address(&tx.sender));
        found.push(of_address(&target));
        for address in block.touched.get(place).into_iter().flatten() {
            if *address != tx.sender && *address != target {
                found.push(of_address(address));
                inner.entry(*address).or_default().push(place as u32);
            }
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    let list = encode(found);
    let mut inner: Vec<_> = inner.into_iter().collect();
    inner.sort_unstable();
    let mut out = Vec::with_capacity(4 + list.len() + 32 * inner.len());
    out.extend_from_slice(&(list.len() as u32).to_le_bytes());
    out.extend_from_slice(&list);
    for (address, places) in inner {
        out.extend_from_slice(address.as_slice());
        out.extend_from_slice(&(places.len() as u32).to_le_bytes());
        for place in places {
            out.extend_from_slice(&place.to_le_bytes());
        }
    }
    out
}

/// A stored record of participants.
pub struct Participants<'a> {
    pub list: List<'a>,
    inner: &'a [u8],
}

impl<'a> Participants<'a> {
    pub fn new(record: &'a [u8]) -> Result<Self> {
        let damaged = || Error::Corrupt("an index record does not decode".into());
        let (size, rest) = record.split_first_chunk().ok_or_else(damaged)?;
        let (list, inner) = rest
            .split_at_checked(u32::from_le_bytes(*size) as usize)
            .ok_or_else(damaged)?;
        Ok(Self {
            list: List::new(list)?,
            inner,
        })
    }

    /// The places of the transactions in which `address` takes part by an inner call.
    pub fn inner(&self, address: &Address) -> Result<Vec<usize>> {
        let damaged = || Error::Corrupt("an index record does not decode".into());
        let mut rest = self.inner;
        while !rest.is_empty() {
            let (found, after) = rest.split_first_chunk::<20>().ok_or_else(damaged)?;
            let (count, after) = after.split_first_chunk().ok_or_else(damaged)?;
            let (places, after) = after
                .split_at_checked(4 * u32::from_le_bytes(*count) as usize)
                .ok_or_else(damaged)?;
            if found == address.as_slice() {
                return Ok(List::new(places)?
                    .iter()
                    .map(|place| place as usize)
                    .collect());
            }
            rest = after;
        }
        Ok(Vec::new())
    }
}

/// The accounts that a transaction called, paid or created, going by the state that it leaves: revm marks them as touched, and
/// takes the mark back where a call is undone. Neither precompiles nor the fee's recipient count.
pub fn touched(state: &EvmState, beneficiary: &Address) -> Vec<Address> {
    let mut touched: Vec<Address> = state
        .iter()
        .filter(|(address, account)| account.is_touched() && counts(address, beneficiary))
        .map(|(address, _)| *address)
        .collect();
    touched.sort_unstable();
    touched
}

/// Whether a touched account is listed.
pub fn counts(address: &Address, beneficiary: &Address) -> bool {
    address != beneficiary && address[..18] != [0; 18]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_list_has_what_was_put_in(mut there: Vec<u16>, mut wanted: Vec<u16>) {
            let record = encode(there.iter().map(|one| u32::from(*one)).collect());
            there.sort_unstable();
            wanted.sort_unstable();
            let asked: Vec<u32> = wanted.iter().map(|one| u32::from(*one)).collect();
            let expected = wanted.iter().any(|one| there.binary_search(one).is_ok());
            let list = List::new(&record).unwrap();
            prop_assert_eq!(!list.is_empty() && list.has_any(&asked), expected);
        }

        #[test]
        fn no_bytes_make_a_record_panic(bytes: Vec<u8>, address: [u8; 20]) {
            if let Ok(record) = Participants::new(&bytes) {
                let _ = record.inner(&Address::new(address));
            }
        }
    }
}
