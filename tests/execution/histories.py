"""Random blocks full of corner cases, and an independent Merkle Patricia trie to hold their states against.

The contracts are bytecode written here by hand; `History` draws transactions that create, re-create, destroy, wipe, delegate,
touch and collide. Addresses and slots come from small sets, so that a state can be read whole.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dougong._native import Evm, sign_authorization
from dougong.codec import rlp
from dougong.crypto.hashing import keccak256
from dougong.execution.evm.genesis import SYSTEM_CONTRACTS, GenesisAccount, make_genesis
from dougong.testing.wallet import GWEI, Wallet

CHAIN_ID = 4_203
START = 1_800_000_000
WALLETS = [Wallet.of(f"history {number}", CHAIN_ID) for number in range(4)]
STORE, FACTORY, FORWARD = (bytes([number]) * 20 for number in (0xA1, 0xA2, 0xA3))
FEES = b"\xfe" * 20
NOBODY = [b"\xee" * 19 + bytes([number]) for number in range(4)] + [bytes(19) + b"\x04"]
SLOTS = range(6)
# Each pair of words in the calldata is stored: value under key.
STORE_CODE = bytes.fromhex("5f5b368110600957005b80602001358135556040016001" + "56")
# CREATE2 of calldata[32:] with the salt calldata[:32] and the call's value, then a call of what came of it.
FACTORY_CODE = bytes.fromhex("602036038060205f375f35905f34f55f5f5f5f5f855af100")
# Sends the call's value, zero included, to the address in the calldata.
FORWARD_CODE = bytes.fromhex("5f5f5f5f345f355af100")
GENESIS = make_genesis(
    CHAIN_ID,
    {
        **{wallet.address: GenesisAccount(10**21) for wallet in WALLETS},
        STORE: GenesisAccount(nonce=1, code=STORE_CODE, storage={bytes(31) + b"\x05": bytes(31) + b"\x05"}),
        FACTORY: GenesisAccount(nonce=1, code=FACTORY_CODE),
        FORWARD: GenesisAccount(nonce=1, code=FORWARD_CODE),
    },
    timestamp=START,
    fee_recipient=FEES,
)


def word(value: int) -> bytes:
    return value.to_bytes(32)


def init_code(stores: Sequence[tuple[int, int]], end: bytes) -> bytes:
    """A constructor that stores, and then runs `end`."""
    return b"".join(bytes((0x60, value, 0x60, slot, 0x55)) for slot, value in stores) + end


def returning(runtime: bytes) -> bytes:
    return bytes([0x5F + len(runtime)]) + runtime + bytes((0x5F, 0x52, 0x60, len(runtime), 0x60, 32 - len(runtime), 0xF3))


def destroy(heir: bytes) -> bytes:
    return b"\x73" + heir + b"\xff"


CHILDREN = [
    init_code([(0, 1), (1, 2)], returning(destroy(NOBODY[0]))),
    init_code([(0, 7)], returning(b"\x30\xff")),  # destroys itself in its own favour: the ether is gone
    init_code([(2, 9)], destroy(NOBODY[1])),  # already in its constructor
    init_code([(3, 3)], returning(bytes.fromhex("60056003550000"))),  # stores 5 when it is called
    init_code([(1, 1)], returning(bytes.fromhex("5f5ffd"))),
    init_code([(4, 4)], bytes.fromhex("5f5ffd")),
    init_code([(5, 0)], b"\x00"),
]
SALTS = range(2)


def create2(salt: int, code: bytes) -> bytes:
    return keccak256(b"\xff" + FACTORY + word(salt) + keccak256(code))[12:]


def create(sender: bytes, nonce: int) -> bytes:
    return keccak256(rlp.encode([sender, nonce]))[12:]


GROWN = [create2(salt, code) for salt in SALTS for code in CHILDREN]


@dataclass
class History:
    """Draws blocks. `nonces` are those of the wallets as far as this history knows them."""

    dice: random.Random
    nonces: dict[bytes, int] = field(default_factory=dict)
    created: list[bytes] = field(default_factory=list)

    def addresses(self) -> list[bytes]:
        """Every account that may exist."""
        fixed = [*SYSTEM_CONTRACTS, STORE, FACTORY, FORWARD, FEES, *NOBODY, *GROWN, *(wallet.address for wallet in WALLETS)]
        return list(dict.fromkeys([*fixed, *self.created]))

    def block(self) -> list[bytes]:
        return [self._transaction() for _ in range(self.dice.randrange(12))]

    def _transaction(self) -> bytes:
        dice = self.dice
        wallet = dice.choice(WALLETS)
        nonce = self.nonces.get(wallet.address, 0)
        to, data, value = self._call(wallet, nonce)
        fields = json.loads(wallet.fields(to, nonce=nonce, value=value, data=data, gas=400_000, max_fee=100 * GWEI))
        fields["maxPriorityFeePerGas"] = hex(dice.choice((0, GWEI)))
        self.nonces[wallet.address] = nonce + 1
        if to is not None and dice.random() < 0.2:
            fields |= {"type": "0x4", "authorizationList": self._authorizations(wallet)}
        return wallet.sign(json.dumps(fields))

    def _call(self, wallet: Wallet, nonce: int) -> tuple[bytes | None, bytes, int]:
        dice = self.dice
        stored = b"".join(word(dice.choice(SLOTS)) + word(dice.randrange(3)) for _ in range(dice.randrange(5)))
        anyone = dice.choice([*NOBODY, *GROWN, *self.created, FEES, wallet.address, STORE])
        value = dice.choice((0, 0, 1, 10**15))
        match dice.randrange(6):
            case 0:
                return STORE, stored, value
            case 1:
                return FACTORY, word(dice.choice(SALTS)) + dice.choice(CHILDREN), value
            case 2:
                return FORWARD, bytes(12) + anyone, value
            case 3:
                return anyone, stored, value
            case 4:
                # Where a contract is going to be, there may be ether already.
                self.created.append(create(wallet.address, nonce + 1))
                return self.created[-1], b"", value
            case _:
                self.created.append(create(wallet.address, nonce))
                return None, dice.choice(CHILDREN), value

    def _authorizations(self, sender: Wallet) -> list[object]:
        """Delegations to code, to a child, to nobody (which clears one); good, stale and of another chain."""
        entries = []
        for _ in range(self.dice.randrange(1, 4)):
            wallet = self.dice.choice(WALLETS)
            nonce = self.nonces.get(wallet.address, 0)
            target = self.dice.choice([STORE, FORWARD, bytes(20), *GROWN])
            kind = self.dice.randrange(6)
            chain = CHAIN_ID + 1 if kind == 0 else self.dice.choice((0, CHAIN_ID))
            stale = nonce + 3 if kind == 1 else nonce
            if kind > 1:
                self.nonces[wallet.address] = nonce + 1
            wanted = {"chainId": hex(chain), "address": "0x" + target.hex(), "nonce": hex(stale)}
            entries.append(json.loads(sign_authorization(json.dumps(wanted), wallet.secret)))
        return entries

    def skipped(self, evm: Evm) -> None:
        """Takes the nonces up as they are: what was invalid in its place did not count."""
        self.nonces = {wallet.address: evm.account(wallet.address)[0] for wallet in WALLETS}


# --- an independent state root --------------------------------------------------------------------------------------------


def state_root(evm: Evm, addresses: Sequence[bytes], extra_slots: Mapping[bytes, Sequence[int]]) -> bytes:
    """From nothing but reads of the head's state: nonce, balance, code, and the slots that may be set."""
    head = evm.head().number
    leaves: dict[bytes, bytes] = {}
    for address in addresses:
        nonce, balance = evm.account(address, head)
        code = evm.code(address, head)
        slots = {
            keccak256(word(slot)): rlp.encode(int.from_bytes(value))
            for slot in {*SLOTS, *extra_slots.get(address, ())}
            if any(value := evm.storage(address, word(slot), head))
        }
        if nonce or balance or code:
            leaves[keccak256(address)] = rlp.encode([nonce, balance, trie_root(slots), keccak256(code)])
        else:
            assert not slots, f"{address.hex()} does not exist and has storage"
    return trie_root(leaves)


def trie_root(leaves: Mapping[bytes, bytes]) -> bytes:
    """Yellow paper, appendix D, by the book: built from the leaves, all at once."""
    items = [([nibble for byte in key for nibble in (byte >> 4, byte & 15)], value) for key, value in sorted(leaves.items())]
    return keccak256(rlp.encode(_node(items)) if items else b"\x80")


def _node(items: Sequence[tuple[list[int], bytes]]) -> list[rlp.Item]:
    if len(items) == 1:
        return [_compact(items[0][0], leaf=True), items[0][1]]
    first, last = items[0][0], items[-1][0]
    shared = next(index for index, (a, b) in enumerate(zip(first, last, strict=True)) if a != b)
    if shared:
        return [_compact(first[:shared], leaf=False), _reference([(path[shared:], value) for path, value in items])]
    children = [[(path[1:], value) for path, value in items if path[0] == nibble] for nibble in range(16)]
    return [*(_reference(child) if child else b"" for child in children), b""]


def _reference(items: Sequence[tuple[list[int], bytes]]) -> rlp.Item:
    node = _node(items)
    encoded = rlp.encode(node)
    return node if len(encoded) < 32 else keccak256(encoded)


def _compact(path: Sequence[int], *, leaf: bool) -> bytes:
    odd = len(path) % 2
    flagged = [2 * leaf + odd, *([] if odd else [0]), *path]
    return bytes(high << 4 | low for high, low in zip(flagged[::2], flagged[1::2], strict=True))
