//! What a revert says, as geth says it (`accounts/abi/abi.go`, `UnpackRevert`).

use alloy_primitives::U256;

const ERROR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
const PANIC: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];

/// geth's message for a call that reverted with this data.
pub fn message(data: &[u8]) -> String {
    match reason(data) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".into(),
    }
}

fn reason(data: &[u8]) -> Option<String> {
    let (selector, body) = data.split_first_chunk::<4>()?;
    match *selector {
        ERROR => {
            let start = length(body, 0)?;
            let size = length(body, start)?;
            let text = body.get(start.checked_add(32)?..)?.get(..size)?;
            Some(String::from_utf8_lossy(text).into_owned())
        }
        PANIC => Some(panic(word(body, 0)?)),
        _ => None,
    }
}

fn word(body: &[u8], at: usize) -> Option<U256> {
    Some(U256::from_be_slice(body.get(at..)?.get(..32)?))
}

fn length(body: &[u8], at: usize) -> Option<usize> {
    word(body, at)?.try_into().ok()
}

fn panic(code: U256) -> String {
    match code.saturating_to::<u64>() {
        0x00 => "generic panic".into(),
        0x01 => "assert(false)".into(),
        0x11 => "arithmetic underflow or overflow".into(),
        0x12 => "division or modulo by zero".into(),
        0x21 => "enum overflow".into(),
        0x22 => "invalid encoded storage byte array accessed".into(),
        0x31 => "out-of-bounds array access; popping on an empty array".into(),
        0x32 => "out-of-bounds access of an array or bytesN".into(),
        0x41 => "out of memory".into(),
        0x51 => "uninitialized function".into(),
        _ => format!("unknown panic code: {code:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::message;
    use alloy_primitives::{U256, hex};

    #[test]
    fn reasons_are_read_and_nonsense_is_not() {
        let said = hex!(
            "08c379a0"
            "0000000000000000000000000000000000000000000000000000000000000020"
            "0000000000000000000000000000000000000000000000000000000000000002"
            "6e6f000000000000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(message(&said), "execution reverted: no");
        assert_eq!(message(&said[..60]), "execution reverted");
        assert_eq!(message(&[]), "execution reverted");
        let mut far = said;
        far[4..36].copy_from_slice(&U256::from(u64::MAX).to_be_bytes::<32>());
        assert_eq!(message(&far), "execution reverted");
        let mut panic = hex!("4e487b71").to_vec();
        panic.extend(U256::from(0x11).to_be_bytes::<32>());
        assert_eq!(
            message(&panic),
            "execution reverted: arithmetic underflow or overflow"
        );
        panic[4] = 0xff;
        assert!(message(&panic).starts_with("execution reverted: unknown panic code: 0xff"));
    }
}
