"""A server may say what it likes: whoever fetches a document gets JSON or `Unavailable`, and keeps memory and stack."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from dougong.errors import Unavailable
from dougong.net.document import fetch_json

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"


@asynccontextmanager
async def answering(parts: Iterator[bytes]) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def endless() -> Iterator[bytes]:
    yield HEAD
    while True:
        yield b"[" * 65_536


async def test_a_document_is_read() -> None:
    async with answering(iter([HEAD, b'{"a": [', b"1]}"])) as url:
        assert await fetch_json(url) == {"a": [1]}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (endless(), "more than 1000000 bytes"),
        (iter([HEAD, b"[" * 900_000]), "not JSON"),
        (iter([HEAD, b"[" * 400_000 + b"]" * 400_000]), "not JSON"),
        (iter([HEAD, b"nothing"]), "not JSON"),
        (iter([b"\x00\x00\r\n\r\n"]), "does not answer"),
        (iter([]), "does not answer"),
    ],
)
async def test_nonsense_is_refused(parts: Iterator[bytes], words: str) -> None:
    async with answering(parts) as url:
        with pytest.raises(Unavailable, match=words):
            await fetch_json(url, max_bytes=1_000_000)


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async with answering(iter([HEAD[:20]])) as url:
        with pytest.raises(Unavailable):
            await fetch_json(url, seconds=0.2)
