//! Snapshots: the same state has the same bytes, one that is taken up answers and goes on as the chain it is of, and nothing that
//! is not exactly the trusted block's state is taken up.

mod common;
mod histories;

use common::{Actor, genesis, open, rich};
use dougong_evm::alloy::B256;
use dougong_evm::chain::{Chain, HeadInfo};
use dougong_evm::error::Error;
use dougong_evm::snapshot::{Exported, Flaw, export, import};
use dougong_evm::store::{DEFAULT_MAP_BYTES, Store};
use histories::{History, Move, everything, moves, nodes_of};
use proptest::prelude::*;
use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

fn take(chain: &Chain, number: Option<u64>) -> (Vec<u8>, Exported) {
    let mut out = Vec::new();
    let told = export(chain, number, &mut out).unwrap();
    (out, told)
}

fn take_up(path: &Path, document: &str, trusted: &B256, data: &[u8]) -> Result<HeadInfo, Error> {
    import(path, document, DEFAULT_MAP_BYTES, trusted, data)
}

fn refused(path: &Path, document: &str, trusted: &B256, data: &[u8]) -> Flaw {
    let flaw = match take_up(path, document, trusted, data) {
        Err(Error::Snapshot(flaw)) => flaw,
        other => panic!("{other:?}"),
    };
    // What is left can be opened as nothing, and is no obstacle.
    let opened = Chain::open(
        path,
        document,
        DEFAULT_MAP_BYTES,
        std::sync::Arc::new(dougong_evm::tx::SenderCache::new(16)),
    );
    assert!(matches!(opened, Err(Error::Corrupt(why)) if why.contains("import it again")));
    flaw
}

/// (kind, content) of every frame.
fn split(data: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut rest, mut frames) = (&data[12..], Vec::new());
    while !rest.is_empty() {
        let number = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
        let (packed, whole) = (number(1), number(5));
        let content = zstd::bulk::decompress(&rest[41..41 + packed], whole).unwrap();
        frames.push((rest[0], content));
        rest = &rest[41 + packed..];
    }
    frames
}

/// A snapshot whose digests are as they should be, whatever it says.
fn join(frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"DGSTATE\n\0\0\0\x01".to_vec();
    let mut digest = alloy_primitives::keccak256(&out);
    for (kind, content) in frames {
        digest = alloy_primitives::keccak256([digest.as_slice(), &[*kind], content].concat());
        let packed = zstd::bulk::compress(content, 3).unwrap();
        out.push(*kind);
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&(content.len() as u32).to_be_bytes());
        out.extend_from_slice(digest.as_slice());
        out.extend_from_slice(&packed);
    }
    out
}

fn grown(folder: &Path) -> History {
    let mut history = History::new(folder);
    for kind in 0..12 {
        history.grow(kind % 7);
    }
    history
}

#[test]
fn a_snapshot_taken_up_answers_and_goes_on_as_its_chain() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut history = grown(one.path());
    let (data, told) = take(&history.chain, None);
    assert_eq!((told.number, told.hash), (12, common::hash(&history.chain)));
    assert_eq!(take(&history.chain, None), (data.clone(), told));
    assert_eq!(join(&split(&data)), data);
    let head = take_up(two.path(), history.document(), &told.hash, &data).unwrap();
    assert_eq!(head.sealed.hash, told.hash);
    let mut copy = History::new(two.path());
    assert_eq!(everything(&copy.chain, 12), everything(&history.chain, 12));
    nodes_of(&copy.chain, 12, &mut HashSet::new());
    let first = |chain: &Chain| dougong_evm::json::block(chain.store(), 0, true).unwrap();
    assert_eq!(first(&copy.chain), first(&history.chain));
    // What is before it is told as pruned; headers that BLOCKHASH reaches are there.
    for number in 0..12 {
        assert!(matches!(
            copy.chain.at(Some(number)),
            Err(Error::StatePruned(_))
        ));
        assert_eq!(
            copy.chain.header(number).unwrap().sealed.hash,
            history.chain.header(number).unwrap().sealed.hash
        );
    }
    assert!(matches!(copy.chain.rollback(11), Err(Error::Pruned(_))));
    assert!(matches!(
        copy.chain.encode_batch(12, 12, 3),
        Err(Error::Pruned(_))
    ));
    // It goes on, back and on, and is itself exported to the same bytes.
    assert_eq!(take(&copy.chain, None).0, data);
    for kind in [1, 5, 4, 2] {
        history.grow(kind);
        copy.grow(kind);
        assert_eq!(common::hash(&copy.chain), common::hash(&history.chain));
    }
    copy.reopen();
    assert_eq!(
        copy.chain.encode_batch(13, 16, 3).unwrap(),
        history.chain.encode_batch(13, 16, 3).unwrap()
    );
    copy.rollback(12);
    assert_eq!(everything(&copy.chain, 12), everything(&history.chain, 12));
    // And it can be pruned on.
    copy.grow(1);
    copy.grow(3);
    while copy.chain.prune(14, 14).unwrap() {}
    let mut nodes = HashSet::new();
    nodes_of(&copy.chain, 14, &mut nodes);
    let store = copy.chain.store();
    assert_eq!(
        store.node_count(&store.read().unwrap()).unwrap(),
        nodes.len() as u64
    );
}

#[test]
fn a_block_under_the_head_has_the_bytes_that_it_had_as_the_head() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::new(folder.path());
    let mut taken = Vec::new();
    for kind in 0..14 {
        history.grow(kind % 7);
        taken.push(take(&history.chain, None).0);
    }
    for (number, data) in (1..).zip(&taken) {
        assert_eq!(
            &take(&history.chain, Some(number)).0,
            data,
            "block {number}"
        );
    }
    while history.chain.prune(9, 0).unwrap() {}
    assert_eq!(take(&history.chain, Some(9)).0, taken[8]);
    let error = export(&history.chain, Some(8), Vec::new()).unwrap_err();
    assert!(matches!(error, Error::Pruned(_)));
    let error = export(&history.chain, Some(15), Vec::new()).unwrap_err();
    assert!(matches!(error, Error::NotFound(_)));
}

#[test]
fn bytes_that_are_not_the_snapshot_are_refused_by_kind() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let history = grown(one.path());
    let (data, told) = take(&history.chain, None);
    let document = history.document();
    let flaw = |data: &[u8]| refused(two.path(), document, &told.hash, data);
    for cut in [0, 5, 12, 40, 60, data.len() / 2, data.len() - 1] {
        assert_eq!(flaw(&data[..cut]), Flaw::Truncated, "{cut}");
    }
    let frames = split(&data);
    assert_eq!(flaw(&join(&frames[..frames.len() - 1])), Flaw::Truncated);
    assert_eq!(flaw(&[&data[..], b"x"].concat()), Flaw::Trailing);
    assert_eq!(flaw(&b"not a snapshot".repeat(3)), Flaw::Foreign);
    let mut other = data.clone();
    other[11] = 2;
    assert_eq!(flaw(&other), Flaw::Version(2));
    // A frame that announces more than it may have: refused before memory is taken for it.
    let mut huge = data[..12].to_vec();
    huge.extend_from_slice(&[1, 0, 0, 0, 9, 255, 255, 255, 255]);
    huge.extend_from_slice(&[0; 64]);
    assert_eq!(flaw(&huge), Flaw::Oversized(u64::from(u32::MAX)));
    // zstd that unpacks to more than announced.
    let bomb = zstd::bulk::compress(&vec![0; 1 << 24], 3).unwrap();
    let mut bombed = data[..12].to_vec();
    bombed.push(1);
    bombed.extend_from_slice(&(bomb.len() as u32).to_be_bytes());
    bombed.extend_from_slice(&(1u32 << 16).to_be_bytes());
    bombed.extend_from_slice(&[0; 32]);
    bombed.extend_from_slice(&bomb);
    assert_eq!(flaw(&bombed), Flaw::Damaged(0));
    // Whatever single byte is another.
    for at in (12..data.len()).step_by(7) {
        let mut bent = data.clone();
        bent[at] ^= 0x10;
        take_up(two.path(), document, &told.hash, &bent).unwrap_err();
    }
    // The untouched one is taken up after all that.
    take_up(two.path(), document, &told.hash, &data).unwrap();
}

/// Whether it is an account's record, and its bytes.
type Entry = (bool, Vec<u8>);

/// The records of all state frames.
fn records(frames: &[(u8, Vec<u8>)]) -> Vec<Entry> {
    let mut out = Vec::new();
    for (_, content) in frames.iter().filter(|(kind, _)| *kind == 2) {
        let mut rest = &content[..];
        while let Some(first) = rest.first() {
            let length = match (first, rest.get(61)) {
                (2, _) => 34 + usize::from(rest[33]),
                (_, Some(1)) => 62 + 32,
                (_, Some(2)) => 66 + u32::from_be_bytes(rest[62..66].try_into().unwrap()) as usize,
                _ => 62,
            };
            out.push((*first == 1, rest[..length].to_vec()));
            rest = &rest[length..];
        }
    }
    out
}

#[test]
fn a_snapshot_that_lies_in_good_form_is_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let history = grown(one.path());
    let (data, told) = take(&history.chain, None);
    let document = history.document();
    let frames = split(&data);
    let records = records(&frames);
    let (head, end) = (frames[0].clone(), frames[frames.len() - 1].clone());
    let counts = |records: &[Entry]| {
        let accounts = records.iter().filter(|(account, _)| *account).count() as u64;
        let codes = records
            .iter()
            .filter(|(account, data)| *account && data[61] == 2)
            .count() as u64;
        [accounts, records.len() as u64 - accounts, codes]
            .into_iter()
            .flat_map(u64::to_be_bytes)
            .collect::<Vec<u8>>()
    };
    assert_eq!(counts(&records), end.1);
    let told_flaw = |records: &[Entry]| {
        let state: Vec<u8> = records.iter().flat_map(|(_, data)| data.clone()).collect();
        let lie = join(&[head.clone(), (2, state), (3, counts(records))]);
        refused(two.path(), document, &told.hash, &lie)
    };
    let untrue = |flaw: Flaw| matches!(flaw, Flaw::Untrue(_));
    let slot = records.iter().position(|(account, _)| !account).unwrap();
    let plain = records
        .iter()
        .position(|(account, data)| *account && data[61] == 0)
        .unwrap();
    let coded = records
        .iter()
        .position(|(account, data)| *account && data[61] == 2)
        .unwrap();
    let with = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut changed = records.clone();
        change(&mut changed);
        told_flaw(&changed)
    };
    // An account more or less, richer, or with another code; a slot less, or of another value.
    assert!(untrue(with(&|records| drop(records.remove(plain)))));
    assert!(untrue(with(&|records| records[plain].1[60] ^= 1)));
    // Others that have the code name it by its hash.
    let another_code = with(&|records| *records[coded].1.last_mut().unwrap() ^= 1);
    assert_eq!(another_code, Flaw::Malformed("a code is missing"));
    assert!(untrue(with(&|records| drop(records.remove(slot)))));
    assert!(untrue(with(&|records| *records[slot]
        .1
        .last_mut()
        .unwrap() ^= 0x40)));
    assert!(untrue(told_flaw(&[])));
    // Twice, or in another order.
    assert_eq!(
        with(&|records| records.insert(plain, records[plain].clone())),
        Flaw::Unordered
    );
    assert_eq!(
        with(&|records| records.insert(slot, records[slot].clone())),
        Flaw::Unordered
    );
    assert_eq!(
        with(&|records| records.swap(slot, slot + 1)),
        Flaw::Unordered
    );
    // A slot before any account, one of nothing, a code that nobody brought, one that is brought twice.
    assert!(matches!(
        with(&|records| records.insert(0, records[slot].clone())),
        Flaw::Malformed(_)
    ));
    let malformed = |flaw: Flaw| matches!(flaw, Flaw::Malformed(_));
    assert!(malformed(with(&|records| {
        records[slot].1.truncate(33);
        records[slot].1.push(0);
    })));
    assert!(malformed(with(&|records| {
        records[plain].1.truncate(61);
        records[plain].1.push(1);
        records[plain].1.extend_from_slice(&[7; 32]);
    })));
    assert_eq!(
        with(&|records| {
            let code = records[coded].1[61..].to_vec();
            let next = records
                .iter()
                .enumerate()
                .position(|(at, (account, data))| *account && at > coded && data[61] == 1)
                .unwrap();
            records[next].1.truncate(61);
            records[next].1.extend_from_slice(&code);
        }),
        Flaw::Unordered
    );
    // Counts, kinds and frames that do not fit.
    let odd = [
        vec![head.clone(), (3, vec![0; 24])],
        vec![(2, vec![])],
        vec![head.clone(), head.clone()],
        vec![head.clone(), (9, vec![])],
        vec![head.clone(), (2, vec![1, 2, 3])],
        vec![(1, vec![0xc0])],
        vec![],
    ];
    for (i, frames) in odd.iter().enumerate() {
        let flaw = refused(two.path(), document, &told.hash, &join(frames));
        assert!(
            malformed(flaw.clone()) || untrue(flaw.clone()) || flaw == Flaw::Truncated,
            "{i}: {flaw:?}"
        );
    }
    // The truth about another block, or another chain.
    let (older, of_older) = take(&history.chain, Some(11));
    assert_eq!(
        refused(two.path(), document, &told.hash, &older),
        Flaw::Untrusted(of_older.hash)
    );
    let elsewhere = genesis(rich(&[&Actor::new(9)]));
    assert_eq!(
        refused(two.path(), &elsewhere, &told.hash, &data),
        Flaw::OtherChain
    );
}

#[test]
fn an_import_that_was_cut_off_says_so_and_begins_again() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let history = grown(one.path());
    let (data, told) = take(&history.chain, None);
    // A reader that fails is where a process can end: what was committed before stays as it is.
    for cut in [200, data.len() / 2, data.len() - 30] {
        let failing = data[..cut].chain(Broken);
        import(
            two.path(),
            history.document(),
            DEFAULT_MAP_BYTES,
            &told.hash,
            failing,
        )
        .unwrap_err();
        let store = Store::open(two.path(), DEFAULT_MAP_BYTES).unwrap();
        assert!(store.is_importing(&store.read().unwrap()).unwrap());
        assert_eq!(store.head_number(&store.read().unwrap()).unwrap(), None);
    }
    take_up(two.path(), history.document(), &told.hash, &data).unwrap();
    let copy = open(two.path(), history.document());
    assert_eq!(everything(&copy, 12), everything(&history.chain, 12));
    assert!(!two.path().join("sorting").exists());
    drop(copy);
    // A folder that holds a chain is not overwritten.
    let error = take_up(two.path(), history.document(), &told.hash, &data).unwrap_err();
    assert!(matches!(error, Error::Invalid(why) if why.contains("holds a chain already")));
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the disk went away"))
    }
}

#[test]
fn a_state_of_many_frames_and_batches_is_taken_up() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut history = History::new(one.path());
    for round in 0..36 {
        history.fill(round * 1_100, 1_100, 0xffff_ffff_ffff + round);
    }
    let (data, told) = take(&history.chain, None);
    assert!(told.slots > 39_000 && split(&data).len() >= 4);
    take_up(two.path(), history.document(), &told.hash, &data).unwrap();
    let mut copy = History::new(two.path());
    nodes_of(&copy.chain, told.number, &mut HashSet::new());
    assert_eq!(take(&copy.chain, None).0, data);
    copy.fill(39_000, 900, 3);
    history.fill(39_000, 900, 3);
    assert_eq!(common::hash(&copy.chain), common::hash(&history.chain));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_history_is_exported_and_taken_up(moves in moves(), back in 0u64..6) {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut history = History::new(one.path());
        for one in moves {
            match one {
                Move::Grow(kind) => history.grow(kind),
                Move::Back(depth) => {
                    let floor = history.chain.kept().unwrap().floor();
                    history.rollback(history.head().saturating_sub(depth).max(floor));
                }
                Move::Prune(window, bodies, _) => {
                    let head = history.head();
                    while history.chain.prune(head.saturating_sub(window), head.saturating_sub(bodies)).unwrap() {}
                }
                Move::Reopen => history.reopen(),
            }
        }
        history.grow(1);
        let floor = history.chain.kept().unwrap().floor().max(history.chain.kept().unwrap().bodies);
        let number = history.head().saturating_sub(back).max(floor).max(1);
        let (data, told) = take(&history.chain, Some(number));
        take_up(two.path(), history.document(), &told.hash, &data).unwrap();
        let mut copy = History::new(two.path());
        prop_assert_eq!(everything(&copy.chain, number), everything(&history.chain, number));
        history.rollback(number);
        prop_assert_eq!(&take(&history.chain, None).0, &data);
        history.grow(5);
        copy.grow(5);
        prop_assert_eq!(common::hash(&copy.chain), common::hash(&history.chain));
    }
}
