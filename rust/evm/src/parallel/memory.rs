//! What the transactions of a wave have written, by place and by transaction: the multi-version memory of Block-STM (Gelashvili et
//! al., 2022, algorithm 2).
//!
//! A place is an account, a storage slot, or the storage of an account as a whole, which a creation or a self-destruct wipes.
//! What a transaction of lower number wrote last is what one of higher number reads. An aborted transaction's writes stay as
//! estimates: to read one is to wait.

use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, U256};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::state::Account;

const SHARDS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Account(Address),
    Slot(Address, U256),
    Storage(Address),
}

/// What a transaction finds below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// No lower transaction has written there.
    Nothing,
    /// Written by this transaction.
    Written(usize, T),
    /// Will be written again by this transaction, which was aborted.
    Estimate(usize),
}

/// What one execution wrote.
#[derive(Default, Debug)]
pub struct Writes {
    pub accounts: Vec<(Address, Option<Account>)>,
    pub slots: Vec<(Address, U256, U256)>,
    pub wiped: Vec<Address>,
}

impl Writes {
    fn places(&self) -> impl Iterator<Item = Place> {
        let accounts = self
            .accounts
            .iter()
            .map(|(address, _)| Place::Account(*address));
        let slots = self
            .slots
            .iter()
            .map(|(address, slot, _)| Place::Slot(*address, *slot));
        let wiped = self.wiped.iter().map(|address| Place::Storage(*address));
        accounts.chain(slots).chain(wiped)
    }
}

struct Version<T> {
    tx: usize,
    estimate: bool,
    value: T,
}

#[repr(align(64))]
struct Shard<K, T>(Mutex<HashMap<K, Vec<Version<T>>>>);

/// Versions of places of one kind.
struct Table<K, T>(Vec<Shard<K, T>>);

impl<K: Hash + Eq, T: Copy> Table<K, T> {
    fn new() -> Self {
        Self((0..SHARDS).map(|_| Shard(Mutex::default())).collect())
    }

    fn shard(&self, index: u8) -> MutexGuard<'_, HashMap<K, Vec<Version<T>>>> {
        let shard = &self.0[usize::from(index) % SHARDS];
        shard.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, index: u8, key: &K, below: usize) -> Found<T> {
        let shard = self.shard(index);
        let Some(versions) = shard.get(key) else {
            return Found::Nothing;
        };
        let count = versions.partition_point(|version| version.tx < below);
        match count.checked_sub(1).map(|last| &versions[last]) {
            None => Found::Nothing,
            Some(version) if version.estimate => Found::Estimate(version.tx),
            Some(version) => Found::Written(version.tx, version.value),
        }
    }

    /// True if the transaction had written nothing there.
    fn write(&self, index: u8, key: K, tx: usize, value: T) -> bool {
        let version = Version {
            tx,
            estimate: false,
            value,
        };
        let mut shard = self.shard(index);
        let versions = shard.entry(key).or_default();
        match versions.binary_search_by_key(&tx, |version| version.tx) {
            Ok(place) => {
                versions[place] = version;
                false
            }
            Err(place) => {
                versions.insert(place, version);
                true
            }
        }
    }

    fn remove(&self, index: u8, key: &K, tx: usize) {
        if let Some(versions) = self.shard(index).get_mut(key) {
            versions.retain(|version| version.tx != tx);
        }
    }

    fn estimate(&self, index: u8, key: &K, tx: usize) {
        if let Some(versions) = self.shard(index).get_mut(key)
            && let Ok(place) = versions.binary_search_by_key(&tx, |version| version.tx)
        {
            versions[place].estimate = true;
        }
    }
}

fn of(address: &Address) -> u8 {
    address[19] ^ address[7]
}

fn of_slot(address: &Address, slot: &U256) -> u8 {
    let [low, ..] = slot.as_limbs();
    of(address) ^ (low ^ low >> 8) as u8
}

pub struct Memory {
    accounts: Table<Address, Option<Account>>,
    slots: Table<(Address, U256), U256>,
    wipes: Table<Address, ()>,
    /// Nothing was wiped: then nobody needs to look.
    unwiped: AtomicBool,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            accounts: Table::new(),
            slots: Table::new(),
            wipes: Table::new(),
            unwiped: AtomicBool::new(true),
        }
    }
}

impl Memory {
    pub fn account(&self, address: &Address, below: usize) -> Found<Option<Account>> {
        self.accounts.read(of(address), address, below)
    }

    pub fn slot(&self, address: &Address, slot: &U256, below: usize) -> Found<U256> {
        let written = self
            .slots
            .read(of_slot(address, slot), &(*address, *slot), below);
        if self.unwiped.load(SeqCst) {
            return written;
        }
        let wiped = self.wipes.read(of(address), address, below);
        match (written, wiped) {
            (written, Found::Nothing) => written,
            (Found::Estimate(one), Found::Estimate(other)) => Found::Estimate(one.max(other)),
            (Found::Estimate(tx), Found::Written(wiper, ())) if tx >= wiper => Found::Estimate(tx),
            (Found::Written(tx, value), Found::Estimate(wiper)) if tx > wiper => {
                Found::Written(tx, value)
            }
            // What is created writes after the wipe.
            (Found::Written(tx, value), Found::Written(wiper, ())) if tx >= wiper => {
                Found::Written(tx, value)
            }
            (_, Found::Estimate(wiper)) => Found::Estimate(wiper),
            (_, Found::Written(wiper, ())) => Found::Written(wiper, U256::ZERO),
        }
    }

    /// Takes in what an execution wrote, and out what the last one of the same transaction wrote elsewhere. True if it wrote where
    /// the last one did not. `places` is what the last one wrote, and then what this one did.
    pub fn record(&self, tx: usize, writes: &Writes, places: &mut Vec<Place>) -> bool {
        if !writes.wiped.is_empty() {
            self.unwiped.store(false, SeqCst);
        }
        let mut new = false;
        for (address, account) in &writes.accounts {
            new |= self.accounts.write(of(address), *address, tx, *account);
        }
        // A wipe comes in before what is written after it.
        for address in &writes.wiped {
            new |= self.wipes.write(of(address), *address, tx, ());
        }
        for (address, slot, value) in &writes.slots {
            let key = (*address, *slot);
            new |= self.slots.write(of_slot(address, slot), key, tx, *value);
        }
        let last = core::mem::replace(places, writes.places().collect());
        if !last.is_empty() {
            let now: alloy_primitives::map::HashSet<&Place> = places.iter().collect();
            for place in last.iter().filter(|place| !now.contains(place)) {
                match place {
                    Place::Account(address) => self.accounts.remove(of(address), address, tx),
                    Place::Slot(address, slot) => {
                        let key = (*address, *slot);
                        self.slots.remove(of_slot(address, slot), &key, tx)
                    }
                    Place::Storage(address) => self.wipes.remove(of(address), address, tx),
                }
                // Who read it there has to be asked again.
                new = true;
            }
        }
        new
    }

    /// Turns what an aborted execution wrote into estimates.
    pub fn abort(&self, tx: usize, places: &[Place]) {
        for place in places {
            match place {
                Place::Account(address) => self.accounts.estimate(of(address), address, tx),
                Place::Slot(address, slot) => {
                    let key = (*address, *slot);
                    self.slots.estimate(of_slot(address, slot), &key, tx)
                }
                Place::Storage(address) => self.wipes.estimate(of(address), address, tx),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Address = Address::repeat_byte(0xAA);
    const ONE: U256 = U256::ONE;

    fn slot(value: u64) -> Writes {
        Writes {
            slots: vec![(A, ONE, U256::from(value))],
            ..Default::default()
        }
    }

    #[test]
    fn one_reads_what_the_nearest_below_wrote() {
        let memory = Memory::default();
        assert!(memory.record(2, &slot(22), &mut Vec::new()));
        assert!(memory.record(5, &slot(55), &mut Vec::new()));
        assert_eq!(memory.slot(&A, &ONE, 2), Found::Nothing);
        assert_eq!(memory.slot(&A, &ONE, 5), Found::Written(2, U256::from(22)));
        assert_eq!(memory.slot(&A, &ONE, 9), Found::Written(5, U256::from(55)));
    }

    #[test]
    fn an_aborted_write_is_an_estimate_until_it_is_written_or_left_out() {
        let memory = Memory::default();
        let mut places = Vec::new();
        memory.record(2, &slot(22), &mut places);
        memory.abort(2, &places);
        assert_eq!(memory.slot(&A, &ONE, 3), Found::Estimate(2));
        assert!(!memory.record(2, &slot(23), &mut places), "the same place");
        assert_eq!(memory.slot(&A, &ONE, 3), Found::Written(2, U256::from(23)));
        assert!(memory.record(2, &Writes::default(), &mut places));
        assert_eq!(memory.slot(&A, &ONE, 3), Found::Nothing);
    }

    #[test]
    fn a_wipe_hides_what_was_written_before_it() {
        let memory = Memory::default();
        let wipe = Writes {
            wiped: vec![A],
            ..Default::default()
        };
        let mut places = Vec::new();
        memory.record(1, &slot(11), &mut Vec::new());
        memory.record(3, &wipe, &mut places);
        assert_eq!(memory.slot(&A, &ONE, 2), Found::Written(1, U256::from(11)));
        assert_eq!(memory.slot(&A, &ONE, 4), Found::Written(3, U256::ZERO));
        let created = Writes {
            wiped: vec![A],
            ..slot(44)
        };
        memory.record(4, &created, &mut Vec::new());
        assert_eq!(memory.slot(&A, &ONE, 5), Found::Written(4, U256::from(44)));
        memory.abort(3, &places);
        assert_eq!(memory.slot(&A, &ONE, 4), Found::Estimate(3));
        assert_eq!(memory.slot(&A, &ONE, 5), Found::Written(4, U256::from(44)));
    }
}
