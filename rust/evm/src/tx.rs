//! Signed transactions: canonical decoding, sender recovery on all cores, and what the EVM needs of them.
//!
//! Types: legacy (with and without EIP-155), EIP-2930, EIP-1559, EIP-7702. Blob transactions (EIP-4844) are refused where our
//! own chains take transactions: their blobs would have to be carried by a consensus layer that these chains do not have.
//! `decode_any` reads them too, for blocks of Ethereum itself.

use alloy_consensus::crypto::secp256k1::recover_signer;
use alloy_consensus::proofs::ordered_trie_root_with_encoder;
use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{EthereumTxEnvelope, Transaction, TxEip4844, Typed2718};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip7702::{RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, U256, map::B256Map};
use rayon::prelude::*;
use revm::context::TxEnv;
use revm::context_interface::cfg::gas::calculate_initial_tx_gas_for_tx;
use revm::context_interface::either::Either;
use revm::primitives::eip3860::MAX_INITCODE_SIZE;
use revm::primitives::hardfork::SpecId;
use std::sync::{Mutex, PoisonError};

use crate::words::{self, Minimum};

/// Largest transaction that a chain of ours takes, in bytes. Ethereum's pools stop at 128 KiB; a block's gas limit bounds the rest.
pub const MAX_TX_BYTES: usize = 1 << 20;

/// Most authorizations (EIP-7702) whose signers are recovered where the transaction's is. A megabyte holds ten thousand.
const RECOVERED_AT_ONCE: usize = 16;

pub type Envelope = EthereumTxEnvelope<TxEip4844>;

/// A decoded transaction whose signature has been checked.
#[derive(Clone, Debug)]
pub struct SignedTx {
    /// EIP-2718 bytes.
    pub raw: Bytes,
    /// Apart, because a transaction is handed on from step to step, and its envelope is large.
    pub envelope: Box<Envelope>,
    pub sender: Address,
    /// None: too many to recover before somebody pays for it. The engine does, once it knows that the gas suffices.
    authorizations: Option<Vec<RecoveredAuthorization>>,
}

impl SignedTx {
    pub fn hash(&self) -> &B256 {
        self.envelope.tx_hash()
    }

    pub fn nonce(&self) -> u64 {
        self.envelope.nonce()
    }

    pub fn gas_limit(&self) -> u64 {
        self.envelope.gas_limit()
    }

    pub fn max_fee_per_gas(&self) -> u128 {
        self.envelope.max_fee_per_gas()
    }

    /// The gas price, for transactions that have one price only.
    pub fn max_priority_fee_per_gas(&self) -> u128 {
        self.envelope
            .max_priority_fee_per_gas()
            .unwrap_or_else(|| self.envelope.max_fee_per_gas())
    }

    pub fn value(&self) -> U256 {
        self.envelope.value()
    }

    pub fn to(&self) -> Option<Address> {
        self.envelope.to()
    }

    /// Of a blob transaction; none of any other.
    pub fn blob_versioned_hashes(&self) -> &[B256] {
        self.envelope.blob_versioned_hashes().unwrap_or_default()
    }

    /// An EIP-7702 transaction that nobody could include.
    pub fn authorizes_nobody(&self) -> bool {
        self.envelope
            .authorization_list()
            .is_none_or(<[_]>::is_empty)
    }

    pub fn max_fee_per_blob_gas(&self) -> Option<u128> {
        self.envelope.max_fee_per_blob_gas()
    }

    pub fn tx_type(&self) -> u8 {
        self.envelope.ty()
    }

    pub fn chain_id(&self) -> Option<u64> {
        self.envelope.chain_id()
    }

    /// Least gas limit with which any of our chains includes it: the intrinsic gas, or EIP-7623's floor if that is more.
    pub fn minimum_gas(&self) -> u64 {
        let minimum = self.minimum();
        minimum.intrinsic.max(minimum.floor)
    }

    fn minimum(&self) -> Minimum {
        let gas = calculate_initial_tx_gas_for_tx(self.env(), SpecId::PRAGUE, None);
        Minimum {
            intrinsic: gas.initial_total_gas(),
            floor: gas.floor_gas,
        }
    }

    /// The rule that it breaks whatever the state is, in geth's words.
    pub fn flaw(&self) -> Option<String> {
        words::flaw(&self.envelope, &self.minimum(), MAX_INITCODE_SIZE)
    }

    /// The transaction as revm takes it.
    pub fn env(&self) -> TxEnv {
        let tx = &self.envelope;
        let dynamic = tx.is_eip1559() || tx.is_eip7702() || tx.is_eip4844();
        TxEnv {
            tx_type: tx.ty(),
            caller: self.sender,
            gas_limit: tx.gas_limit(),
            gas_price: tx.max_fee_per_gas(),
            kind: tx.kind(),
            value: tx.value(),
            data: tx.input().clone(),
            nonce: tx.nonce(),
            chain_id: tx.chain_id(),
            access_list: tx.access_list().cloned().unwrap_or_default(),
            gas_priority_fee: if dynamic {
                tx.max_priority_fee_per_gas()
            } else {
                None
            },
            blob_hashes: tx
                .blob_versioned_hashes()
                .map(<[B256]>::to_vec)
                .unwrap_or_default(),
            max_fee_per_blob_gas: tx.max_fee_per_blob_gas().unwrap_or_default(),
            authorization_list: match &self.authorizations {
                Some(recovered) => recovered.iter().cloned().map(Either::Right).collect(),
                None => {
                    let signed = tx.authorization_list().unwrap_or_default();
                    signed.iter().cloned().map(Either::Left).collect()
                }
            },
        }
    }
}

/// Decodes EIP-2718 bytes and recovers the sender. The error says why they are not a transaction that any of our chains
/// could take (the chain id is the executor's to check).
pub fn decode(raw: &[u8]) -> Result<SignedTx, String> {
    decode_with(raw, &SenderCache::new(0))
}

pub fn decode_with(raw: &[u8], senders: &SenderCache) -> Result<SignedTx, String> {
    if raw.first() == Some(&3) {
        return Err(words::NO_BLOBS.into());
    }
    if raw.len() > MAX_TX_BYTES {
        return Err(format!(
            "oversized data: transaction size {}, limit {MAX_TX_BYTES}",
            raw.len()
        ));
    }
    decode_any(raw, senders)
}

/// The canonical decoding alone: no sender.
pub fn parse(raw: &[u8]) -> Result<Envelope, String> {
    let mut rest = raw;
    let envelope =
        Envelope::decode_2718(&mut rest).map_err(|error| words::undecodable(raw, &error))?;
    if !rest.is_empty() {
        return Err(words::TRAILING.into());
    }
    if envelope.encode_2718_len() != raw.len() || envelope.encoded_2718() != raw {
        return Err(words::NOT_CANONICAL.into());
    }
    Ok(envelope)
}

/// As `decode_with`, but for the blocks of foreign chains: with blob transactions, and of any size, since only their own rules say
/// what is too large.
pub fn decode_any(raw: &[u8], senders: &SenderCache) -> Result<SignedTx, String> {
    let envelope = parse(raw)?;
    let hash = *envelope.tx_hash();
    let sender = match senders.get(&hash) {
        Some(sender) => sender,
        None => {
            let sender = envelope
                .recover_signer()
                .map_err(|_| words::INVALID_SIGNATURE.to_string())?;
            senders.put(hash, sender);
            sender
        }
    };
    Ok(signed(raw, envelope, sender))
}

/// A transaction whose sender is known: one of a stored block.
pub fn decode_known(raw: &[u8], sender: Address) -> Result<SignedTx, String> {
    Ok(signed(raw, parse(raw)?, sender))
}

fn signed(raw: &[u8], envelope: Envelope, sender: Address) -> SignedTx {
    let authorizations = envelope.authorization_list().unwrap_or_default();
    let authorizations = (authorizations.len() <= RECOVERED_AT_ONCE)
        .then(|| authorizations.iter().map(recover_authority).collect());
    SignedTx {
        raw: Bytes::copy_from_slice(raw),
        envelope: Box::new(envelope),
        sender,
        authorizations,
    }
}

type Decoded = Result<SignedTx, String>;

/// Decodes many on all cores, in order.
pub fn decode_all<T: AsRef<[u8]> + Sync>(raws: &[T], senders: &SenderCache) -> Vec<Decoded> {
    decode_each(raws, |raw| decode_with(raw, senders))
}

/// As `decode_all`, for the blocks of foreign chains.
pub fn decode_all_any<T: AsRef<[u8]> + Sync>(raws: &[T], senders: &SenderCache) -> Vec<Decoded> {
    decode_each(raws, |raw| decode_any(raw, senders))
}

fn decode_each<T: AsRef<[u8]> + Sync>(
    raws: &[T],
    decode: impl Fn(&[u8]) -> Decoded + Sync,
) -> Vec<Decoded> {
    if raws.len() < 4 {
        return raws.iter().map(|raw| decode(raw.as_ref())).collect();
    }
    raws.par_iter()
        .with_min_len(4)
        .map(|raw| decode(raw.as_ref()))
        .collect()
}

/// The transactions root of a block of these, in their EIP-2718 encodings.
pub fn encoded_root<T: AsRef<[u8]>>(raws: &[T]) -> B256 {
    ordered_trie_root_with_encoder(raws, |raw, out| {
        out.extend_from_slice(raw.as_ref());
    })
}

/// EIP-7702: an authorization whose signature does not recover is skipped when executed, it does not spoil the transaction.
fn recover_authority(signed: &SignedAuthorization) -> RecoveredAuthorization {
    let authority = signed
        .signature()
        .ok()
        .and_then(|signature| recover_signer(&signature, signed.signature_hash()).ok())
        .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
    RecoveredAuthorization::new_unchecked(signed.inner().clone(), authority)
}

/// A bounded memory of transaction hash → sender, so that what the mempool checked is not recovered again. The hash covers the
/// signature, so an entry can never be wrong.
pub struct SenderCache {
    capacity: usize,
    generations: Mutex<(B256Map<Address>, B256Map<Address>)>,
}

impl SenderCache {
    /// Keeps between `capacity` and twice as many entries; none with 0.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            generations: Mutex::default(),
        }
    }

    fn get(&self, hash: &B256) -> Option<Address> {
        if self.capacity == 0 {
            return None;
        }
        let generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        generations
            .0
            .get(hash)
            .or_else(|| generations.1.get(hash))
            .copied()
    }

    fn put(&self, hash: B256, sender: Address) {
        if self.capacity == 0 {
            return;
        }
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if generations.0.len() >= self.capacity {
            generations.1 = core::mem::take(&mut generations.0);
        }
        generations.0.insert(hash, sender);
    }
}

/// What the sender pays for a unit of gas at `base_fee`.
pub fn effective_gas_price(envelope: &Envelope, base_fee: u64) -> U256 {
    U256::from(envelope.effective_gas_price(Some(base_fee)))
}
