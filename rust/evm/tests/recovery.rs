//! The recovery of senders, and the precompile that does the same, agree with a second library on every signature: random ones, and
//! those with a part that is zero, too large, or no point of the curve.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::{Encodable, Header};
use dougong_evm::tx::decode;
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use proptest::prelude::*;
use revm::precompile::secp256k1::ec_recover_run;

/// The order of the curve's group (SEC 2, section 2.4.1).
fn order() -> U256 {
    U256::from_str_radix(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        16,
    )
    .unwrap()
}

/// Who signed, says k256. `recovery` is 0 or 1.
fn known(hash: B256, r: U256, s: U256, recovery: u8) -> Option<Address> {
    let bytes = [r.to_be_bytes::<32>(), s.to_be_bytes::<32>()].concat();
    let mut signature = Signature::from_slice(&bytes).ok()?;
    let mut recovery = recovery;
    // It recovers from the lower of the two forms of a signature only.
    if let Some(low) = signature.normalize_s() {
        signature = low;
        recovery ^= 1;
    }
    let id = RecoveryId::from_byte(recovery)?;
    let key = VerifyingKey::recover_from_prehash(hash.as_slice(), &signature, id).ok()?;
    let point = key.to_encoded_point(false);
    Some(Address::from_slice(
        &keccak256(&point.as_bytes()[1..])[12..],
    ))
}

fn precompile(hash: B256, v: U256, r: U256, s: U256) -> Option<Address> {
    let input = [hash.0, v.to_be_bytes(), r.to_be_bytes(), s.to_be_bytes()].concat();
    let output = ec_recover_run(&input, 3_000).unwrap().bytes;
    (!output.is_empty()).then(|| Address::from_slice(&output[12..]))
}

/// A legacy transaction without a chain id: its hash to sign, and its encoding with this signature.
fn transaction(nonce: u64, v: u64, r: U256, s: U256) -> (B256, Vec<u8>) {
    let list = |payload: &[u8]| {
        let mut out = Vec::new();
        Header {
            list: true,
            payload_length: payload.len(),
        }
        .encode(&mut out);
        out.extend_from_slice(payload);
        out
    };
    let mut payload = Vec::new();
    nonce.encode(&mut payload);
    1u64.encode(&mut payload);
    21_000u64.encode(&mut payload);
    Address::ZERO.encode(&mut payload);
    0u64.encode(&mut payload);
    payload.push(0x80);
    let hash = keccak256(list(&payload));
    v.encode(&mut payload);
    r.encode(&mut payload);
    s.encode(&mut payload);
    (hash, list(&payload))
}

fn check(nonce: u64, r: U256, s: U256, v: u64) -> Result<(), TestCaseError> {
    let (hash, raw) = transaction(nonce, v, r, s);
    let recovery = v.checked_sub(27).filter(|id| *id < 2);
    let expected = recovery.and_then(|id| known(hash, r, s, id as u8));
    prop_assert_eq!(precompile(hash, U256::from(v), r, s), expected);
    prop_assert_eq!(precompile(hash, U256::from(v) | U256::ONE << 8, r, s), None);
    // EIP-2: of the two forms of a signature, transactions take the lower.
    let low = expected.filter(|_| s <= order() >> 1);
    prop_assert_eq!(decode(&raw).ok().map(|tx| tx.sender), low);
    Ok(())
}

fn edges() -> impl Strategy<Value = U256> {
    let (one, order) = (U256::ONE, order());
    let half = order >> 1;
    let edges = vec![
        U256::ZERO,
        one,
        half - one,
        half,
        half + one,
        order - one,
        order,
        order + one,
        U256::MAX,
    ];
    prop_oneof![
        prop::sample::select(edges),
        any::<[u64; 4]>().prop_map(U256::from_limbs)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn signatures_made_up(nonce in 0..4u64, r in edges(), s in edges(), v in 25..31u64) {
        check(nonce, r, s, v)?;
    }

    #[test]
    fn signatures_that_somebody_made(key in 1..u64::MAX, nonce in 0..4u64, high: bool, v in 27..29u64) {
        let mut bytes = [0; 32];
        bytes[24..].copy_from_slice(&key.to_be_bytes());
        let key = SigningKey::from_slice(&bytes).unwrap();
        let (hash, _) = transaction(nonce, 27, U256::ONE, U256::ONE);
        let (signature, id) = key.sign_prehash_recoverable(hash.as_slice()).unwrap();
        let (r, s) = signature.split_bytes();
        let (r, s) = (U256::from_be_slice(&r), U256::from_be_slice(&s));
        let signer = Address::from_slice(&keccak256(&key.verifying_key().to_encoded_point(false).as_bytes()[1..])[12..]);
        let right = 27 + u64::from(id.to_byte());
        // The other form of the signature is that of the other recovery id.
        let (s, right) = if high { (order() - s, 55 - right) } else { (s, right) };
        prop_assert_eq!(precompile(hash, U256::from(right), r, s), Some(signer));
        check(nonce, r, s, v)?;
    }
}
