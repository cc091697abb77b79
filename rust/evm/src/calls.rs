//! The two JSON-RPC calls that carry a chain's load, many at a time: eth_sendRawTransaction and eth_getTransactionReceipt.
//!
//! This reads only what is beyond doubt: a request of one method, each call with a plain id and one well-formed parameter. Whatever
//! else a client sends, and every error but a transaction's own, is the general path's (rpc/protocol.py), so that there is one
//! place that says what is wrong with a request. What is written here is byte for byte what that path writes.
//!
//! Source: https://www.jsonrpc.org/specification.

use alloy_primitives::{B256, Bytes, hex};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::fmt;
use std::io::Write;

/// JSON's own numbers are exact up to here in every client.
const MAX_ID: u64 = 1 << 53;
const MAX_ID_BYTES: usize = 128;

enum Id<'a> {
    Number(u64),
    Text(&'a str),
}

struct Call<'a> {
    jsonrpc: &'a str,
    id: Id<'a>,
    method: &'a str,
    params: [&'a str; 1],
}

#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// EIP-2718 bytes, not decoded.
    Send(Vec<Bytes>),
    Receipts(Vec<B256>),
}

/// A request whose calls are all of one method.
#[derive(Debug)]
pub struct Calls {
    pub asked: Asked,
    ids: Vec<Box<[u8]>>,
    /// An array, even if of one call.
    batch: bool,
}

impl Calls {
    /// None for everything that the general path must answer.
    pub fn parse(body: &[u8], most: usize, tx_bytes: usize) -> Option<Self> {
        let batch = body.first() == Some(&b'[');
        let calls: Vec<Call> = match batch {
            true => serde_json::from_slice(body).ok()?,
            false => vec![serde_json::from_slice(body).ok()?],
        };
        if calls.len() > most {
            return None;
        }
        let ids = calls
            .iter()
            .map(|call| id(call).filter(|_| call.jsonrpc == "2.0"))
            .collect::<Option<_>>()?;
        let method = calls.first()?.method;
        if calls.iter().any(|call| call.method != method) {
            return None;
        }
        let params = calls.iter().map(|call| call.params[0].strip_prefix("0x"));
        let asked = match method {
            "eth_sendRawTransaction" => Asked::Send(
                params
                    .map(|text| raw(text?, tx_bytes))
                    .collect::<Option<_>>()?,
            ),
            "eth_getTransactionReceipt" => {
                Asked::Receipts(params.map(|text| hash(text?)).collect::<Option<_>>()?)
            }
            _ => return None,
        };
        Some(Self { asked, ids, batch })
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The reply to a request: one outcome, JSON already, for each call.
    pub fn reply<'a>(&self, outcomes: impl Iterator<Item = Outcome<'a>>) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 + self.len() * 128);
        if self.batch {
            out.push(b'[');
        }
        for (index, (id, outcome)) in self.ids.iter().zip(outcomes).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
            out.extend_from_slice(id);
            match outcome {
                Outcome::Hash(hash) => {
                    // A vector takes every write.
                    let _ = write!(out, r#","result":"0x{}""#, hex::encode(hash));
                }
                Outcome::Result(json) => {
                    out.extend_from_slice(br#","result":"#);
                    out.extend_from_slice(json);
                }
                Outcome::Error(json) => {
                    out.extend_from_slice(br#","error":"#);
                    out.extend_from_slice(json);
                }
            }
            out.push(b'}');
        }
        if self.batch {
            out.push(b']');
        }
        out
    }
}

/// What became of a call.
pub enum Outcome<'a> {
    Hash(&'a [u8]),
    Result(&'a [u8]),
    Error(&'a [u8]),
}

/// An id as it goes back.
fn id(call: &Call) -> Option<Box<[u8]>> {
    match call.id {
        Id::Number(number) if number <= MAX_ID => Some(number.to_string().into_bytes().into()),
        Id::Text(text) if text.len() <= MAX_ID_BYTES && text.bytes().all(is_plain) => {
            Some(format!("\"{text}\"").into_bytes().into())
        }
        _ => None,
    }
}

/// What no JSON writer escapes.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn raw(text: &str, most: usize) -> Option<Bytes> {
    if text.len() > 2 * most || text.starts_with("0x") {
        return None;
    }
    hex::decode(text).ok().map(Bytes::from)
}

fn hash(text: &str) -> Option<B256> {
    let mut out = B256::ZERO;
    if text.len() != 64 {
        return None;
    }
    hex::decode_to_slice(text, out.as_mut_slice()).ok()?;
    Some(out)
}

// --- reading: the first thing that is not as it must be ends it, before anything is kept of what follows

impl<'de> Deserialize<'de> for Id<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Id<'de>;
            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("a number or a string")
            }
            fn visit_u64<E>(self, number: u64) -> Result<Id<'de>, E> {
                Ok(Id::Number(number))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Id<'de>, E> {
                Ok(Id::Text(text))
            }
        }
        from.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Call<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Call<'de>;
            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("a call")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Call<'de>, M::Error> {
                let (mut jsonrpc, mut id, mut method, mut params) = (None, None, None, None);
                while let Some(key) = map.next_key::<&str>()? {
                    let again = match key {
                        "jsonrpc" => jsonrpc.replace(map.next_value()?).is_some(),
                        "id" => id.replace(map.next_value()?).is_some(),
                        "method" => method.replace(map.next_value()?).is_some(),
                        "params" => params.replace(map.next_value()?).is_some(),
                        _ => true,
                    };
                    if again {
                        return Err(M::Error::custom("a key that is unknown or there twice"));
                    }
                }
                let missing = || M::Error::custom("a key is missing");
                Ok(Call {
                    jsonrpc: jsonrpc.ok_or_else(missing)?,
                    id: id.ok_or_else(missing)?,
                    method: method.ok_or_else(missing)?,
                    params: params.ok_or_else(missing)?,
                })
            }
        }
        from.deserialize_map(Reader)
    }
}
