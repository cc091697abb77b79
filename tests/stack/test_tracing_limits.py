"""What a trace may cost is the operator's to say, in a rollup's table."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from dougong.errors import ConfigError
from dougong.net.codes import LIMIT_EXCEEDED
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.rpc.ethereum import EthereumOptions
from dougong.stack.reading import parse
from dougong.stack.runtime import running
from tests.stacks import SQUARE, rollup, stack_toml

HERE = Path("/somewhere")


def call(size: int) -> list[object]:
    """A trace that shows this many bytes."""
    return [{"to": "0x" + "11" * 20, "data": "0x" + "00" * size}, "latest", {"tracer": "callTracer"}]


@pytest.mark.parametrize("process", [False, True], ids=["within", "alone"])
async def test_an_answer_over_the_rollups_own_limit_is_refused(tmp_path: Path, process: bool) -> None:
    text = stack_toml(SQUARE, rollup("small", trace_bytes=2_000, trace_seconds=7, process=process), rollup("large"))
    config = parse(text, source="stack.toml", base=tmp_path)
    async with running(config, lambda event: None, structlog.get_logger()) as stack:
        await stack.opened()
        async with JsonRpc(f"{stack.url}/small") as small, JsonRpc(f"{stack.url}/large") as large:
            assert (await small.call("debug_traceCall", *call(100)))["to"] == "0x" + "11" * 20
            with pytest.raises(RpcError, match="over the 2000 bytes") as refused:
                await small.call("debug_traceCall", *call(2_000))
            assert refused.value.code == LIMIT_EXCEEDED
            assert len((await large.call("debug_traceCall", *call(2_000)))["input"]) == 2 + 2 * 2_000


def test_the_defaults_are_the_methods_own() -> None:
    config = parse(stack_toml(SQUARE, rollup("free")), source="stack.toml", base=HERE).rollup["free"]
    options = EthereumOptions()
    assert (config.trace_seconds, config.trace_bytes) == (options.trace_seconds, options.trace_bytes)


@pytest.mark.parametrize(
    ("key", "value"), [("trace_seconds", 0), ("trace_seconds", 601), ("trace_bytes", 10), ("trace_bytes", 1 << 31)]
)
def test_a_limit_that_is_none_is_refused(key: str, value: int) -> None:
    with pytest.raises(ConfigError, match=key):
        parse(stack_toml(SQUARE, rollup("free") + f"{key} = {value}\n"), source="stack.toml", base=HERE)
