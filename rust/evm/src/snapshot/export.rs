//! Writing a snapshot.

use alloy_primitives::map::B256Set;
use alloy_primitives::{Address, B256, Bytes};
use std::io::Write;

use super::frames::{END, HEAD, STATE, Writer};
use super::records::{Code, Counts, Head, put_account, put_slot};
use crate::chain::Chain;
use crate::error::{Error, Result};
use crate::state::Account;
use crate::store::{Flat, Store, Txn};

/// Content of a state frame, about.
const FRAME: usize = 1 << 20;
/// Headers that BLOCKHASH can reach, besides the block's own.
const ANCESTORS: u64 = 256;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    pub number: u64,
    pub hash: B256,
    /// Stands for all of the snapshot's content.
    pub digest: B256,
    pub accounts: u64,
    pub slots: u64,
    pub codes: u64,
}

/// Writes the state after block `number` (None: after the head). A block under the head must still be one that a rollback can
/// reach: its state is the latest one less what the blocks since replaced, and that is held in memory.
pub fn export(chain: &Chain, number: Option<u64>, out: impl Write) -> Result<Exported> {
    let store = chain.store();
    let txn = store.read()?;
    let head_number = store
        .head_number(&txn)?
        .ok_or_else(|| Error::Corrupt("the store has no head".into()))?;
    let number = number.unwrap_or(head_number);
    if chain.config.imported || number == 0 {
        return Err(Error::Invalid(
            "snapshots are of blocks that were built here, after the genesis block".into(),
        ));
    }
    let flat = Flat::after(store, &txn, number, head_number)?;
    let mut frames = Writer::new(out)?;
    let (head, hash) = head(chain, &txn, number)?;
    frames.put(HEAD, &alloy_rlp::encode(head))?;
    let mut writing = Writing {
        store,
        txn: &txn,
        frames,
        content: Vec::with_capacity(FRAME + (1 << 16)),
        seen: B256Set::default(),
        counts: Counts::default(),
    };
    flat.visit(
        &txn,
        &mut writing,
        |writing, address, account| writing.account(address, account),
        |writing, slot, value| writing.slot(slot, value),
    )?;
    writing.flush()?;
    let Writing {
        mut frames, counts, ..
    } = writing;
    frames.put(END, &counts.encode())?;
    Ok(Exported {
        number,
        hash,
        digest: frames.finish()?,
        accounts: counts.accounts,
        slots: counts.slots,
        codes: counts.codes,
    })
}

fn head(chain: &Chain, txn: &Txn, number: u64) -> Result<(Head, B256)> {
    let store = chain.store();
    let missing = || Error::NotFound(format!("there is no block {number}"));
    let record = store.header(txn, number)?.ok_or_else(missing)?;
    let body = store.body(txn, number)?.ok_or_else(missing)?;
    let receipts = store.receipts(txn, number)?.ok_or_else(missing)?;
    let mut block = Vec::new();
    alloy_rlp::Header {
        list: true,
        payload_length: record.rlp.len() + body.len(),
    }
    .encode(&mut block);
    block.extend_from_slice(&record.rlp);
    block.extend_from_slice(body);
    let mut ancestors = Vec::new();
    for ancestor in (number.saturating_sub(ANCESTORS)..number).rev() {
        let header = store
            .header(txn, ancestor)?
            .ok_or_else(|| Error::Corrupt(format!("the header of block {ancestor} is missing")))?;
        ancestors.push(header.rlp);
    }
    Ok((
        Head {
            chain: chain.fingerprint,
            outbox_root: record.outbox_root,
            block: block.into(),
            receipts: receipts.receipts,
            ancestors,
        },
        record.sealed.hash,
    ))
}

struct Writing<'t, W> {
    store: &'t Store,
    txn: &'t Txn<'t>,
    frames: Writer<W>,
    content: Vec<u8>,
    seen: B256Set,
    counts: Counts,
}

impl<W: Write> Writing<'_, W> {
    fn account(&mut self, address: &Address, account: &Account) -> Result<()> {
        self.flush_if_full()?;
        let code = if account.code_hash == Account::default().code_hash {
            Code::None
        } else if self.seen.insert(account.code_hash) {
            let code: Bytes = self.store.code(self.txn, &account.code_hash)?;
            self.counts.codes += 1;
            Code::New(code)
        } else {
            Code::Known(account.code_hash)
        };
        self.counts.accounts += 1;
        put_account(&mut self.content, address, account, &code);
        Ok(())
    }

    fn slot(&mut self, slot: &[u8], value: &[u8]) -> Result<()> {
        self.flush_if_full()?;
        self.counts.slots += 1;
        put_slot(&mut self.content, slot, value);
        Ok(())
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.content.len() >= FRAME {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.content.is_empty() {
            self.frames.put(STATE, &self.content)?;
            self.content.clear();
        }
        Ok(())
    }
}
