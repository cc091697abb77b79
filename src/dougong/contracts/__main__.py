"""`python -m dougong.contracts`: compiles every contract whose sources or compiler changed. `--check` only says which would be.

A build file carries the SHA-256 of the compiler's version, of this file and of every source that the contract is made of, so
an unchanged contract costs no compilation. Vyper is needed here and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from dougong.contracts import BUILD

SOURCES = Path(__file__).parent
EXAMPLES = SOURCES.parents[2] / "examples" / "contracts"
IMPORT = re.compile(r"^import (\w+)", re.MULTILINE)
CODE_LIMIT = 24_576  # EIP-170


def closure(source: Path) -> list[Path]:
    """The source and all that it imports, each once, in a fixed order."""
    found: dict[str, Path] = {}
    waiting = [source]
    while waiting:
        path = waiting.pop()
        found[path.name] = path
        for name in IMPORT.findall(path.read_text()):
            imported = next(
                (file for file in (path.with_name(f"{name}.vy"), path.with_name(f"{name}.vyi")) if file.exists()), None
            )
            if imported is not None and imported.name not in found:
                waiting.append(imported)
    return [found[name] for name in sorted(found)]


def content_key(source: Path, compiler: str) -> str:
    digest = hashlib.sha256(compiler.encode() + Path(__file__).read_bytes())
    for path in closure(source):
        text = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


def contracts() -> list[Path]:
    """What is deployed: capitalised file names. Lower case is for modules."""
    folders = [SOURCES, EXAMPLES] if EXAMPLES.is_dir() else [SOURCES]
    return sorted(path for folder in folders for path in folder.glob("*.vy") if path.name[0].isupper())


def compile_contract(source: Path, key: str) -> dict[str, Any]:
    from vyper.compiler import compile_from_file_input
    from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle

    bundle = FilesystemInputBundle([source.parent])
    file = bundle.load_file(source.name)
    assert isinstance(file, FileInput)
    output = compile_from_file_input(file, input_bundle=bundle, output_formats=["abi", "bytecode", "bytecode_runtime", "layout"])
    runtime = bytes.fromhex(output["bytecode_runtime"][2:])
    if len(runtime) > CODE_LIMIT:
        raise SystemExit(f"{source.name}: {len(runtime)} bytes of code, {CODE_LIMIT} are allowed")
    return {
        "key": key,
        "abi": output["abi"],
        "bytecode": output["bytecode"][2:],
        "runtime": runtime.hex(),
        "layout": output["layout"].get("storage_layout", {}),
    }


def main(check: bool) -> int:
    try:
        from vyper import __long_version__ as compiler
    except ImportError:
        raise SystemExit("compiling the contracts needs vyper: run `make contracts`, or pip install vyper==0.4.3") from None
    BUILD.mkdir(exist_ok=True)
    stale = 0
    for source in contracts():
        target = BUILD / f"{source.stem}.json"
        key = content_key(source, compiler)
        if target.exists() and json.loads(target.read_text()).get("key") == key:
            continue
        stale += 1
        print(f"{'stale' if check else 'compiling'} {source.stem}", file=sys.stderr)
        if not check:
            # A second build at the same time, or a kill, must not leave half a file.
            partial = target.with_suffix(f".{os.getpid()}.tmp")
            partial.write_text(json.dumps(compile_contract(source, key), sort_keys=True))
            partial.replace(target)
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
