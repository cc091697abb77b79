//! Reads the parts of overrides strictly, each with an error that names it.

use alloy_primitives::{Bytes, U256};
use serde_json::{Map, Value};

use super::{Applied, Refusal};

pub(super) fn malformed<T>(what: &str, want: &str) -> Applied<T> {
    Err(Refusal::Malformed(format!("{what}: want {want}")))
}

/// The beginning of what a caller wrote, for an error.
pub(super) fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

pub(crate) fn object<'v>(what: &str, value: &'v Value) -> Applied<&'v Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        _ => malformed(what, "an object"),
    }
}

pub(super) fn string<'v>(what: &str, value: &'v Value) -> Applied<&'v str> {
    match value {
        Value::String(text) => Ok(text),
        _ => malformed(what, "a string of 0x-prefixed hex"),
    }
}

/// Hex without leading zeros.
pub(super) fn quantity(what: &str, value: Option<&Value>) -> Applied<Option<U256>> {
    let Some(value) = value else { return Ok(None) };
    let digits = string(what, value)?.strip_prefix("0x").unwrap_or_default();
    let canonical = digits == "0" || !digits.starts_with('0');
    let hex = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    match U256::from_str_radix(digits, 16) {
        Ok(number) if canonical && hex => Ok(Some(number)),
        _ => malformed(
            what,
            "a quantity: 0x-prefixed hex of at most 256 bits without leading zeros",
        ),
    }
}

pub(super) fn narrow<T: TryFrom<U256>>(what: &str, value: Option<U256>) -> Applied<Option<T>> {
    match value.map(T::try_from).transpose() {
        Ok(value) => Ok(value),
        Err(_) => malformed(what, &format!("at most {} bits", 8 * size_of::<T>())),
    }
}

pub(super) fn bytes(what: &str, text: &str) -> Applied<Bytes> {
    match text.strip_prefix("0x").map(alloy_primitives::hex::decode) {
        Some(Ok(bytes)) => Ok(bytes.into()),
        _ => malformed(what, "0x-prefixed hex of whole bytes"),
    }
}

pub(super) fn fixed<const N: usize>(what: &str, text: &str) -> Applied<[u8; N]> {
    match bytes(what, text)?.as_ref().try_into() {
        Ok(fixed) => Ok(fixed),
        Err(_) => malformed(what, &format!("{N} bytes")),
    }
}

pub(super) fn storage(what: &str, value: &Value) -> Applied<Vec<(U256, U256)>> {
    let slots = object(what, value)?;
    let word = |part: &str, text: &str| {
        fixed(&format!("a {part} in {what}"), text).map(U256::from_be_bytes::<32>)
    };
    slots
        .iter()
        .map(|(key, value)| Ok((word("key", key)?, word("value", string(what, value)?)?)))
        .collect()
}

pub(crate) fn array<'v>(what: &str, value: &'v Value) -> Applied<&'v Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        _ => malformed(what, "an array"),
    }
}

/// A boolean; what is absent or null is false.
pub(crate) fn flag(what: &str, value: Option<&Value>) -> Applied<bool> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => malformed(what, "true or false"),
    }
}
