//! Validator deposits (EIP-6110): what a chain that is imported tells its consensus layer of the deposit contract's logs.
//!
//! Source: execution-specs, prague/requests.py `parse_deposit_requests` and `extract_deposit_data`.

use alloy_eips::eip6110::DEPOSIT_REQUEST_TYPE;
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, B256, Bytes, Log, U256, b256};

/// keccak256("DepositEvent(bytes,bytes,bytes,bytes,bytes)")
const DEPOSIT: B256 = b256!("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
const LENGTH: usize = 576;
/// Where public key, withdrawal credentials, amount, signature and index are, and how long each is.
const FIELDS: [(usize, usize); 5] = [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)];

/// `requests` after those of a block's deposits. The error: a log of the contract that is not laid out as it must be, and makes
/// the block invalid.
pub fn before<'l>(
    requests: Requests,
    contract: Address,
    logs: impl Iterator<Item = &'l Log>,
) -> Result<Requests, String> {
    let mut deposits = Vec::new();
    for log in logs {
        if log.address == contract && log.topics().first() == Some(&DEPOSIT) {
            take(&log.data.data, &mut deposits)
                .ok_or("a deposit's log is not laid out as it must be")?;
        }
    }
    if deposits.is_empty() {
        return Ok(requests);
    }
    let mut all = Requests::default();
    all.push_request_with_type(DEPOSIT_REQUEST_TYPE, Bytes::from(deposits));
    requests
        .into_iter()
        .for_each(|request| all.push_request(request));
    Ok(all)
}

fn take(data: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let number = |at: usize| usize::try_from(U256::from_be_slice(data.get(at..at + 32)?)).ok();
    if data.len() != LENGTH {
        return None;
    }
    for (place, (offset, size)) in FIELDS.into_iter().enumerate() {
        if number(place * 32)? != offset || number(offset)? != size {
            return None;
        }
        out.extend_from_slice(&data[offset + 32..offset + 32 + size]);
    }
    Some(())
}
