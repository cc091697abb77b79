//! What goes into a wave: no more than the block has gas for.
//!
//! A transaction's place in a block depends on the gas that those before it have used, which nobody knows while a wave runs. Whoever
//! makes a block could list a thousand transactions that each ask for all of its gas and burn it: in order, the first one is executed
//! and the others cost nothing, in a wave all of them would be executed.

use std::iter::Peekable;

/// Up to `count` of the next ones. Those that ask for more than is `left` cannot come in any more, cost nothing and are taken along;
/// the others end the wave when together they ask for more than that.
pub fn gather<T>(
    txs: &mut Peekable<impl Iterator<Item = T>>,
    count: usize,
    left: u64,
    gas: impl Fn(&T) -> u64,
) -> Vec<T> {
    let mut room = left;
    let mut wave = Vec::new();
    while wave.len() < count {
        let Some(tx) = txs.next_if(|tx| gas(tx) <= room || gas(tx) > left) else {
            break;
        };
        if gas(&tx) <= left {
            room -= gas(&tx);
        }
        wave.push(tx);
    }
    wave
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(gas: &[u64], count: usize, mut left: u64, used: u64) -> Vec<Vec<u64>> {
        let mut txs = gas.iter().copied().peekable();
        let mut waves = Vec::new();
        loop {
            let wave = gather(&mut txs, count, left, |gas| *gas);
            if wave.is_empty() {
                return waves;
            }
            left -= used * wave.iter().filter(|gas| **gas <= left).count() as u64;
            waves.push(wave);
        }
    }

    #[test]
    fn what_fits_together_goes_together() {
        assert_eq!(waves(&[10; 7], 4, 1_000, 10), [vec![10; 4], vec![10; 3]]);
    }

    #[test]
    fn a_wave_asks_for_no_more_than_is_left() {
        assert_eq!(
            waves(&[400; 5], 9, 1_000, 100),
            [vec![400; 2], vec![400; 2], vec![400]]
        );
    }

    #[test]
    fn what_cannot_come_in_any_more_is_taken_along() {
        assert_eq!(
            waves(&[1_000, 1_000, 900, 1_000, 1], 9, 1_000, 1),
            [vec![1_000], vec![1_000, 900, 1_000, 1]]
        );
    }
}
