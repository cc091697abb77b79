"""The command `dougong`. Commands import what they need when they run, so that `--help` is quick."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """The entry point: 0 done, 1 a failure that the family of errors names, 2 wrong usage or configuration, 130 Ctrl-C."""
    from dougong.cli.app import app
    from dougong.cli.ending import exit_code_of

    try:
        app()
    except (Exception, KeyboardInterrupt) as error:
        code = exit_code_of(error)
        if code is None:
            raise
        sys.exit(code)
