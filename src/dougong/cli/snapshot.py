"""`dougong snapshot`: a rollup's state as a file, out of a folder and into one.

The stores belong to whoever runs on them: a stack or a node is stopped first. A running stack writes snapshots itself
(`[rollup.NAME] snapshot_interval`).
"""

from __future__ import annotations

import json
from pathlib import Path

from dougong._native import Evm, import_snapshot
from dougong.cli.output import print_json
from dougong.errors import InvalidInput, NotFound
from dougong.stack.disk import Disk
from dougong.stack.events import Event
from dougong.stack.reading import load

__all__ = ["export_command", "import_command"]


def _genesis(disk: Disk, rollup: str) -> str:
    raw = disk.read(disk.genesis("rollup", rollup))
    if raw is None:
        raise NotFound(
            f"{disk.root} has no genesis document of a rollup {rollup}", remedy="copy it from the stack that runs the rollup"
        )
    return json.dumps(json.loads(raw)["evm"])


def _store(disk: Disk, rollup: str, folder: Path | None) -> Path:
    return disk.home("rollup", rollup) / "evm" if folder is None else folder / "evm"


def export_command(file: Path, rollup: str, stack: Path | None, folder: Path | None, block: int | None, *, as_json: bool) -> None:
    """Writes the state after `block`, or after the head."""
    disk = Disk(load(stack).data_dir)
    store = _store(disk, rollup, folder)
    if not (store / "data.mdb").exists():
        raise NotFound(f"{store} holds no chain", remedy="name the node's folder with --folder")
    evm = Evm(str(store), _genesis(disk, rollup))
    try:
        number, block_hash, digest, accounts, slots, codes = evm.export_snapshot(str(file), block)
    finally:
        evm.close()
    facts: dict[str, object] = {
        "number": number,
        "hash": "0x" + block_hash.hex(),
        "digest": "0x" + digest.hex(),
        "accounts": accounts,
        "slots": slots,
        "codes": codes,
        "bytes": file.stat().st_size,
    }
    _say("exported", rollup, facts, as_json=as_json)


def import_command(file: Path, rollup: str, trusted: str, stack: Path | None, folder: Path | None, *, as_json: bool) -> None:
    """Makes an empty store the chain as of the block with the trusted hash."""
    disk = Disk(load(stack).data_dir)
    head = import_snapshot(str(_store(disk, rollup, folder)), _genesis(disk, rollup), _hash(trusted), str(file))
    facts: dict[str, object] = {"number": head.number, "hash": "0x" + head.hash.hex(), "state_root": "0x" + head.state_root.hex()}
    _say("imported", rollup, facts, as_json=as_json)


def _hash(text: str) -> bytes:
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        data = b""
    if len(data) != 32:
        raise InvalidInput(f"--hash {text} is not a block's hash", remedy="0x and 64 hexadecimal digits")
    return data


def _say(kind: str, rollup: str, facts: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(Event(kind, rollup, facts))
    else:
        print(f"{rollup}: {kind}: " + ", ".join(f"{fact} {value}" for fact, value in facts.items()), flush=True)
