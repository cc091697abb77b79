//! Which of Ethereum's rules hold in which block of a chain: its fork schedule and its blob schedule.
//!
//! Sources: go-ethereum `params/config.go`; EIP-7840 and EIP-7892 for the blob schedule. The engine knows no Constantinople
//! without Petersburg, so the blocks between the two run Petersburg's rules: one whose gas EIP-1283 would count otherwise is
//! found invalid.

use alloy_eips::eip7594::MAX_BLOBS_PER_TX_FUSAKA;
use alloy_eips::eip7840::{BLOB_BASE_COST, BlobParams};
use alloy_genesis::ChainConfig as Document;
use alloy_primitives::{Address, U256};
use revm::primitives::hardfork::SpecId;

/// A chain's forks, as its genesis document schedules them.
#[derive(Clone, Debug)]
pub struct Forks {
    document: Document,
    /// From which time on which blob parameters hold, in order.
    blobs: Vec<(u64, BlobParams)>,
}

impl Forks {
    /// The error says what of the document makes no schedule.
    pub fn new(document: Document) -> Result<Self, String> {
        let forks = Self {
            blobs: blob_schedule(&document)?,
            document,
        };
        in_order(&forks.by_block())?;
        in_order(&forks.by_time())?;
        Ok(forks)
    }

    /// The forks that a block's number activates, oldest first.
    pub fn by_block(&self) -> [(&'static str, Option<u64>); 14] {
        let it = &self.document;
        [
            ("homesteadBlock", it.homestead_block),
            ("eip150Block", it.eip150_block),
            ("eip155Block", it.eip155_block),
            ("eip158Block", it.eip158_block),
            ("byzantiumBlock", it.byzantium_block),
            ("constantinopleBlock", it.constantinople_block),
            ("petersburgBlock", it.petersburg_block),
            ("istanbulBlock", it.istanbul_block),
            ("muirGlacierBlock", it.muir_glacier_block),
            ("berlinBlock", it.berlin_block),
            ("londonBlock", it.london_block),
            ("arrowGlacierBlock", it.arrow_glacier_block),
            ("grayGlacierBlock", it.gray_glacier_block),
            ("mergeNetsplitBlock", it.merge_netsplit_block),
        ]
    }

    /// The forks that a block's timestamp activates, oldest first. Those named bpo change the blob parameters only.
    pub fn by_time(&self) -> [(&'static str, Option<u64>); 9] {
        let it = &self.document;
        [
            ("shanghaiTime", it.shanghai_time),
            ("cancunTime", it.cancun_time),
            ("pragueTime", it.prague_time),
            ("osakaTime", it.osaka_time),
            ("bpo1Time", it.bpo1_time),
            ("bpo2Time", it.bpo2_time),
            ("bpo3Time", it.bpo3_time),
            ("bpo4Time", it.bpo4_time),
            ("bpo5Time", it.bpo5_time),
        ]
    }

    /// As the document names it.
    pub fn deposit_contract(&self) -> Option<Address> {
        self.document.deposit_contract_address
    }

    /// The total difficulty that ends proof of work; zero where it never was.
    pub fn terminal_total_difficulty(&self) -> U256 {
        self.document.terminal_total_difficulty.unwrap_or_default()
    }

    /// The rules of a block with these three fields of its header. A block without difficulty lies behind the merge.
    pub fn spec(&self, number: u64, timestamp: u64, difficulty: U256) -> SpecId {
        let it = &self.document;
        let merged = difficulty.is_zero() || self.terminal_total_difficulty().is_zero();
        let by_time = [
            (SpecId::OSAKA, it.osaka_time),
            (SpecId::PRAGUE, it.prague_time),
            (SpecId::CANCUN, it.cancun_time),
            (SpecId::SHANGHAI, it.shanghai_time),
            (SpecId::MERGE, Some(0)),
        ];
        let by_block = [
            (SpecId::LONDON, it.london_block),
            (SpecId::BERLIN, it.berlin_block),
            (SpecId::ISTANBUL, it.istanbul_block),
            (
                SpecId::PETERSBURG,
                it.constantinople_block.or(it.petersburg_block),
            ),
            (SpecId::BYZANTIUM, it.byzantium_block),
            (SpecId::SPURIOUS_DRAGON, it.eip158_block),
            (SpecId::TANGERINE, it.eip150_block),
            (SpecId::HOMESTEAD, it.homestead_block),
        ];
        let (forks, position): (&[_], u64) = match merged {
            true => (&by_time, timestamp),
            false => (&by_block, number),
        };
        forks
            .iter()
            .find(|(_, from)| from.is_some_and(|from| position >= from))
            .map_or(SpecId::FRONTIER, |(spec, _)| *spec)
    }

    /// The rules that the genesis block's header shows.
    pub fn genesis_spec(&self, timestamp: u64) -> SpecId {
        let merged = self.terminal_total_difficulty().is_zero();
        let difficulty = U256::from(u8::from(!merged));
        self.spec(0, timestamp, difficulty)
    }

    /// The blob parameters at a time, if there are blobs by then.
    pub fn blobs(&self, timestamp: u64) -> Option<BlobParams> {
        let active = self.blobs.iter().rev().find(|(from, _)| timestamp >= *from);
        active.map(|(_, params)| *params)
    }

    /// The wei that a proof-of-work block's miner gets (EIP-649, EIP-1234).
    pub fn reward(&self, number: u64) -> U256 {
        let since = |block: Option<u64>| block.is_some_and(|block| number >= block);
        let ether = if since(self.document.constantinople_block) {
            2
        } else if since(self.document.byzantium_block) {
            3
        } else {
            5u64
        };
        U256::from(ether) * U256::from(1_000_000_000_000_000_000u64)
    }

    /// By how many blocks the difficulty bomb is put off (EIP-649, 1234, 2384, 3554, 4345, 5133).
    pub fn bomb_delay(&self, number: u64) -> u64 {
        let it = &self.document;
        let delays = [
            (it.gray_glacier_block, 11_400_000),
            (it.arrow_glacier_block, 10_700_000),
            (it.london_block, 9_700_000),
            (it.muir_glacier_block, 9_000_000),
            (it.constantinople_block, 5_000_000),
            (it.byzantium_block, 3_000_000),
        ];
        let active = delays
            .iter()
            .find(|(from, _)| from.is_some_and(|from| number >= from));
        active.map_or(0, |(_, delay)| *delay)
    }

    /// Whether signatures may name the chain in block `number` (EIP-155).
    pub fn replay_protection(&self, number: u64) -> bool {
        self.document
            .eip155_block
            .is_some_and(|block| number >= block)
    }
}

/// Each fork needs the ones before it, and none comes earlier than they do.
fn in_order(forks: &[(&'static str, Option<u64>)]) -> Result<(), String> {
    let set = forks
        .iter()
        .filter_map(|(name, at)| at.map(|at| (*name, at)));
    let mut last = ("", 0);
    for (name, at) in set {
        if at < last.1 {
            return Err(format!("config.{name} must not lie before {}", last.0));
        }
        last = (name, at);
    }
    Ok(())
}

fn blob_schedule(document: &Document) -> Result<Vec<(u64, BlobParams)>, String> {
    let named = [
        ("cancun", document.cancun_time, Some(BlobParams::cancun())),
        ("prague", document.prague_time, Some(BlobParams::prague())),
        ("osaka", document.osaka_time, Some(BlobParams::osaka())),
        ("bpo1", document.bpo1_time, None),
        ("bpo2", document.bpo2_time, None),
        ("bpo3", document.bpo3_time, None),
        ("bpo4", document.bpo4_time, None),
        ("bpo5", document.bpo5_time, None),
    ];
    let mut schedule = Vec::new();
    for (name, time, default) in named {
        let Some(time) = time else { continue };
        let given = document.blob_schedule.get(name).copied();
        let mut params = given
            .or(default)
            .ok_or_else(|| format!("config.blobSchedule.{name} is missing"))?;
        if !matches!(name, "cancun" | "prague") {
            params = params
                .with_blob_base_cost(BLOB_BASE_COST)
                .with_max_blobs_per_tx(MAX_BLOBS_PER_TX_FUSAKA);
        }
        if params.update_fraction == 0
            || u64::try_from(params.update_fraction).is_err()
            || params.max_blob_count == 0
            || params.max_blob_count > MAX_BLOBS
            || params.target_blob_count > params.max_blob_count
        {
            return Err(format!("config.blobSchedule.{name} is not possible"));
        }
        schedule.push((time, params));
    }
    Ok(schedule)
}

/// Far above what any network carries, and low enough that no sum of blob gas overflows.
const MAX_BLOBS: u64 = 1 << 20;
