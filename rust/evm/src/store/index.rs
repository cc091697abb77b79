//! The table that finds logs and transactions: see `crate::index` for what its records hold.

use heed::RwTxn;
use std::ops::Bound;

use super::{Store, Txn};
use crate::block::Executed;
use crate::error::{Error, Result};
use crate::index::{self, Kind, List, MOST_IN_SECTION, Participants, SECTION, Walk};

const BLOCK: u8 = 0;
const SUMMARY: u8 = 1;

fn key(kind: Kind, level: u8, number: u64) -> [u8; 10] {
    let mut key = [kind as u8, level, 0, 0, 0, 0, 0, 0, 0, 0];
    key[2..].copy_from_slice(&number.to_be_bytes());
    key
}

fn list(kind: Kind, record: &[u8]) -> Result<List<'_>> {
    match kind {
        Kind::Logs => List::new(record),
        Kind::Participants => Ok(Participants::new(record)?.list),
    }
}

/// Deletes the records of a block whose body goes, and those of its section once the section's last block goes.
pub(super) fn forget_index(store: &Store, txn: &mut RwTxn, number: u64) -> Result<()> {
    for kind in [Kind::Logs, Kind::Participants] {
        store.index.delete(txn, &key(kind, BLOCK, number))?;
        if (number + 1).is_multiple_of(SECTION) {
            store
                .index
                .delete(txn, &key(kind, SUMMARY, number / SECTION))?;
        }
    }
    Ok(())
}

impl Store {
    /// Records of a block that is being stored, in its transaction.
    pub(super) fn put_index(&self, txn: &mut RwTxn, block: &Executed) -> Result<()> {
        let number = block.sealed.header.number;
        let logs = block.receipts.iter().flat_map(|receipt| &receipt.logs);
        for (kind, record) in [
            (Kind::Logs, index::log_record(logs)),
            (Kind::Participants, index::participant_record(block)),
        ] {
            if !record.is_empty() {
                self.index.put(txn, &key(kind, BLOCK, number), &record)?;
            }
            if (number + 1).is_multiple_of(SECTION)
                && let Some(summary) = self.summarise(txn, kind, number / SECTION)?
            {
                self.index
                    .put(txn, &key(kind, SUMMARY, number / SECTION), &summary)?;
            }
        }
        Ok(())
    }

    /// None if no block of the section has a record.
    fn summarise(&self, txn: &Txn, kind: Kind, section: u64) -> Result<Option<Vec<u8>>> {
        let mut all = Vec::new();
        let first = key(kind, BLOCK, section * SECTION);
        let last = key(kind, BLOCK, section * SECTION + SECTION - 1);
        let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        for entry in self.index.range(txn, &range)? {
            all.extend(list(kind, entry?.1)?.iter());
            if all.len() > MOST_IN_SECTION {
                return Ok(Some(Vec::new()));
            }
        }
        Ok((!all.is_empty()).then(|| index::encode(all)))
    }

    pub(super) fn pop_index(&self, txn: &mut RwTxn, number: u64) -> Result<()> {
        for kind in [Kind::Logs, Kind::Participants] {
            self.index.delete(txn, &key(kind, BLOCK, number))?;
            self.index
                .delete(txn, &key(kind, SUMMARY, number / SECTION))?;
        }
        Ok(())
    }

    /// Whether block `number` may have a log with this fingerprint.
    pub(super) fn may_log(&self, txn: &Txn, number: u64, one: index::Fingerprint) -> Result<bool> {
        match self.index.get(txn, &key(Kind::Logs, BLOCK, number))? {
            Some(record) => Ok(List::new(record)?.has_any(&[one])),
            None => Ok(false),
        }
    }

    /// The record of participants of one block.
    pub fn participants<'t>(&self, txn: &'t Txn, number: u64) -> Result<Option<Participants<'t>>> {
        self.index
            .get(txn, &key(Kind::Participants, BLOCK, number))?
            .map(Participants::new)
            .transpose()
    }

    /// Calls `visit` with each block of the walk that may hold what `wanted` says, until it answers false. `pulse` is called now
    /// and then, and ends the walk by an error. Logs that are pruned are refused; participants are sought in what is kept.
    pub fn walk_index(
        &self,
        txn: &Txn,
        walk: Walk,
        wanted: impl Fn(List<'_>) -> bool,
        mut pulse: impl FnMut() -> Result<()>,
        mut visit: impl FnMut(u64) -> Result<bool>,
    ) -> Result<()> {
        let Walk {
            kind,
            range: (first, last),
            backwards,
        } = walk;
        // A section that is not complete yet has no summary.
        let complete = self.head_number(txn)?.map_or(0, |head| head + 1) / SECTION;
        let bodies = self.kept(txn)?.bodies;
        if first < bodies && kind == Kind::Logs {
            return Err(Error::Pruned("pruned history unavailable".into()));
        }
        let (mut low, mut high) = (first.max(bodies), last);
        while low <= high {
            pulse()?;
            let section = (if backwards { high } else { low }) / SECTION;
            let from = low.max(section * SECTION);
            let to = high.min(section * SECTION + (SECTION - 1));
            let look = section >= complete || {
                match self.index.get(txn, &key(kind, SUMMARY, section))? {
                    None => false,
                    Some(summary) => {
                        let summary = List::new(summary)?;
                        summary.is_empty() || wanted(summary)
                    }
                }
            };
            if look {
                let (start, end) = (key(kind, BLOCK, from), key(kind, BLOCK, to));
                let range = (Bound::Included(&start[..]), Bound::Included(&end[..]));
                let mut step = |found: heed::Result<(&[u8], &[u8])>| -> Result<bool> {
                    let (place, record) = found?;
                    let list = list(kind, record)?;
                    if list.is_empty() || !wanted(list) {
                        return Ok(true);
                    }
                    pulse()?;
                    visit(super::to_u64(&place[2..])?)
                };
                if backwards {
                    for found in self.index.rev_range(txn, &range)? {
                        if !step(found)? {
                            return Ok(());
                        }
                    }
                } else {
                    for found in self.index.range(txn, &range)? {
                        if !step(found)? {
                            return Ok(());
                        }
                    }
                }
            }
            if backwards {
                if from == low {
                    return Ok(());
                }
                high = from - 1;
            } else {
                low = to + 1;
            }
        }
        Ok(())
    }
}
