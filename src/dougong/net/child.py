"""Seeing a child process off."""

from __future__ import annotations

from asyncio.subprocess import Process


async def see_off(child: Process) -> int:
    """Waits until a child has ended, reading what it still says, and returns its exit code.

    A child must not wait for a reader, and `Process.wait` alone returns before the end of its output was seen: the
    transport then outlives the event loop, and raises wherever it happens to be collected.
    """
    for output in (child.stdout, child.stderr):
        while output is not None and await output.read(1 << 16):
            pass
    return await child.wait()
