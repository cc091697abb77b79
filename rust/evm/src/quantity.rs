//! Integers and bytes of JSON documents, as Ethereum writes them and as people do.

use alloy_primitives::{Bytes, U256};
use serde_json::Value;

/// A hex quantity ("0x1f"), a decimal string or a JSON integer.
pub fn u256(value: &Value) -> Option<U256> {
    match value {
        Value::Number(number) => number.as_u64().map(U256::from),
        Value::String(text) => match text.strip_prefix("0x") {
            Some("") => None,
            Some(hex) => U256::from_str_radix(hex, 16).ok(),
            None if text.is_empty() => None,
            None => U256::from_str_radix(text, 10).ok(),
        },
        _ => None,
    }
}

pub fn bytes(value: &Value) -> Option<Bytes> {
    let text = value.as_str()?;
    alloy_primitives::hex::decode(text).ok().map(Bytes::from)
}

pub fn fixed<const N: usize>(value: &Value) -> Option<[u8; N]> {
    bytes(value)?.as_ref().try_into().ok()
}
