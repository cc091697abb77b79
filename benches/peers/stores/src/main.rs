//! `stores KIND FOLDER KEYS BLOCKS CHANGES READS`: prints one JSON line about a store of that kind.
//!
//! The pattern is rust/evm/src/store's: a flat table of random keys (52 bytes to 40), rewritten at random, and a table of trie
//! nodes under growing numbers (8 bytes to 300), four of them to a change, that is only appended to. A block is one durable
//! transaction over both. Reads are of random keys that exist, in one read transaction a block's worth of them.

use std::path::Path;
use std::time::Instant;

mod kinds;

use kinds::{Fjall, Lmdb, Redb, Store};

/// xorshift64*: the same keys for every store.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Bytes that no store can compress, as hashes are.
fn bytes<const N: usize>(number: u64) -> [u8; N] {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
    }
    bytes
}

fn size(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::read_dir(folder)
        .expect("the folder is there")
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

fn measure(mut store: impl Store, folder: &Path, [keys, blocks, changes, reads]: [u64; 4]) {
    let mut next = 0;
    let mut random = Random(42);
    let block = |numbers: &mut dyn Iterator<Item = u64>, store: &mut dyn Store, next: &mut u64| {
        let flat: Vec<_> = numbers
            .map(|number| (bytes(number), bytes(number + 1)))
            .collect();
        let nodes: Vec<_> = (0..flat.len() as u64 * 4)
            .map(|i| (*next + i, bytes(*next + i)))
            .collect();
        *next += nodes.len() as u64;
        store.commit(&flat, &nodes);
    };
    for first in (0..keys).step_by(20_000) {
        block(
            &mut (first..(first + 20_000).min(keys)),
            &mut store,
            &mut next,
        );
    }
    let mut times = Vec::new();
    let begun = Instant::now();
    for _ in 0..blocks {
        let started = Instant::now();
        block(
            &mut (0..changes).map(|_| random.next() % keys),
            &mut store,
            &mut next,
        );
        times.push(started.elapsed().as_secs_f64());
    }
    let writing = begun.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let begun = Instant::now();
    let mut found = 0;
    for _ in 0..reads / 1_000 {
        let wanted: Vec<_> = (0..1_000).map(|_| bytes(random.next() % keys)).collect();
        found += store.read(&wanted);
    }
    let reading = begun.elapsed().as_secs_f64();
    assert_eq!(found, reads / 1_000 * 1_000, "every key was written");
    drop(store);
    println!(
        "{{\"blocks_per_s\": {:.1}, \"p99_commit_ms\": {:.2}, \"reads_per_s\": {:.0}, \"mib\": {:.1}}}",
        blocks as f64 / writing,
        times[(times.len() * 99 / 100).min(times.len() - 1)] * 1e3,
        reads as f64 / reading,
        size(folder) as f64 / f64::from(1 << 20),
    );
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let folder = Path::new(&args[2]);
    let sizes = [3, 4, 5, 6].map(|at| args[at].parse().expect("a number"));
    match args[1].as_str() {
        "lmdb" => measure(Lmdb::open(folder), folder, sizes),
        "redb" => measure(Redb::open(folder), folder, sizes),
        "fjall" => measure(Fjall::open(folder), folder, sizes),
        other => panic!("no store of the kind {other}"),
    }
}
