//! Taking up a snapshot.
//!
//! 1. The store is emptied and marked: until the last step it opens as nothing else, and an import that was cut off begins anew.
//! 2. The head is held against the trusted hash: the block's header, the headers before it by their parents' hashes, the body and
//!    the receipts by their roots.
//! 3. Accounts, slots and codes go to the flat tables as they come, and under their hashed keys to a folder aside.
//! 4. The tries are built from there; their root must be the header's, and the outbox root the one in the state.
//! 5. One transaction stores the headers and the block, and makes the store a chain's.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::Decodable;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::Flaw;
use super::frames::{END, HEAD, Reader, STATE};
use super::records::{Code, Counts, Head, Record, take_record};
use super::sorted::Sorting;
use crate::block::{Executed, Sealed, context_of, receipts_root};
use crate::chain::{HeadInfo, genesis_block, outbox_root};
use crate::config::{ChainConfig, GenesisDocument, OUTBOX};
use crate::error::{Error, Result};
use crate::import::{Foreign, check_roots, take};
use crate::node::root_hash;
use crate::state::{Changes, Overlay};
use crate::store::{HeaderRecord, Kept, Store};
use crate::tx::SenderCache;
use crate::view::Latest;

/// Nothing proves how many of the block's transactions came through the inbox: the block cannot be put into a batch.
const UNKNOWN_FORCED: usize = usize::MAX;

/// Makes the empty or unfinished store at `path` the chain of the genesis document as of the block whose hash is `trusted`.
pub fn import(
    path: &Path,
    genesis_json: &str,
    map_bytes: usize,
    trusted: &B256,
    input: impl Read,
) -> Result<HeadInfo> {
    let genesis = GenesisDocument::parse(genesis_json, false)?;
    let config = genesis.config.clone();
    let store = Arc::new(Store::open(path, map_bytes)?);
    let fresh = {
        let txn = store.read()?;
        store.is_importing(&txn)? || store.identity(&txn)?.is_none()
    };
    if !fresh {
        return Err(Error::Invalid(format!(
            "{} holds a chain already: a snapshot goes into an empty folder",
            path.display()
        )));
    }
    store.begin_import()?;
    let mut overlay = Overlay::new(Latest::new(store.clone()));
    let (first, ..) = genesis_block(&store, &mut overlay, genesis)?;
    let first_outbox = outbox_root(&mut overlay, &config)?;
    drop(overlay);
    let chain = keccak256([config.fingerprint().as_slice(), first.hash.as_slice()].concat());

    let mut frames = Reader::new(input)?;
    let head = take_head(&mut frames)?;
    if head.chain != chain {
        return Err(Flaw::OtherChain.into());
    }
    let (block, ancestors) = check_head(&head, trusted, &first)?;

    let sorting = Sorting::open(path, map_bytes)?;
    fill(&store, &sorting, &mut frames)?;
    frames.end()?;

    let header = &block.sealed.header;
    let (root, next_node) = sorting.tries(&store)?;
    sorting.remove();
    if root_hash(root.as_ref()) != header.state_root {
        return Err(untrue("the state's root is another"));
    }
    let mut txn = store.write()?;
    let last_outbox = match store.account(&txn, &OUTBOX)? {
        Some(_) => store.storage(&txn, &OUTBOX, &config.outbox_slot)?.into(),
        None => B256::ZERO,
    };
    if last_outbox != head.outbox_root {
        return Err(untrue("the outbox root is another"));
    }
    let oldest = ancestors
        .last()
        .map_or(header.number, |oldest| oldest.header.number);
    let genesis = Executed::empty(first, first_outbox);
    store.put_block(&mut txn, &genesis, &Changes::default(), 0, 1)?;
    for sealed in ancestors.iter().filter(|sealed| sealed.header.number > 0) {
        store.put_header(&mut txn, &bare(sealed))?;
    }
    let number = header.number;
    let kept = Kept {
        states: number,
        bodies: number,
        headers: oldest,
        swept: number,
    };
    let block = executed(&config, block, head);
    let node = root.map_or(0, |root| root.id());
    store.put_block(&mut txn, &block, &Changes::default(), node, next_node)?;
    store.set_kept(&mut txn, &kept)?;
    store.set_outbox_from(&mut txn, number)?;
    store.set_identity(&mut txn, &chain)?;
    store.finish_import(&mut txn)?;
    txn.commit()?;
    Ok(HeadInfo::from(&block))
}

/// The block that a snapshot says it is of, unchecked but for the hash: to look for somebody who vouches for it.
pub fn block_of(input: impl Read) -> Result<Sealed> {
    let head = take_head(&mut Reader::new(input)?)?;
    let mut data = &head.block[..];
    Ok(take(&mut data, &SenderCache::new(1))
        .map_err(untrue)?
        .sealed)
}

fn take_head(frames: &mut Reader<impl Read>) -> Result<Head> {
    match frames.next()? {
        (HEAD, content) => Ok(Head::decode(&mut content.as_slice())
            .map_err(|_| Flaw::Malformed("the head does not decode"))?),
        _ => Err(Flaw::Malformed("it does not begin with a head").into()),
    }
}

fn untrue(why: impl Into<String>) -> Error {
    Flaw::Untrue(why.into()).into()
}

fn bare(sealed: &Sealed) -> HeaderRecord {
    HeaderRecord {
        sealed: sealed.clone(),
        rlp: Default::default(),
        state_node: 0,
        next_node: 1,
        forced: 0,
        outbox_root: B256::ZERO,
    }
}

/// The block, and the headers before it, parent first.
fn check_head(head: &Head, trusted: &B256, first: &Sealed) -> Result<(Foreign, Vec<Sealed>)> {
    // First what costs nothing: only the trusted block's senders are recovered.
    let claimed = Sealed::of_block(&head.block).map_err(untrue)?.hash;
    if claimed != *trusted {
        return Err(Flaw::Untrusted(claimed).into());
    }
    let mut data = &head.block[..];
    let block = take(&mut data, &SenderCache::new(1)).map_err(untrue)?;
    if !data.is_empty() {
        return Err(Flaw::Malformed("the block goes on after its end").into());
    }
    check_roots(&block).map_err(untrue)?;
    let header = &block.sealed.header;
    if receipts_root(&head.receipts).0 != header.receipts_root
        || head.receipts.len() != block.txs.len()
    {
        return Err(untrue("the receipts are not those of their root"));
    }
    let wanted = header.number.min(256) as usize;
    if header.number == 0 || head.ancestors.len() != wanted {
        return Err(untrue(
            "the headers that BLOCKHASH reaches are not all there",
        ));
    }
    let mut ancestors: Vec<Sealed> = Vec::with_capacity(wanted);
    for rlp in &head.ancestors {
        let sealed = Sealed::decode(rlp).map_err(untrue)?;
        let child = ancestors.last().unwrap_or(&block.sealed);
        if sealed.hash != child.header.parent_hash {
            return Err(untrue("a header is not its child's parent"));
        }
        ancestors.push(sealed);
    }
    match ancestors.last() {
        Some(oldest) if oldest.header.number == 0 && oldest.hash != first.hash => {
            Err(untrue("its genesis block is another"))
        }
        _ => Ok((block, ancestors)),
    }
}

/// Fills the flat tables and the folder aside from all state frames, up to and with the end.
fn fill(store: &Store, sorting: &Sorting, frames: &mut Reader<impl Read>) -> Result<()> {
    let mut counts = Counts::default();
    let mut owner: Option<(Address, B256)> = None;
    loop {
        let content = match frames.next()? {
            (STATE, content) => content,
            (END, content) if content == counts.encode() => return Ok(()),
            (END, _) => return Err(Flaw::Malformed("the end counts otherwise").into()),
            _ => return Err(Flaw::Malformed("a frame's kind is unknown here").into()),
        };
        let (mut txn, mut aside) = (store.write()?, sorting.write()?);
        let mut rest = content.as_slice();
        while !rest.is_empty() {
            match take_record(&mut rest)? {
                Record::Account(address, account, code) => {
                    match &code {
                        Code::None => {}
                        Code::Known(hash) if store.has_code(&txn, hash)? => {}
                        Code::Known(_) => {
                            return Err(Flaw::Malformed("a code is missing").into());
                        }
                        Code::New(code) => {
                            if store.has_code(&txn, &account.code_hash)? {
                                return Err(Flaw::Unordered.into());
                            }
                            store.put_code(&mut txn, &account.code_hash, code)?;
                            counts.codes += 1;
                        }
                    }
                    if !store.append_account(&mut txn, &address, &account)? {
                        return Err(Flaw::Unordered.into());
                    }
                    sorting.put_account(&mut aside, &address)?;
                    owner = Some((address, keccak256(address)));
                    counts.accounts += 1;
                }
                Record::Slot(slot, value) => {
                    let (address, hashed) =
                        owner.ok_or(Flaw::Malformed("a slot without an account"))?;
                    put_slot(
                        store,
                        sorting,
                        (&mut txn, &mut aside),
                        &address,
                        &hashed,
                        slot,
                        value,
                    )?;
                    counts.slots += 1;
                }
            }
        }
        txn.commit()?;
        aside.commit()?;
    }
}

fn put_slot(
    store: &Store,
    sorting: &Sorting,
    (txn, aside): (&mut heed::RwTxn, &mut heed::RwTxn),
    address: &Address,
    hashed: &B256,
    slot: U256,
    value: U256,
) -> Result<()> {
    let bytes = value.to_be_bytes_trimmed_vec();
    if !store.append_slot(txn, address, &slot, &bytes)? {
        return Err(Flaw::Unordered.into());
    }
    sorting.put_slot(aside, hashed, &slot, &bytes)
}

fn executed(config: &ChainConfig, block: Foreign, head: Head) -> Executed {
    Executed {
        touched: vec![Vec::new(); block.txs.len()],
        txs: block.txs,
        receipts: head.receipts,
        blob_price: context_of(config, &block.sealed.header).blob_price(),
        ommers: block.ommers,
        withdrawals: block.withdrawals.unwrap_or_default(),
        forced: UNKNOWN_FORCED,
        outbox_root: head.outbox_root,
        sealed: block.sealed,
        included: Vec::new(),
        skipped: Vec::new(),
    }
}
