"""Reads stack.toml: text to `StackConfig`, or one `ConfigError` that names the file, the line, the fault and what is allowed.

config = load(Path("stack.toml"))
config = parse('[availability.square]\\nkind = "square"\\n...', source="stack.toml", base=Path("."))
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dougong.errors import ConfigError
from dougong.stack.config import (
    LATER,
    AvailabilityConfig,
    CelestiaAvailability,
    EmbeddedSettlement,
    EthereumBlobsAvailability,
    EthereumSettlement,
    RollupConfig,
    SquareAvailability,
    StackConfig,
    Table,
)
from dougong.stack.data_window import contradiction, data_window

__all__ = ["BUILT_IN", "DEFAULT_TEXT", "load", "parse"]

BUILT_IN = "the built-in stack"
DEFAULT_TEXT = files("dougong.stack").joinpath("default.toml").read_text()

# The tables of a layer by their kind; the first stands for one that says none.
_KINDS: dict[str, dict[str, type[Table]]] = {
    "availability": {
        "square": SquareAvailability,
        "celestia": CelestiaAvailability,
        "ethereum-blobs": EthereumBlobsAvailability,
    },
    "settlement": {"evm": EmbeddedSettlement, "ethereum": EthereumSettlement},
}
Path_ = tuple[str, ...]


def load(path: Path | None) -> StackConfig:
    """Reads the file (None: the built-in two-rollup stack). A relative `data_dir` is taken from the file's folder.
    Raises `ConfigError`."""
    if path is None:
        return parse(DEFAULT_TEXT, source=BUILT_IN, base=Path.cwd())
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", remedy="`dougong new` writes one") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason}", remedy="`dougong new` writes one") from error
    return parse(text, source=str(path), base=path.resolve().parent)


def parse(text: str, *, source: str, base: Path) -> StackConfig:
    """Raises `ConfigError` about the first wrong line."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not TOML: {error}", remedy="see docs/configuration.md") from error
    try:
        config = StackConfig.model_validate(document)
    except ValidationError as error:
        faults = [_fault(document, details) for details in error.errors()]  # type: ignore[arg-type]
        raise _first(faults, text, source) from error
    wrong = list(check(config))
    if wrong:
        raise _first(wrong, text, source)
    layers = {name: _based(layer, base) for name, layer in config.availability.items()}
    rollups = {name: _begun(rollup, base) for name, rollup in config.rollup.items()}
    return config.model_copy(update={"data_dir": base / config.data_dir, "availability": layers, "rollup": rollups})


def _based(layer: AvailabilityConfig, base: Path) -> AvailabilityConfig:
    """With its files taken from the folder of stack.toml."""
    if isinstance(layer, CelestiaAvailability) and layer.token_file is not None:
        return layer.model_copy(update={"token_file": base / layer.token_file})
    return layer


def _begun(rollup: RollupConfig, base: Path) -> RollupConfig:
    """The same for a rollup's snapshot."""
    return rollup if rollup.snapshot is None else rollup.model_copy(update={"snapshot": base / rollup.snapshot})


# --- what one table cannot see --------------------------------------------------------------------------------------


def check(config: StackConfig) -> Iterator[tuple[Path_, str, str]]:
    """(path of the key, what is wrong, remedy) for everything that takes two keys to judge."""
    yield from _one_path_each(config)
    taken: dict[int, str] = {}
    for name, settlement in config.settlement.items():
        yield from _distinct(taken, settlement.chain_id, ("settlement", name))
    for name, layer in config.availability.items():
        if isinstance(layer, EthereumBlobsAvailability):
            yield from _carried(layer, config, ("availability", name))
    for name, rollup in config.rollup.items():
        here = ("rollup", name)
        yield from _distinct(taken, config.chain_id(name), here)
        yield from _reference(rollup.availability, config.availability, "availability", here)
        if (rollup.snapshot is None) != (rollup.snapshot_claim is None):
            key = "snapshot" if rollup.snapshot_claim is None else "snapshot_claim"
            yield (*here, key), "snapshot and snapshot_claim go together", "give both, or neither"
        if rollup.settlement is not None:
            yield from _reference(rollup.settlement, config.settlement, "settlement", here)
            yield from _settled(rollup, here)
            yield from _attested(rollup, config, here)
            yield from _settled_beside_its_data(rollup, config, here)
            yield from _not_pruned_first(name, config, here)
        else:
            yield from _sovereign(rollup, here)


def _one_path_each(config: StackConfig) -> Iterator[tuple[Path_, str, str]]:
    """Every chain is served at the path that is its name."""
    paths: dict[str, str] = {"metrics": "the server's own", "stack": "the server's own"}
    for layer, names in (("availability", config.availability), ("settlement", config.settlement), ("rollup", config.rollup)):
        for name in names:
            if name in paths:
                yield (layer, name), f'the name "{name}" is {paths[name]}', "give it another: it is the chain's path on the API"
            paths.setdefault(name, f"[{layer}.{name}]'s")


def _distinct(taken: dict[int, str], chain_id: int, here: Path_) -> Iterator[tuple[Path_, str, str]]:
    if chain_id in taken:
        message = f"chain_id {chain_id} is {taken[chain_id]}'s already"
        yield (*here, "chain_id"), message, "transactions would replay: choose another"
    taken[chain_id] = ".".join(here)


def _reference(name: str, present: dict[str, Any], layer: str, here: Path_) -> Iterator[tuple[Path_, str, str]]:
    if name not in present:
        known = ", ".join(f'"{other}"' for other in present) or "none is declared"
        yield (*here, layer), f'{layer} = "{name}": there is no [{layer}.{name}]', f"allowed: {known}"


def _settled(rollup: RollupConfig, here: Path_) -> Iterator[tuple[Path_, str, str]]:
    if rollup.proof is None:
        yield here, "a rollup with a settlement says what proves its claims: proof is missing", 'allowed: proof = "none"'
    if rollup.fund:
        message = "a settled rollup starts with no money of its own: fund is for sovereign rollups"
        yield (*here, "fund"), message, "deposit through the bridge"


def _attested(rollup: RollupConfig, config: StackConfig, here: Path_) -> Iterator[tuple[Path_, str, str]]:
    if isinstance(config.availability.get(rollup.availability), CelestiaAvailability):
        message = f"settlement needs attestations of a DA chain's whole history, which {rollup.availability} does not give"
        yield (*here, "settlement"), message, 'leave settlement out (sovereign), or use a DA layer of kind = "square"'


def _carried(layer: EthereumBlobsAvailability, config: StackConfig, here: Path_) -> Iterator[tuple[Path_, str, str]]:
    """Blobs travel with transactions of a chain that carries them."""
    yield from _reference(layer.settlement, config.settlement, "settlement", here)
    if isinstance(config.settlement.get(layer.settlement), EmbeddedSettlement):
        message = f"[settlement.{layer.settlement}] is an embedded chain, and those carry no blobs"
        yield (*here, "settlement"), message, 'name one with kind = "ethereum"'


def _settled_beside_its_data(rollup: RollupConfig, config: StackConfig, here: Path_) -> Iterator[tuple[Path_, str, str]]:
    layer = config.availability.get(rollup.availability)
    if isinstance(layer, EthereumBlobsAvailability) and rollup.settlement != layer.settlement:
        message = f'settlement = "{rollup.settlement}", but [availability.{rollup.availability}] lies on {layer.settlement}'
        yield (*here, "settlement"), message, f'settle on "{layer.settlement}": no other contract sees these blobs'


def _not_pruned_first(name: str, config: StackConfig, here: Path_) -> Iterator[tuple[Path_, str, str]]:
    """What may be appended must be kept. (What was registered before and is not written here is looked at in `genesis`.)"""
    rollup = config.rollup[name]
    layer = config.availability.get(rollup.availability)
    if isinstance(layer, EthereumBlobsAvailability) and rollup.data_window is not None:
        message = "data_window means nothing on Ethereum's blobs: their height is the block that appends them"
        yield (*here, "data_window"), message, "remove data_window"
    elif layer is not None:
        wrong = contradiction(config, name, data_window(config, name, written=None))
        if wrong is not None:
            yield (*here, "data_window"), *wrong


def _sovereign(rollup: RollupConfig, here: Path_) -> Iterator[tuple[Path_, str, str]]:
    for key in ("proof", "challenge_window_s", "force_delay_s", "sequencer_timeout_s", "data_window", "snapshot"):
        if getattr(rollup, key) is not None:
            yield (*here, key), f"{key} means nothing without a settlement", f"remove {key}, or name a settlement"


# --- from pydantic's words to ours ----------------------------------------------------------------------------------


def _fault(document: dict[str, Any], details: dict[str, Any]) -> tuple[Path_, str, str]:
    kind, context = details["type"], details.get("ctx", {})
    # Inside a union pydantic adds the tag to the path, and "[key]" behind a bad key.
    path = _written(document, tuple(str(part) for part in details["loc"]))
    key, value = path[-1] if path else "", details.get("input")
    if kind == "extra_forbidden":
        allowed = _keys(path[:-1], document)
        near = difflib.get_close_matches(key, allowed, 1)
        return path, f'unknown key "{key}"', (f'did you mean "{near[0]}"? ' if near else "") + f"allowed: {', '.join(allowed)}"
    if kind == "missing":
        return path[:-1], f'"{key}" is missing', _allowed(path, document)
    if kind in ("literal_error", "union_tag_invalid", "union_tag_not_found"):
        return _fault_of_choice(path, document, value, context)
    if kind == "string_pattern_mismatch":
        longest = 10 if path[:1] == ("rollup",) else 32
        rule = f"a name is 1 to {longest} of a-z, 0-9 and -, and starts with a letter"
        return path, f'"{key}" is not a name', rule
    return path, f"{key} = {_shown(value)}: {_lowered(details['msg'])}", _allowed(path, document)


def _fault_of_choice(path: Path_, document: dict[str, Any], value: object, context: dict[str, Any]) -> tuple[Path_, str, str]:
    if isinstance(value, dict):  # a union's tag: the key is inside
        path, value = (*path, "kind"), value.get("kind")
        if value is None:
            return path[:-1], '"kind" is missing', _allowed(path, document)
    key = path[-1]
    if isinstance(value, str) and value in LATER.get(key, ()):
        return path, f'{key} = "{value}" is not built yet', _allowed(path, document)
    return path, f"{key} = {_shown(value)} is unknown", _allowed(path, document)


def _written(document: dict[str, Any], path: Path_) -> Path_:
    """The path as the file has it: without union tags."""
    kept: list[str] = []
    node: Any = document
    for number, part in enumerate(path):
        if part == "[key]":
            continue
        last = number == len(path) - 1
        if isinstance(node, dict) and (part in node or last):
            kept.append(part)
            node = node.get(part)
    return tuple(kept)


def _model(path: Path_, document: dict[str, Any]) -> type[Table] | None:
    """The model of the table at `path`; None where the keys are free (names, addresses)."""
    if not path:
        return StackConfig
    if path[0] == "api":
        return type(StackConfig.model_fields["api"].default)
    if len(path) != 2:
        return None
    kinds = _KINDS.get(path[0])
    if kinds is None:
        return RollupConfig if path[0] == "rollup" else None
    table = document.get(path[0], {}).get(path[1])
    kind = table.get("kind") if isinstance(table, dict) else None
    return kinds.get(kind if isinstance(kind, str) else "", next(iter(kinds.values())))


def _keys(path: Path_, document: dict[str, Any]) -> list[str]:
    model = _model(path, document)
    return list(model.model_fields) if model else []


def _allowed(path: Path_, document: dict[str, Any]) -> str:
    """What the key at `path` may be: the literals of its type, or where to read on."""
    model = _model(path[:-1], document)
    if path[0] in _KINDS and path[2:] == ("kind",):
        return "allowed: " + ", ".join(f'"{kind}"' for kind in _KINDS[path[0]])
    if model and path[-1] in model.model_fields:
        choices = [choice for choice in _literals(model, path[-1]) if choice is not None]
        if choices:
            return "allowed: " + ", ".join([*map(_shown, choices), *_ranges(model, path[-1])])
    return "see docs/configuration.md"


def _literals(model: type[BaseModel], key: str) -> Iterator[object]:
    annotation = model.model_fields[key].annotation
    for part in (annotation, *get_args(annotation)):
        if getattr(part, "__origin__", None) is not None and str(part).startswith("typing.Literal"):
            yield from get_args(part)


def _ranges(model: type[BaseModel], key: str) -> Iterator[str]:
    """The numbers that a key takes besides."""
    for part in get_args(model.model_fields[key].annotation):
        bounds = [rule for info in getattr(part, "__metadata__", ()) for rule in getattr(info, "metadata", ())]
        least = [rule.ge for rule in bounds if hasattr(rule, "ge")]
        most = [rule.le for rule in bounds if hasattr(rule, "le")]
        if least and most:
            yield f"{least[0]} to {most[0]}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _lowered(sentence: str) -> str:
    """Pydantic's sentence in TOML's words."""
    return (sentence[:1].lower() + sentence[1:]).replace("valid dictionary", "table").replace("an instance of Path", "a string")


# --- lines ----------------------------------------------------------------------------------------------------------


def _first(faults: Sequence[tuple[Path_, str, str]], text: str, source: str) -> ConfigError:
    """The fault that comes first in the file: fixing from the top is what people do."""
    line, (path, message, remedy) = min(((line_of(text, fault[0]), fault) for fault in faults), key=lambda pair: pair[0])
    where = f"{source}, line {line}" if line else source
    table = ".".join(path[: 1 if path[:1] == ("api",) else 2]) if len(path) > 1 else ""
    return ConfigError(f"{where}: {f'[{table}] ' if table else ''}{message}", remedy=remedy)


def line_of(text: str, path: Path_) -> int:
    """The line on which the key at `path` begins, or its nearest table that is written (0 when none is).

    tomllib keeps no positions, but a prefix of whole statements is TOML too: the key begins behind the last prefix that
    parses without it. That holds for quoted keys, dotted keys and values over many lines alike.
    """
    complete = 0
    lines = text.splitlines(keepends=True)
    found = {0: 0}
    for end in range(1, len(lines) + 1):
        try:
            node: Any = tomllib.loads("".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
        for depth, part in enumerate(path, 1):
            if not isinstance(node, dict) or part not in node:
                break
            node = node[part]
            found.setdefault(depth, complete + 1)
        complete = end
        if len(path) in found:
            break
    return found[max(found)]
