"""A JSON document behind a URL, from a server that is trusted with neither memory nor stack.

info = await fetch_json("http://127.0.0.1:8545/stack")
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson

from dougong.errors import Unavailable

__all__ = ["fetch_json"]


async def fetch_json(url: str, *, seconds: float = 20.0, max_bytes: int = 32 << 20) -> Any:
    """What a GET of `url` answers within so many `seconds`, all in all. Raises `Unavailable` for no answer, one above
    `max_bytes`, and what is not JSON (or nested deeper than a parser bears)."""
    received = bytearray()
    try:
        async with asyncio.timeout(seconds), httpx.AsyncClient(timeout=seconds) as http, http.stream("GET", url) as response:
            async for chunk in response.aiter_bytes():
                received += chunk
                if len(received) > max_bytes:
                    raise Unavailable(f"{url} answers with more than {max_bytes} bytes", remedy="check the URL")
        return orjson.loads(received)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # a timeout is an OSError
        raise Unavailable(f"{url} does not answer: {str(error) or type(error).__name__}", remedy="check the URL") from error
    except orjson.JSONDecodeError as error:
        raise Unavailable(f"what answers at {url} is not JSON: {error}", remedy="check the URL") from error
