//! Why bytes are no transaction, and which rule a transaction breaks, in go-ethereum's words: wallets and libraries look for them.
//!
//! Sources: go-ethereum `core/types/transaction.go` and `rlp/decode.go` for what does not decode, `core/txpool/validation.go` and
//! `core/error.go` for what does. Deviations: an RLP error names the transaction's type but not the field, where geth names the
//! Go type of both; fees are below 2^128, since nobody holds as much ether.

use alloy_consensus::transaction::RlpEcdsaDecodableTx;
use alloy_consensus::{Transaction, TxLegacy};
use alloy_eips::eip2718::Eip2718Error;
use alloy_primitives::Address;
use alloy_rlp::{Error, Header};
use revm::context::result::InvalidTransaction;

use crate::tx::Envelope;

pub const INVALID_SIGNATURE: &str = "invalid sender: invalid transaction v, r, s values";
pub const TRAILING: &str = "rlp: input contains more than one value";
pub const NOT_CANONICAL: &str = "rlp: non-canonical size information";
pub const NO_BLOBS: &str =
    "transaction type not supported: type 3 rejected, this chain carries no blobs of its own";

/// Of bytes that `Envelope::decode_2718` refused with `error`.
pub fn undecodable(raw: &[u8], error: &Eip2718Error) -> String {
    let name = match raw.first() {
        None => return "typed transaction too short".into(),
        Some(0x80..) => "types.LegacyTx",
        Some(_) if raw.len() == 1 => return "typed transaction too short".into(),
        Some(1) => "types.AccessListTx",
        Some(2) => "types.DynamicFeeTx",
        Some(3) => "types.BlobTx",
        Some(4) => "types.SetCodeTx",
        Some(_) => return "transaction type not supported".into(),
    };
    let legacy = raw[0] >= 0x80;
    let error = match error {
        Eip2718Error::RlpError(error) => *error,
        // The decoder of all types does not say what is wrong with one that has none.
        _ if legacy => match TxLegacy::rlp_decode_signed(&mut &*raw) {
            Err(error) => error,
            Ok(_) => return NOT_CANONICAL.into(),
        },
        _ => return "transaction type not supported".into(),
    };
    let mut payload = if legacy { raw } else { &raw[1..] };
    let outer = Header::decode(&mut payload);
    match outer {
        Ok(header) if !header.list => return format!("rlp: expected input list for {name}"),
        Ok(header) if header.payload_length < payload.len() => return TRAILING.into(),
        _ => {}
    }
    match error {
        Error::InputTooShort if outer.is_ok() => format!("rlp: too few elements for {name}"),
        Error::InputTooShort => "rlp: value size exceeds available input length".into(),
        Error::ListLengthMismatch { .. } => {
            format!("rlp: input list has too many elements for {name}")
        }
        Error::LeadingZero => "rlp: non-canonical integer (leading zero bytes)".into(),
        Error::NonCanonicalSize | Error::NonCanonicalSingleByte => NOT_CANONICAL.into(),
        Error::Overflow => "rlp: input string too long".into(),
        Error::UnexpectedLength => "rlp: input string of another length than expected".into(),
        Error::UnexpectedString => "rlp: expected input list".into(),
        Error::UnexpectedList => "rlp: expected input string or byte".into(),
        // A parity of neither 0 nor 1, and a legacy v that stands for none.
        Error::Custom(_) => INVALID_SIGNATURE.into(),
    }
}

/// Why a call of `sender` is not executed (`core/error.go`, `core/state_transition.go`).
pub fn refused(reason: &InvalidTransaction, sender: &Address) -> String {
    match reason {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => format!(
            "insufficient funds for gas * price + value: address {sender} have {balance} want {fee}"
        ),
        InvalidTransaction::CallGasCostMoreThanGasLimit {
            initial_gas,
            gas_limit,
        } => format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}"),
        InvalidTransaction::GasFloorMoreThanGasLimit {
            gas_floor,
            gas_limit,
        } => {
            format!("insufficient gas for floor data gas cost: have {gas_limit}, want {gas_floor}")
        }
        InvalidTransaction::GasPriceLessThanBasefee => {
            "max fee per gas less than block base fee".into()
        }
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => {
            "max priority fee per gas higher than max fee per gas".into()
        }
        InvalidTransaction::CreateInitCodeSizeLimit => "max initcode size exceeded".into(),
        other => other.to_string(),
    }
}

/// The gas that a transaction needs whatever the state is: the intrinsic gas, and EIP-7623's floor.
pub struct Minimum {
    pub intrinsic: u64,
    pub floor: u64,
}

/// The rule that a decoded transaction breaks whatever the state is.
pub fn flaw(tx: &Envelope, minimum: &Minimum, max_initcode: usize) -> Option<String> {
    let gas = tx.gas_limit();
    if tx.is_create() && tx.input().len() > max_initcode {
        let size = tx.input().len();
        return Some(format!(
            "max initcode size exceeded: code size {size}, limit {max_initcode}"
        ));
    }
    if gas < minimum.intrinsic {
        let needed = minimum.intrinsic;
        return Some(format!(
            "intrinsic gas too low: gas {gas}, minimum needed {needed}"
        ));
    }
    if gas < minimum.floor {
        let needed = minimum.floor;
        return Some(format!(
            "insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}"
        ));
    }
    if tx.is_eip7702() && tx.authorization_list().is_none_or(<[_]>::is_empty) {
        return Some("set code tx must have at least one authorization tuple".into());
    }
    None
}
