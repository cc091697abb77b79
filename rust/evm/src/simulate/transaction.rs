//! A simulated call: its fields, what stands in where they are missing, and the transaction that nobody signed.
//!
//! Source: go-ethereum `internal/ethapi/transaction_args.go` (`CallDefaults`, `ToMessage`, `ToTransaction`). The signature's
//! parts are zero. Deviation: a fee is at most 96 bits, so that no sum of fees overflows.

use alloy_consensus::transaction::RlpEcdsaEncodableTx;
use alloy_consensus::{
    SignableTransaction, Transaction, TxEip1559, TxEip4844, TxEip7702, TxLegacy,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use alloy_rlp::EMPTY_STRING_CODE;
use revm::context::TxEnv;
use revm::context_interface::either::Either;
use revm::primitives::hardfork::SpecId;
use serde_json::{Map, Value, json};

use super::failure::{INVALID_PARAMS, INVALID_REQUEST, Simulated, fail};
use crate::call::MAX_FEE_BITS;
use crate::error::Error;
use crate::json::{hex, object};
use crate::overrides;
use crate::quantity;
use crate::sign::Fields;
use crate::tx::{Envelope, effective_gas_price};

/// The fields of a call as they were given.
#[derive(Clone, Debug)]
pub struct Call {
    pub from: Address,
    pub to: Option<Address>,
    pub gas: Option<u64>,
    pub nonce: Option<u64>,
    pub value: U256,
    pub input: Bytes,
    gas_price: Option<u128>,
    max_fee: Option<u128>,
    max_priority_fee: Option<u128>,
    max_blob_fee: Option<u128>,
    access_list: AccessList,
    pub blobs: Option<Vec<B256>>,
    pub authorizations: Option<Vec<SignedAuthorization>>,
    chain_id: Option<U256>,
}

/// What a call offers for a unit of gas, and for a unit of blob gas.
#[derive(Clone, Copy, Debug)]
pub struct Fees {
    pub max: u128,
    pub priority: u128,
    pub blob: u128,
}

impl Call {
    pub fn parse(value: &Value) -> Simulated<Self> {
        overrides::object("a call", value)?;
        let fields = Fields(value);
        let fee = |name: &str| -> Simulated<Option<u128>> {
            match fields.u128(name)? {
                Some(fee) if fee >> MAX_FEE_BITS != 0 => fail(
                    INVALID_PARAMS,
                    format!("transaction field {name}: over {MAX_FEE_BITS} bits"),
                ),
                fee => Ok(fee),
            }
        };
        Ok(Self {
            from: fields.address("from")?.unwrap_or_default(),
            to: fields.address("to")?,
            gas: fields.u64("gas")?,
            nonce: fields.u64("nonce")?,
            value: fields.u256("value")?.unwrap_or_default(),
            input: fields.input()?,
            gas_price: fee("gasPrice")?,
            max_fee: fee("maxFeePerGas")?,
            max_priority_fee: fee("maxPriorityFeePerGas")?,
            max_blob_fee: fee("maxFeePerBlobGas")?,
            access_list: fields.access_list()?,
            blobs: blob_hashes(value)?,
            authorizations: match fields.has("authorizationList") {
                true => Some(fields.authorizations()?),
                false => None,
            },
            chain_id: fields.u256("chainId")?,
        })
    }

    /// The checks that need no state.
    pub fn check(&self, chain_id: u64) -> Simulated<()> {
        if self.gas_price.is_some() && (self.max_fee.is_some() || self.max_priority_fee.is_some()) {
            return fail(
                INVALID_REQUEST,
                "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
            );
        }
        if let Some(have) = self.chain_id.filter(|have| *have != U256::from(chain_id)) {
            return fail(
                INVALID_REQUEST,
                format!("chainId does not match node's (have={have}, want={chain_id})"),
            );
        }
        if self.to.is_none() && self.blobs.is_some() {
            return fail(INVALID_PARAMS, "blob transaction of type create");
        }
        if self.to.is_none() && self.authorizations.is_some() {
            return fail(
                INVALID_PARAMS,
                format!(
                    "EIP-7702 transaction cannot be used to create contract (sender {})",
                    self.from
                ),
            );
        }
        Ok(())
    }

    pub fn fees(&self) -> Fees {
        Fees {
            max: self.gas_price.or(self.max_fee).unwrap_or_default(),
            priority: self.gas_price.or(self.max_priority_fee).unwrap_or_default(),
            blob: self.max_blob_fee.unwrap_or_default(),
        }
    }

    /// The transaction as revm takes it. Its price is a legacy one's where both fees are the same.
    pub fn env(&self, gas: u64, spec: SpecId) -> TxEnv {
        let fees = self.fees();
        let authorizations = self.authorizations.iter().flatten().cloned();
        let blobs = self.blobs.clone().unwrap_or_default();
        let tx_type = if self.authorizations.is_some() {
            4
        } else if !blobs.is_empty() {
            3
        } else if spec.is_enabled_in(SpecId::LONDON) {
            2
        } else {
            u8::from(spec.is_enabled_in(SpecId::BERLIN))
        };
        TxEnv {
            tx_type,
            caller: self.from,
            gas_limit: gas,
            gas_price: fees.max,
            kind: self.kind(),
            value: self.value,
            data: self.input.clone(),
            nonce: 0,
            chain_id: None,
            access_list: self.access_list.clone(),
            gas_priority_fee: (tx_type >= 2).then_some(fees.priority),
            blob_hashes: blobs,
            max_fee_per_blob_gas: fees.blob,
            authorization_list: authorizations.map(Either::Left).collect(),
        }
    }

    fn kind(&self) -> TxKind {
        self.to.map_or(TxKind::Create, TxKind::Call)
    }

    /// The transaction that a block holds of this call.
    pub fn transaction(&self, chain_id: u64, nonce: u64, gas: u64, london: bool) -> Unsigned {
        let fees = self.fees();
        let legacy = self.gas_price.is_some() || !london;
        let to = self.to.unwrap_or_default();
        let unsigned = Signature::new(U256::ZERO, U256::ZERO, false);
        let envelope: Envelope = if legacy {
            return Unsigned::Legacy(TxLegacy {
                chain_id: None,
                nonce,
                gas_price: fees.max,
                gas_limit: gas,
                to: self.kind(),
                value: self.value,
                input: self.input.clone(),
            });
        } else if let Some(authorizations) = &self.authorizations {
            let tx = TxEip7702 {
                chain_id,
                nonce,
                gas_limit: gas,
                max_fee_per_gas: fees.max,
                max_priority_fee_per_gas: fees.priority,
                to,
                value: self.value,
                access_list: self.access_list.clone(),
                authorization_list: authorizations.clone(),
                input: self.input.clone(),
            };
            tx.into_signed(unsigned).into()
        } else if let Some(blobs) = &self.blobs {
            let tx = TxEip4844 {
                chain_id,
                nonce,
                gas_limit: gas,
                max_fee_per_gas: fees.max,
                max_priority_fee_per_gas: fees.priority,
                to,
                value: self.value,
                access_list: self.access_list.clone(),
                blob_versioned_hashes: blobs.clone(),
                max_fee_per_blob_gas: fees.blob,
                input: self.input.clone(),
            };
            tx.into_signed(unsigned).into()
        } else {
            let tx = TxEip1559 {
                chain_id,
                nonce,
                gas_limit: gas,
                max_fee_per_gas: fees.max,
                max_priority_fee_per_gas: fees.priority,
                to: self.kind(),
                value: self.value,
                access_list: self.access_list.clone(),
                input: self.input.clone(),
            };
            tx.into_signed(unsigned).into()
        };
        Unsigned::Typed(Box::new(envelope))
    }
}

/// `blobVersionedHashes`; whether their version is known is checked where the block is.
fn blob_hashes(call: &Value) -> Simulated<Option<Vec<B256>>> {
    let Some(value) = call
        .get("blobVersionedHashes")
        .filter(|value| !value.is_null())
    else {
        return Ok(None);
    };
    let hashes = overrides::array("blobVersionedHashes", value)?
        .iter()
        .map(|hash| quantity::fixed(hash).map(B256::new))
        .collect::<Option<_>>();
    match hashes {
        Some(hashes) => Ok(Some(hashes)),
        None => Err(Error::Invalid("blobVersionedHashes: want hashes of 32 bytes".into()).into()),
    }
}

/// A transaction whose signature is three zeros.
pub enum Unsigned {
    Legacy(TxLegacy),
    Typed(Box<Envelope>),
}

impl Unsigned {
    pub fn tx_type(&self) -> u8 {
        match self {
            Self::Legacy(_) => 0,
            Self::Typed(envelope) => envelope.tx_type() as u8,
        }
    }

    /// As a block's transactions root commits to it.
    pub fn encoded(&self) -> Vec<u8> {
        match self {
            Self::Typed(envelope) => envelope.encoded_2718(),
            Self::Legacy(tx) => {
                let payload_length = tx.rlp_encoded_fields_length() + 3;
                let mut out = Vec::with_capacity(payload_length + 9);
                alloy_rlp::Header {
                    list: true,
                    payload_length,
                }
                .encode(&mut out);
                tx.rlp_encode_fields(&mut out);
                out.extend_from_slice(&[EMPTY_STRING_CODE; 3]);
                out
            }
        }
    }

    pub fn hash(&self) -> B256 {
        match self {
            Self::Typed(envelope) => *envelope.tx_hash(),
            Self::Legacy(_) => keccak256(self.encoded()),
        }
    }

    /// The transaction as JSON-RPC shows it, without its place in a block.
    pub fn json(&self, sender: Address, base_fee: u64) -> Result<Map<String, Value>, Error> {
        let mut map = match self {
            Self::Typed(envelope) => {
                let mut map = object(&**envelope)?;
                map.insert(
                    "gasPrice".into(),
                    hex(effective_gas_price(envelope, base_fee)),
                );
                map
            }
            Self::Legacy(tx) => object(json!({
                "type": "0x0",
                "nonce": hex(tx.nonce),
                "gas": hex(tx.gas_limit),
                "gasPrice": hex(tx.gas_price),
                "to": tx.to(),
                "value": hex(tx.value),
                "input": tx.input,
                "v": "0x0",
                "r": "0x0",
                "s": "0x0",
            }))?,
        };
        map.insert("hash".into(), json!(self.hash()));
        map.insert("from".into(), json!(sender));
        Ok(map)
    }
}
