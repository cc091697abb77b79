//! When to execute in parallel, and when one transaction after the other.
//!
//! The outcome is the same, so this may go by the clock: it measures what a unit of work takes either way, and stays in order for
//! a while, each time twice as long, when a wave of transactions was stopped by its conflicts or was no faster.

use alloy_primitives::map::AddressMap;
use std::time::Duration;

use crate::executor::{Offered, TxOutcome};
use crate::transfer;

/// Most transactions of a wave: what a wave wastes when it fails is bounded, and so is what it holds in memory.
pub const WAVE: usize = 1024;
/// Fewer than these are not worth the threads' waking.
pub const FEWEST: usize = 24;
/// The first wave after a stay in order is a trial.
const TRIAL: usize = 128;
/// Transactions that are executed in order to know how long that takes.
const SAMPLE: usize = 32;
/// How many transactions lie between two samples.
const BETWEEN_SAMPLES: usize = 8192;
/// What waves must take less than execution in order to be worth it: all cores are busy with them, and what runs in order for long
/// looks up less than a sample does.
const GAIN: f64 = 0.9;
const SHORTEST_STAY: usize = 1024;
const LONGEST_STAY: usize = 1 << 16;
/// What executing a transaction takes beyond its gas, in gas.
const OVERHEAD: u64 = 4_000;
/// What a plain transfer takes in order, in gas: there it needs no interpreter. Counted in full it would make every wave with other
/// work in it look slow, and a wave of transfers look fast.
const TRANSFER: u64 = 2_500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    InOrder(usize),
    Wave(usize),
}

pub struct Pace {
    /// Nanoseconds for a thousand units, in order and in waves.
    in_order: Option<f64>,
    in_waves: Option<f64>,
    /// Transactions to execute in order before the next trial.
    stay: usize,
    next_stay: usize,
    until_sample: usize,
    trial: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            in_order: None,
            in_waves: None,
            stay: 0,
            next_stay: SHORTEST_STAY,
            until_sample: 0,
            trial: true,
        }
    }
}

fn blend(old: Option<f64>, new: f64) -> Option<f64> {
    Some(old.map_or(new, |old| old * 0.75 + new * 0.25))
}

/// How much work these transactions are when executed in order, in gas.
pub fn work(outcomes: &[TxOutcome]) -> u64 {
    let each = outcomes.iter().map(|outcome| match outcome.gas_used {
        transfer::GAS => TRANSFER,
        gas => gas + OVERHEAD,
    });
    each.sum()
}

fn per_unit(work: u64, took: Duration) -> f64 {
    took.as_nanos() as f64 * 1000.0 / work.max(1) as f64
}

impl Pace {
    pub fn next(&self) -> Next {
        if self.stay > 0 {
            Next::InOrder(self.stay.min(WAVE))
        } else if self.until_sample == 0 {
            Next::InOrder(SAMPLE)
        } else if self.trial {
            Next::Wave(TRIAL)
        } else {
            Next::Wave(WAVE)
        }
    }

    /// `work`: see there.
    pub fn was_in_order(&mut self, txs: usize, work: u64, took: Duration) {
        self.stay = self.stay.saturating_sub(txs);
        if work == 0 {
            return;
        }
        self.in_order = blend(self.in_order, per_unit(work, took));
        if self.stay == 0 && self.until_sample == 0 {
            self.until_sample = BETWEEN_SAMPLES;
        }
    }

    /// `stopped`: by its conflicts.
    pub fn was_wave(&mut self, txs: usize, work: u64, took: Duration, stopped: bool) {
        self.in_waves = blend(self.in_waves, per_unit(work, took));
        self.until_sample = self.until_sample.saturating_sub(txs);
        let slower = match (self.in_order, self.in_waves) {
            (Some(in_order), Some(in_waves)) => in_waves > in_order * GAIN,
            _ => false,
        };
        if stopped || slower {
            self.stay = self.next_stay;
            self.next_stay = (self.next_stay * 2).min(LONGEST_STAY);
            self.trial = true;
            // The next trial speaks for itself.
            self.in_waves = None;
        } else {
            if !self.trial {
                self.next_stay = SHORTEST_STAY;
            }
            self.trial = false;
        }
    }
}

/// For each transaction the nearest lower one that changes its sender or, if it carries a value, its recipient, as far as that can
/// be seen without executing anything. None if that leaves too little to do side by side.
pub fn dependencies(txs: &[(usize, Offered)]) -> Option<Vec<Option<usize>>> {
    let mut last: AddressMap<usize> = AddressMap::default();
    let mut depths: Vec<usize> = Vec::with_capacity(txs.len());
    let mut waits_for = Vec::with_capacity(txs.len());
    for (index, (_, tx)) in txs.iter().enumerate() {
        let Ok(tx) = tx else {
            depths.push(0);
            waits_for.push(None);
            continue;
        };
        let recipient = tx.to().filter(|_| !tx.value().is_zero());
        let mut lower = last.insert(tx.sender, index);
        let mut depth = lower.map_or(0, |lower| depths[lower]);
        if let Some(other) = recipient
            .filter(|to| *to != tx.sender)
            .and_then(|to| last.insert(to, index))
        {
            depth = depth.max(depths[other]);
            lower = lower.max(Some(other));
        }
        depths.push(depth + 1);
        waits_for.push(lower);
    }
    let longest = depths.iter().copied().max().unwrap_or(0);
    (longest * 4 <= txs.len() * 3).then_some(waits_for)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(1);
    const SLOW: Duration = Duration::from_millis(9);

    #[test]
    fn it_samples_then_tries_then_goes_in_waves() {
        let mut pace = Pace::default();
        assert_eq!(pace.next(), Next::InOrder(SAMPLE));
        pace.was_in_order(SAMPLE, 1_000_000, SLOW);
        assert_eq!(pace.next(), Next::Wave(TRIAL));
        pace.was_wave(TRIAL, 4_000_000, FAST, false);
        assert_eq!(pace.next(), Next::Wave(WAVE));
    }

    #[test]
    fn what_is_slower_or_in_conflict_stays_in_order_ever_longer() {
        let mut pace = Pace::default();
        pace.was_in_order(SAMPLE, 1_000_000, FAST);
        pace.was_wave(TRIAL, 1_000_000, SLOW, false);
        assert_eq!(pace.next(), Next::InOrder(WAVE));
        pace.was_in_order(WAVE, 1_000_000, FAST);
        assert_eq!(pace.next(), Next::Wave(TRIAL));
        pace.was_wave(TRIAL, 100_000_000, FAST, true);
        pace.was_in_order(WAVE, 1_000_000, FAST);
        assert_eq!(pace.next(), Next::InOrder(WAVE), "twice as long");
    }
}
