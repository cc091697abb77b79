"""The transaction that moves money: a signed Cosmos transaction with one bank `MsgSend`, so that an account can be funded.

    raw = make_transfer(key, "square-1", sequence=0, recipient=address, amount=5_000_000, fee=300)

Source: Cosmos SDK `proto/cosmos/bank/v1beta1/tx.proto`. Deviation: one coin, of utia.
"""

from __future__ import annotations

from dataclasses import dataclass

from dougong.availability.chain.cosmos_tx import (
    MOST_COINS,
    SignedTx,
    account_address,
    address_text,
    decode_coin,
    encode_coin,
    parse_address,
    parse_signed_tx,
    sign_tx,
)
from dougong.availability.chain.fees import gas_needed
from dougong.codec.protobuf import Reader, Writer
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import InvalidInput, InvalidTransaction

TRANSFER_TYPE = "/cosmos.bank.v1beta1.MsgSend"
TRANSFER_GAS = gas_needed(tx_bytes=512, shares=0)  # more than any transfer without a memo needs


@dataclass(frozen=True, slots=True)
class Transfer:
    """`amount` utia from the signer to `recipient` (20 bytes). Nothing is verified yet: `signed` can be."""

    signed: SignedTx
    recipient: bytes
    amount: int


def make_transfer(
    key: Secp256k1Key, chain_id: str, sequence: int, recipient: bytes, amount: int, *, fee: int = 0, gas_limit: int = TRANSFER_GAS
) -> bytes:
    """A signed TxRaw."""
    message = Writer().string(1, address_text(account_address(key.public_key))).string(2, address_text(recipient))
    message.message(3, encode_coin(amount))
    return sign_tx(key, chain_id, sequence, TRANSFER_TYPE, message.done(), fee=fee, gas_limit=gas_limit)


def read_transfer(raw: bytes) -> Transfer:
    """Everything but the signature. Raises `InvalidTransaction`."""
    try:
        signed = parse_signed_tx(raw)
        if signed.type_url != TRANSFER_TYPE:
            raise InvalidTransaction(f"{signed.type_url[:64]!r} is not a message that this chain executes")
        message = Reader(signed.message, (1, 2, 3), repeated=(3,), most=MOST_COINS + 2)
        coins = message.many(3)
        if parse_address(message.text(1)) != signed.signer:
            raise InvalidTransaction("MsgSend takes from another account than the key that signed")
        if len(coins) != 1:
            raise InvalidTransaction("MsgSend moves one coin")
        return Transfer(signed, parse_address(message.text(2)), decode_coin(coins[0]))
    except InvalidTransaction:
        raise
    except InvalidInput as error:
        raise InvalidTransaction(f"not a blob transaction and not a transfer: {error}") from error
