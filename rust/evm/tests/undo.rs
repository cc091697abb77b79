//! What a block takes from the flat tables comes back when it goes, also what nobody had read.

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256};
use dougong_evm::block::{Executed, Sealed};
use dougong_evm::state::{Account, AccountChange, Changes};
use dougong_evm::store::Store;

fn empty(number: u64) -> Executed {
    let header = Header {
        number,
        ..Default::default()
    };
    Executed {
        sealed: Sealed::new(header),
        txs: Vec::new(),
        receipts: Vec::new(),
        touched: Vec::new(),
        blob_price: 0,
        ommers: Vec::new(),
        withdrawals: Vec::new(),
        forced: 0,
        outbox_root: B256::ZERO,
        included: Vec::new(),
        skipped: Vec::new(),
    }
}

#[test]
fn storage_of_a_destroyed_account_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 1 << 26).unwrap();
    let account = Account {
        nonce: 1,
        ..Default::default()
    };
    let (one, other) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let slots = |from: u64| -> Vec<(U256, U256, U256)> {
        (from..from + 5)
            .map(|slot| (U256::from(slot), U256::ZERO, U256::from(slot + 100)))
            .collect()
    };
    let made = |address, storage| AccountChange {
        address,
        before: None,
        after: Some(account),
        reset: false,
        storage,
    };
    let first = Changes {
        accounts: vec![made(one, slots(0)), made(other, slots(3))],
        codes: Vec::new(),
    };
    // Only one of its five slots was read before it was destroyed.
    let second = Changes {
        accounts: vec![AccountChange {
            address: one,
            before: Some(account),
            after: None,
            reset: true,
            storage: vec![(U256::from(2), U256::from(102), U256::ZERO)],
        }],
        codes: Vec::new(),
    };
    let flat = || -> Vec<U256> {
        let txn = store.read().unwrap();
        (0..8)
            .flat_map(|slot| [(one, slot), (other, slot)])
            .map(|(address, slot)| store.storage(&txn, &address, &U256::from(slot)).unwrap())
            .collect()
    };
    let mut txn = store.write().unwrap();
    store.put_block(&mut txn, &empty(1), &first, 0, 1).unwrap();
    txn.commit().unwrap();
    let before = flat();
    assert_eq!(before.iter().filter(|value| !value.is_zero()).count(), 10);
    let mut txn = store.write().unwrap();
    store.put_block(&mut txn, &empty(2), &second, 0, 1).unwrap();
    txn.commit().unwrap();
    assert_eq!(flat().iter().filter(|value| !value.is_zero()).count(), 5);
    let mut txn = store.write().unwrap();
    store.pop_block(&mut txn, 2).unwrap();
    txn.commit().unwrap();
    assert_eq!(flat(), before);
}
