"""The commands and their options; what they do is in the module of the same name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    name="dougong",
    help="A whole modular blockchain stack: execution, settlement, consensus and data availability.",
    no_args_is_help=True,
    add_completion=False,
    # Rich's help and tracebacks cost a quarter of a second at every start.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

StackFile = Annotated[
    Path | None, typer.Argument(metavar="[STACK.TOML]", help="What to run; without it, the built-in two-rollup stack.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]


@app.command()
def up(stack: StackFile = None, as_json: Json = False) -> None:
    """Start a stack and keep it running; Ctrl-C stops it, and `up` again resumes it."""
    from dougong.cli.up import up as command

    command(stack, as_json=as_json)


@app.command()
def new(path: Annotated[Path, typer.Argument(metavar="[PATH]")] = Path("stack.toml")) -> None:
    """Write a commented stack.toml."""
    from dougong.cli.new import new as command

    command(path)


@app.command()
def version() -> None:
    """Print the version."""
    import dougong

    typer.echo(f"dougong {dougong.__version__}")
