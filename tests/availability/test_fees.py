"""Gas and the base fee, against figures worked out by hand and against EIP-1559's rule written out with fractions."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from dougong.availability.chain.blob_tx import account_address, blobs_gas, make_blob_tx, read_blob_tx
from dougong.availability.chain.cosmos_tx import MAX_AMOUNT
from dougong.availability.chain.fees import NANO, base_cost, gas_needed, next_base_fee, price_of
from dougong.availability.chain.transfer import TRANSFER_GAS, make_transfer
from dougong.availability.square.shares import shares_needed
from dougong.crypto.keys import Secp256k1Key
from dougong.types import Blob, Namespace

KEY = Secp256k1Key(b"\1" * 32)
ADDRESS = account_address(KEY.public_key)


def model(base_fee: int, used: int, target: int, lowest: int) -> int:
    """EIP-1559: the fee moves by an eighth of how far use is from the target, as a share of the target."""
    if used == target:
        return base_fee
    change = floor(Fraction(base_fee) * abs(min(used, 2 * target) - target) / target) // 8
    return base_fee + max(change, 1) if used > target else max(base_fee - change, lowest)


@given(
    st.integers(min_value=1, max_value=10**24),
    st.integers(min_value=0, max_value=1 << 28),
    st.integers(min_value=1, max_value=1 << 27),
    st.integers(min_value=1, max_value=10**18),
)
def test_the_base_fee_follows_the_rule(over: int, used: int, target: int, lowest: int) -> None:
    before = lowest + over
    after = next_base_fee(before, used=used, target=target, floor=lowest)
    assert after == model(before, used, target, lowest)
    assert after >= lowest
    assert abs(after - before) <= max(before // 8, 1)


@given(st.integers(min_value=0, max_value=1 << 28), st.integers(min_value=1, max_value=1 << 27))
def test_a_floor_of_nothing_never_charges(used: int, target: int) -> None:
    assert next_base_fee(0, used=used, target=target, floor=0) == 0


@given(st.integers(0, 10**12), st.integers(50_000, 10**9), st.integers(0, 10**18))
def test_a_fee_is_enough_exactly_when_its_price_is(base_fee: int, gas: int, fee: int) -> None:
    assert (fee >= base_cost(base_fee, gas)) == (price_of(fee, gas) >= base_fee)
    assert base_cost(base_fee, gas) * NANO >= base_fee * gas > (base_cost(base_fee, gas) - 1) * NANO


@given(
    st.lists(st.tuples(st.integers(1, 5_000), st.booleans()), min_size=1, max_size=12),
    st.integers(0, (1 << 63) - 1),
    st.integers(0, MAX_AMOUNT),
)
def test_the_gas_that_a_client_asks_for_suffices_and_celestias_estimate_too(
    shapes: list[tuple[int, bool]], sequence: int, fee: int
) -> None:
    blobs = [Blob(Namespace.user(b"alpha"), bytes(size), int(named), ADDRESS if named else b"") for size, named in shapes]
    payment = read_blob_tx(make_blob_tx(KEY, "square-1", sequence, blobs, fee=fee))
    assert payment is not None
    shares = sum(shares_needed(len(blob.data), blob.share_version) for blob in blobs)
    # celestia-app's DefaultEstimateGas: 8 a byte of shares, 10 for each of 70 bytes a blob, 65,000 for the rest
    estimate = 8 * 512 * shares + 10 * 70 * len(blobs) + 65_000
    assert payment.gas <= blobs_gas(blobs)
    assert payment.gas <= estimate
    assert payment.signed.fee == fee


def test_the_gas_of_a_transfer_suffices() -> None:
    raw = make_transfer(KEY, "c" * 50, (1 << 63) - 1, ADDRESS, MAX_AMOUNT, fee=MAX_AMOUNT, gas_limit=(1 << 63) - 1)
    assert gas_needed(len(raw), 0) <= TRANSFER_GAS
