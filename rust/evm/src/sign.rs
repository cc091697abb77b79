//! Signing transactions and EIP-7702 authorizations that are given as JSON-RPC fields.

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{
    EthereumTypedTransaction, SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702,
    TxLegacy,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip4844::VERSIONED_HASH_VERSION_KZG;
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::quantity;
use crate::tx::Envelope;

fn invalid(field: &str, why: &str) -> Error {
    Error::Invalid(format!("transaction field {field}: {why}"))
}

/// Reads the fields of a JSON object, each with its own error.
pub struct Fields<'a>(pub &'a Value);

impl Fields<'_> {
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub fn u256(&self, name: &str) -> Result<Option<U256>> {
        self.value(name)
            .map(|value| {
                quantity::u256(value)
                    .ok_or_else(|| invalid(name, "not an integer or a hex quantity"))
            })
            .transpose()
    }

    pub fn u128(&self, name: &str) -> Result<Option<u128>> {
        self.u256(name)?
            .map(|value| value.try_into().map_err(|_| invalid(name, "over 128 bits")))
            .transpose()
    }

    pub fn u64(&self, name: &str) -> Result<Option<u64>> {
        self.u256(name)?
            .map(|value| value.try_into().map_err(|_| invalid(name, "over 64 bits")))
            .transpose()
    }

    pub fn bytes(&self, name: &str) -> Result<Option<Bytes>> {
        self.value(name)
            .map(|value| quantity::bytes(value).ok_or_else(|| invalid(name, "not hex bytes")))
            .transpose()
    }

    pub fn address(&self, name: &str) -> Result<Option<Address>> {
        self.value(name)
            .map(|value| {
                quantity::fixed(value)
                    .map(Address::new)
                    .ok_or_else(|| invalid(name, "not a 20-byte address"))
            })
            .transpose()
    }

    /// `input` or, for older clients, `data`.
    pub fn input(&self) -> Result<Bytes> {
        let (input, data) = (self.bytes("input")?, self.bytes("data")?);
        match (&input, &data) {
            (Some(input), Some(data)) if input != data => {
                Err(invalid("input", "differs from data"))
            }
            _ => Ok(input.or(data).unwrap_or_default()),
        }
    }

    pub fn access_list(&self) -> Result<AccessList> {
        let wrong = || invalid("accessList", "not a list of {address, storageKeys}");
        let Some(value) = self.value("accessList") else {
            return Ok(AccessList::default());
        };
        let items = value.as_array().ok_or_else(wrong)?.iter().map(|item| {
            let address = item
                .get("address")
                .and_then(quantity::fixed)
                .map(Address::new)
                .ok_or_else(wrong)?;
            let keys = item
                .get("storageKeys")
                .and_then(Value::as_array)
                .ok_or_else(wrong)?
                .iter();
            let storage_keys = keys
                .map(|key| quantity::fixed(key).map(B256::new).ok_or_else(wrong))
                .collect::<Result<_>>()?;
            Ok(AccessListItem {
                address,
                storage_keys,
            })
        });
        Ok(AccessList(items.collect::<Result<_>>()?))
    }

    pub fn versioned_hashes(&self) -> Result<Vec<B256>> {
        let wrong = || {
            invalid(
                "blobVersionedHashes",
                "not a list of one or more versioned hashes, 32 bytes of version 1",
            )
        };
        let hashes: Vec<B256> = self
            .value("blobVersionedHashes")
            .and_then(Value::as_array)
            .ok_or_else(wrong)?
            .iter()
            .map(|hash| quantity::fixed(hash).map(B256::new).ok_or_else(wrong))
            .collect::<Result<_>>()?;
        let known = hashes
            .iter()
            .all(|hash| hash[0] == VERSIONED_HASH_VERSION_KZG);
        if hashes.is_empty() || !known {
            return Err(wrong());
        }
        Ok(hashes)
    }

    pub fn authorizations(&self) -> Result<Vec<SignedAuthorization>> {
        let wrong = || {
            invalid(
                "authorizationList",
                "not a list of {chainId, address, nonce, yParity, r, s}",
            )
        };
        let Some(value) = self.value("authorizationList") else {
            return Ok(Vec::new());
        };
        value
            .as_array()
            .ok_or_else(wrong)?
            .iter()
            .map(|item| {
                let fields = Fields(item);
                let authorization = authorization(&fields)?;
                let y_parity = fields
                    .u64("yParity")?
                    .and_then(|parity| u8::try_from(parity).ok())
                    .ok_or_else(wrong)?;
                let r = fields.u256("r")?.ok_or_else(wrong)?;
                let s = fields.u256("s")?.ok_or_else(wrong)?;
                Ok(SignedAuthorization::new_unchecked(
                    authorization,
                    y_parity,
                    r,
                    s,
                ))
            })
            .collect()
    }
}

fn authorization(fields: &Fields<'_>) -> Result<Authorization> {
    Ok(Authorization {
        chain_id: fields.u256("chainId")?.unwrap_or_default(),
        address: fields
            .address("address")?
            .ok_or_else(|| invalid("address", "missing"))?,
        nonce: fields
            .u64("nonce")?
            .ok_or_else(|| invalid("nonce", "missing"))?,
    })
}

fn parse(json: &str) -> Result<Value> {
    let value: Value =
        serde_json::from_str(json).map_err(|error| Error::Invalid(format!("not JSON: {error}")))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(Error::Invalid("not a JSON object".into()))
    }
}

fn key(private_key: &[u8]) -> Result<B256> {
    let key: [u8; 32] = private_key
        .try_into()
        .map_err(|_| Error::Invalid("a private key is 32 bytes".into()))?;
    Ok(B256::new(key))
}

/// Builds the unsigned transaction that the fields describe.
fn build(fields: &Fields<'_>) -> Result<EthereumTypedTransaction<TxEip4844>> {
    let tx_type = match fields.u64("type")? {
        Some(tx_type) => tx_type,
        None if fields.has("authorizationList") => 4,
        None if fields.has("blobVersionedHashes") || fields.has("maxFeePerBlobGas") => 3,
        None if fields.has("maxFeePerGas") || fields.has("maxPriorityFeePerGas") => 2,
        None if fields.has("accessList") => 1,
        None => 0,
    };
    let need = |name: &str| invalid(name, "missing");
    let nonce = fields.u64("nonce")?.ok_or_else(|| need("nonce"))?;
    let gas_limit = match fields.u64("gas")? {
        Some(gas) => gas,
        None => fields.u64("gasLimit")?.ok_or_else(|| need("gas"))?,
    };
    let to = fields.address("to")?;
    let kind = to.map_or(TxKind::Create, TxKind::Call);
    let value = fields.u256("value")?.unwrap_or_default();
    let input = fields.input()?;
    let access_list = fields.access_list()?;
    let chain_id = fields.u64("chainId")?;
    let gas_price = || fields.u128("gasPrice")?.ok_or_else(|| need("gasPrice"));
    let max_fee = || {
        fields
            .u128("maxFeePerGas")?
            .ok_or_else(|| need("maxFeePerGas"))
    };
    let max_priority_fee_per_gas = fields.u128("maxPriorityFeePerGas")?.unwrap_or_default();
    Ok(match tx_type {
        0 => EthereumTypedTransaction::Legacy(TxLegacy {
            chain_id,
            nonce,
            gas_price: gas_price()?,
            gas_limit,
            to: kind,
            value,
            input,
        }),
        1 => EthereumTypedTransaction::Eip2930(TxEip2930 {
            chain_id: chain_id.ok_or_else(|| need("chainId"))?,
            nonce,
            gas_price: gas_price()?,
            gas_limit,
            to: kind,
            value,
            access_list,
            input,
        }),
        2 => EthereumTypedTransaction::Eip1559(TxEip1559 {
            chain_id: chain_id.ok_or_else(|| need("chainId"))?,
            nonce,
            gas_limit,
            max_fee_per_gas: max_fee()?,
            max_priority_fee_per_gas,
            to: kind,
            value,
            access_list,
            input,
        }),
        3 => EthereumTypedTransaction::Eip4844(TxEip4844 {
            chain_id: chain_id.ok_or_else(|| need("chainId"))?,
            nonce,
            gas_limit,
            max_fee_per_gas: max_fee()?,
            max_priority_fee_per_gas,
            to: to.ok_or_else(|| need("to"))?,
            value,
            access_list,
            blob_versioned_hashes: fields.versioned_hashes()?,
            max_fee_per_blob_gas: fields
                .u128("maxFeePerBlobGas")?
                .ok_or_else(|| need("maxFeePerBlobGas"))?,
            input,
        }),
        4 => EthereumTypedTransaction::Eip7702(TxEip7702 {
            chain_id: chain_id.ok_or_else(|| need("chainId"))?,
            nonce,
            gas_limit,
            max_fee_per_gas: max_fee()?,
            max_priority_fee_per_gas,
            to: to.ok_or_else(|| need("to"))?,
            value,
            access_list,
            authorization_list: fields.authorizations()?,
            input,
        }),
        other => {
            return Err(invalid(
                "type",
                &format!("{other} is not one of 0, 1, 2, 3, 4"),
            ));
        }
    })
}

/// Signs; returns the EIP-2718 encoding.
pub fn sign_transaction(fields_json: &str, private_key: &[u8]) -> Result<Vec<u8>> {
    let value = parse(fields_json)?;
    let tx = build(&Fields(&value))?;
    let signature = sign_message(key(private_key)?, tx.signature_hash())
        .map_err(|_| Error::Invalid("the private key is not a secp256k1 scalar".into()))?;
    Ok(Envelope::from(tx.into_signed(signature)).encoded_2718())
}

/// Signs many on all cores, each with its own key.
pub fn sign_transactions(fields_json: &[String], private_keys: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    if fields_json.len() != private_keys.len() {
        return Err(Error::Invalid(format!(
            "{} transactions and {} keys were given",
            fields_json.len(),
            private_keys.len()
        )));
    }
    fields_json
        .par_iter()
        .zip(private_keys)
        .map(|(fields, key)| sign_transaction(fields, key))
        .collect()
}

/// Signs an EIP-7702 authorization {chainId, address, nonce}; returns the entry of an `authorizationList` as JSON.
pub fn sign_authorization(fields_json: &str, private_key: &[u8]) -> Result<String> {
    let value = parse(fields_json)?;
    let authorization = authorization(&Fields(&value))?;
    let signature = sign_message(key(private_key)?, authorization.signature_hash())
        .map_err(|_| Error::Invalid("the private key is not a secp256k1 scalar".into()))?;
    Ok(json!({
        "chainId": format!("{:#x}", authorization.chain_id),
        "address": authorization.address,
        "nonce": format!("{:#x}", authorization.nonce),
        "yParity": format!("{:#x}", u8::from(signature.v())),
        "r": format!("{:#x}", signature.r()),
        "s": format!("{:#x}", signature.s()),
    })
    .to_string())
}
