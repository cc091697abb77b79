//! Pruning: after any history every state in the window is whole, nothing outside of it is left, and what is gone is told as such.

mod common;
mod histories;

use dougong_evm::alloy::{Address, B256, U256};
use dougong_evm::chain::Chain;
use dougong_evm::error::Error;
use dougong_evm::{call, json, logs, prove, receipts};
use histories::{History, Move, everything, moves, nodes_of};
use proptest::prelude::*;
use std::collections::HashSet;
use std::time::Duration;

/// Prunes until nothing is left to do.
fn prune(chain: &Chain, states: u64, bodies: u64) {
    while chain.prune(states, bodies).unwrap() {}
}

/// Every kept state is whole, and the node table holds those states' nodes and no other.
fn check_whole(chain: &Chain) {
    let kept = chain.kept().unwrap();
    let head = chain.head().unwrap().sealed.header.number;
    let mut reachable = HashSet::new();
    for number in kept.states..=head {
        nodes_of(chain, number, &mut reachable);
    }
    let store = chain.store();
    let stored = store.node_count(&store.read().unwrap()).unwrap();
    assert_eq!(kept.swept, kept.states);
    assert_eq!(stored, reachable.len() as u64);
}

#[test]
fn an_archive_becomes_a_window_and_grows_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::new(folder.path());
    for _ in 0..20 {
        history.grow(2);
    }
    let before: Vec<_> = (0..=20).map(|n| everything(&history.chain, n)).collect();
    prune(&history.chain, 12, 0);
    check_whole(&history.chain);
    for number in 12..=20 {
        assert_eq!(everything(&history.chain, number), before[number as usize]);
    }
    history.grow(3);
    history.reopen();
    prune(&history.chain, 15, 15);
    check_whole(&history.chain);
    for number in 15..=20 {
        assert_eq!(everything(&history.chain, number), before[number as usize]);
    }
    // To ask for less again brings nothing back, and does nothing.
    assert!(!history.chain.prune(3, 3).unwrap());
    assert_eq!(history.chain.kept().unwrap().states, 15);
}

#[test]
fn what_is_pruned_is_told_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::new(folder.path());
    for _ in 0..10 {
        history.grow(2);
    }
    let chain = &history.chain;
    let tx = {
        let raw = chain.transactions(3).unwrap().remove(0);
        alloy_primitives::keccak256(raw)
    };
    prune(chain, 6, 5);
    let pruned = |error: Error, words: &str| match error {
        Error::Pruned(why) | Error::StatePruned(why) => assert!(why.contains(words), "{why}"),
        other => panic!("{other:?}"),
    };
    let root = chain.header(5).unwrap().sealed.header.state_root;
    pruned(
        chain.at(Some(5)).err().unwrap(),
        &format!("historical state {root} is not available"),
    );
    pruned(
        prove::proof(chain.store(), Address::ZERO, &[], 5).unwrap_err(),
        "is not available",
    );
    let request = call::Request::parse(
        r#"{"to":"0x0000000000000000000000000000000000000001"}"#,
        ("null", "null"),
    )
    .unwrap();
    pruned(
        call::call(&chain.config, chain.store(), &request, 5, 1 << 24).unwrap_err(),
        "is not available",
    );
    let unavailable = "pruned history unavailable";
    pruned(chain.block_rlp(4).unwrap_err(), unavailable);
    pruned(chain.transactions(4).unwrap_err(), unavailable);
    pruned(
        json::block(chain.store(), 4, true).unwrap_err(),
        unavailable,
    );
    pruned(receipts::block(chain.store(), 4).unwrap_err(), unavailable);
    pruned(chain.encode_batch(4, 6, 3).unwrap_err(), unavailable);
    let budget = || logs::Budget {
        count: 1000,
        bytes: 1 << 20,
        time: Duration::from_secs(60),
    };
    pruned(
        logs::logs(chain.store(), "{}", (4, 10), budget()).unwrap_err(),
        unavailable,
    );
    logs::logs(chain.store(), "{}", (5, 10), budget()).unwrap();
    // As geth answers for a transaction that it no longer indexes.
    assert_eq!(json::transaction(chain.store(), &tx).unwrap(), None);
    assert_eq!(receipts::one(chain.store(), &tx).unwrap(), None);
    // Headers stay, and with them BLOCKHASH, and what is kept is read.
    assert_eq!(chain.header(4).unwrap().sealed.header.number, 4);
    json::block(chain.store(), 5, true).unwrap();
    // As is the first block of all.
    json::block(chain.store(), 0, true).unwrap();
    // A block that there never was is not a pruned one.
    assert!(matches!(chain.at(Some(11)), Err(Error::NotFound(_))));
    assert!(matches!(chain.block_rlp(11), Err(Error::NotFound(_))));
    // Back to the window's end, and not a block further.
    pruned(chain.rollback(5).unwrap_err(), "kept from block 6 on");
    let kept = everything(chain, 6);
    chain.rollback(6).unwrap();
    assert_eq!(everything(chain, 6), kept);
    check_whole(chain);
    history.grow(2);
}

#[test]
fn a_step_is_small_and_readers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::new(folder.path());
    for _ in 0..30 {
        history.grow(2);
    }
    let chain = &history.chain;
    let (record, reader) = chain.at(Some(2)).unwrap();
    let seen = || {
        use dougong_evm::state::StateReader;
        (
            reader.account(history.actor.address).unwrap(),
            reader
                .storage(histories::register(), U256::from(1))
                .unwrap(),
        )
    };
    let before = seen();
    let mut steps = 0;
    while chain.prune(28, 28).unwrap() {
        steps += 1;
        assert_eq!(seen(), before, "step {steps}");
    }
    assert!(steps > 2);
    assert_eq!(record.sealed.header.number, 2);
    drop(reader);
    assert!(matches!(chain.at(Some(2)), Err(Error::StatePruned(_))));
    check_whole(chain);
}

#[test]
fn a_pruning_that_was_cut_off_anywhere_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::new(folder.path());
    for _ in 0..12 {
        history.grow(3);
    }
    let whole: Vec<_> = (8..=12).map(|n| everything(&history.chain, n)).collect();
    // A process that ends between two steps leaves what a store that is opened again between them holds.
    let mut steps = 0;
    while history.chain.prune(8, 8).unwrap() {
        history.reopen();
        history.grow_elsewhere_and_back();
        steps += 1;
    }
    assert!(steps >= 3);
    check_whole(&history.chain);
    for (number, expected) in (8..=12).zip(&whole) {
        assert_eq!(&everything(&history.chain, number), expected);
    }
}

#[test]
fn a_huge_storage_that_goes_is_swept_in_bounded_steps() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::new(folder.path());
    // 40 blocks of 150 slots each, then the same slots back to nothing.
    for round in 0..6 {
        history.fill(round * 900, 900, 1);
    }
    for round in 0..6 {
        history.fill(round * 900, 900, 0);
    }
    let store = history.chain.store();
    let count = || store.node_count(&store.read().unwrap()).unwrap();
    let before = count();
    assert!(before > 8_000);
    let mut last = before;
    while history.chain.prune(u64::MAX, 0).unwrap() {
        assert!(last - count() <= 2_000);
        last = count();
    }
    assert!(last < 200, "{last}");
    check_whole(&history.chain);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn after_any_history_every_state_in_the_window_is_whole(moves in moves()) {
        let (folder, twin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut pruned, mut archive) = (History::new(folder.path()), History::new(twin.path()));
        for one in moves {
            match one {
                Move::Grow(kind) => {
                    pruned.grow(kind);
                    archive.grow(kind);
                }
                Move::Back(depth) => {
                    let head = pruned.head();
                    let target = head.saturating_sub(depth).max(pruned.chain.kept().unwrap().floor());
                    pruned.rollback(target);
                    archive.rollback(target);
                }
                Move::Prune(window, bodies, steps) => {
                    let head = pruned.head();
                    for _ in 0..steps {
                        pruned.chain.prune(head.saturating_sub(window), head.saturating_sub(bodies)).unwrap();
                    }
                }
                Move::Reopen => pruned.reopen(),
            }
        }
        let kept = pruned.chain.kept().unwrap();
        prune(&pruned.chain, kept.states, kept.bodies);
        check_whole(&pruned.chain);
        for number in kept.states.max(kept.bodies)..=pruned.head() {
            prop_assert_eq!(everything(&pruned.chain, number), everything(&archive.chain, number));
        }
        let hash = |history: &History| -> B256 { history.chain.head().unwrap().sealed.hash };
        pruned.grow(5);
        archive.grow(5);
        prop_assert_eq!(hash(&pruned), hash(&archive));
    }
}
