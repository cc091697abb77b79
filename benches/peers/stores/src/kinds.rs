//! The stores, each as its own documentation has it for durable transactions.

use std::path::Path;

pub type Flat = ([u8; 52], [u8; 40]);
pub type Node = (u64, [u8; 300]);

pub trait Store {
    fn commit(&mut self, flat: &[Flat], nodes: &[Node]);
    /// How many of the keys are there, with a value of the right length.
    fn read(&self, keys: &[[u8; 52]]) -> u64;
}

pub struct Lmdb {
    env: heed::Env<heed::WithoutTls>,
    flat: heed::Database<heed::types::Bytes, heed::types::Bytes>,
    nodes: heed::Database<heed::types::Bytes, heed::types::Bytes>,
}

impl Lmdb {
    pub fn open(folder: &Path) -> Self {
        let mut options = heed::EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(1 << 36).max_dbs(4);
        // SAFETY: the benchmark's own folder, opened once.
        let env = unsafe { options.open(folder) }.expect("opens");
        let mut txn = env.write_txn().expect("writes");
        let flat = env
            .create_database(&mut txn, Some("flat"))
            .expect("creates");
        let nodes = env
            .create_database(&mut txn, Some("nodes"))
            .expect("creates");
        txn.commit().expect("commits");
        Self { env, flat, nodes }
    }
}

impl Store for Lmdb {
    fn commit(&mut self, flat: &[Flat], nodes: &[Node]) {
        let mut txn = self.env.write_txn().expect("writes");
        for (number, record) in nodes {
            let flags = heed::PutFlags::APPEND;
            self.nodes
                .put_with_flags(&mut txn, flags, &number.to_be_bytes(), record)
                .expect("puts");
        }
        for (key, value) in flat {
            self.flat.put(&mut txn, key, value).expect("puts");
        }
        txn.commit().expect("commits");
    }

    fn read(&self, keys: &[[u8; 52]]) -> u64 {
        let txn = self.env.read_txn().expect("reads");
        let found = |key: &&[u8; 52]| {
            self.flat
                .get(&txn, &key[..])
                .expect("gets")
                .is_some_and(|value| value.len() == 40)
        };
        keys.iter().filter(found).count() as u64
    }
}

const FLAT: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("flat");
const NODES: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("nodes");

pub struct Redb(redb::Database);

impl Redb {
    pub fn open(folder: &Path) -> Self {
        let mut builder = redb::Database::builder();
        builder.set_cache_size(4 << 30);
        Self(builder.create(folder.join("redb")).expect("opens"))
    }
}

impl Store for Redb {
    fn commit(&mut self, flat: &[Flat], nodes: &[Node]) {
        let txn = self.0.begin_write().expect("writes");
        {
            let mut table = txn.open_table(NODES).expect("opens");
            for (number, record) in nodes {
                table.insert(number, &record[..]).expect("puts");
            }
            let mut table = txn.open_table(FLAT).expect("opens");
            for (key, value) in flat {
                table.insert(&key[..], &value[..]).expect("puts");
            }
        }
        txn.commit().expect("commits");
    }

    fn read(&self, keys: &[[u8; 52]]) -> u64 {
        use redb::ReadableDatabase;
        let txn = self.0.begin_read().expect("reads");
        let table = txn.open_table(FLAT).expect("opens");
        let found = |key: &&[u8; 52]| {
            table
                .get(&key[..])
                .expect("gets")
                .is_some_and(|value| value.value().len() == 40)
        };
        keys.iter().filter(found).count() as u64
    }
}

pub struct Fjall {
    keyspace: fjall::Keyspace,
    flat: fjall::PartitionHandle,
    nodes: fjall::PartitionHandle,
}

impl Fjall {
    pub fn open(folder: &Path) -> Self {
        let keyspace = fjall::Config::new(folder)
            .cache_size(4 << 30)
            .open()
            .expect("opens");
        let open = |name| {
            keyspace
                .open_partition(name, fjall::PartitionCreateOptions::default())
                .expect("opens")
        };
        let (flat, nodes) = (open("flat"), open("nodes"));
        Self {
            keyspace,
            flat,
            nodes,
        }
    }
}

impl Store for Fjall {
    fn commit(&mut self, flat: &[Flat], nodes: &[Node]) {
        let mut batch = self
            .keyspace
            .batch()
            .durability(Some(fjall::PersistMode::SyncAll));
        for (number, record) in nodes {
            batch.insert(&self.nodes, number.to_be_bytes(), &record[..]);
        }
        for (key, value) in flat {
            batch.insert(&self.flat, &key[..], &value[..]);
        }
        batch.commit().expect("commits");
    }

    fn read(&self, keys: &[[u8; 52]]) -> u64 {
        let view = self.flat.snapshot();
        let found = |key: &&[u8; 52]| {
            view.get(&key[..])
                .expect("gets")
                .is_some_and(|value| value.len() == 40)
        };
        keys.iter().filter(found).count() as u64
    }
}
