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
def demo(
    transactions: Annotated[int, typer.Option("--transactions", help="In the trading phase, over all rollups.")] = 2_400,
    accounts: Annotated[int, typer.Option("--accounts", help="Who trade.")] = 120,
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Leave the demo's data there.")] = None,
    as_json: Json = False,
) -> None:
    """Run the main job: rollups, trades, checks from outside, a withdrawal."""
    from dougong.cli.demo import Options
    from dougong.cli.demo import demo as command

    command(Options(transactions, accounts), keep=keep, as_json=as_json)


Api = Annotated[str | None, typer.Option("--api", metavar="URL", help="Where the stack answers; from its data_dir if left out.")]
TrustFile = Annotated[
    Path | None,
    typer.Option("--trust", metavar="FILE", help="Genesis hashes and contracts to trust; from the data_dir if left out."),
]
Peers = Annotated[
    list[str] | None,
    typer.Option("--peer", metavar="URL", help="Another stack's API with the same DA chains; may be given again."),
]
Confidence = Annotated[
    float | None, typer.Option("--confidence", help="Sample until withheld data would be found with this chance, such as 0.99.")
]
Samples = Annotated[int | None, typer.Option("--samples", min=1, max=65_536, help="Cells of each square; 16 if left out.")]
Window = Annotated[
    float | None, typer.Option("--window", metavar="DAYS", min=0, help="How old a block may be and still be sampled; 7, 0: any.")
]
Folder = Annotated[Path, typer.Option("--folder", help="Where the node keeps what it has checked.")]


@app.command()
def status(stack: StackFile = None, api: Api = None, as_json: Json = False) -> None:
    """Show how a running stack does: chains, heads, services."""
    from dougong.cli.status import status as command

    command(stack, api, as_json=as_json)


@app.command()
def verify(
    stack: StackFile = None,
    api: Api = None,
    trust: TrustFile = None,
    peer: Peers = None,
    confidence: Confidence = None,
    samples: Samples = None,
    window: Window = None,
    as_json: Json = False,
) -> None:
    """Check a running stack from its genesis hashes, and say what is still trusted."""
    from dougong.cli.nodes import Sampling, verify_command

    verify_command(stack, api, trust, peer or (), Sampling(confidence, samples, window), as_json=as_json)


@app.command("light-node")
def light_node(
    folder: Folder,
    stack: StackFile = None,
    api: Api = None,
    trust: TrustFile = None,
    peer: Peers = None,
    confidence: Confidence = None,
    samples: Samples = None,
    window: Window = None,
    once: Annotated[bool, typer.Option("--once", help="One pass, then end.")] = False,
    as_json: Json = False,
) -> None:
    """Follow a stack as `verify` does, remembering what was checked."""
    from dougong.cli.nodes import Sampling, light_node_command

    sampling = Sampling(confidence, samples, window)
    light_node_command(stack, api, trust, folder, peer or (), sampling, once=once, as_json=as_json)


@app.command("full-node")
def full_node(
    folder: Folder,
    stack: StackFile = None,
    api: Api = None,
    trust: TrustFile = None,
    peer: Peers = None,
    name: Annotated[str | None, typer.Option("--name", help="Which DA chain; all of them if left out.")] = None,
    listen: Annotated[str | None, typer.Option("--listen", metavar="IP:PORT", help="Show others what was checked.")] = None,
    blocks: Annotated[int | None, typer.Option("--blocks", min=1, help="Of how many heights squares are kept; all.")] = None,
    once: Annotated[bool, typer.Option("--once", help="One pass, then end.")] = False,
    as_json: Json = False,
) -> None:
    """Download every square, encode it again, and tell everybody when one is badly encoded."""
    from dougong.cli.full_node import Keeping, full_node_command

    keeping = Keeping(folder, blocks, listen)
    full_node_command(stack, api, trust, peer or (), name, keeping, once=once, as_json=as_json)


@app.command("verifying-node")
def verifying_node(
    rollup: Annotated[str, typer.Argument(help="The rollup's name.")],
    folder: Folder,
    stack: StackFile = None,
    api: Api = None,
    trust: TrustFile = None,
    peer: Peers = None,
    until: Annotated[int | None, typer.Option("--until", min=0, help="End once this block is rebuilt.")] = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="IP:PORT", help="Serve the rollup's JSON-RPC there, at /ROLLUP.")
    ] = None,
    sequencer: Annotated[
        str | None,
        typer.Option("--sequencer", metavar="URL", help="Hand transactions on to this JSON-RPC; else refuse them."),
    ] = None,
    snapshot: Annotated[
        Path | None,
        typer.Option("--snapshot", metavar="FILE", help="Begin an empty folder with this state, not with the genesis."),
    ] = None,
    claim: Annotated[str | None, typer.Option("--claim", metavar="0x…", help="The id of the claim to trust for it.")] = None,
    history: Annotated[
        int | None, typer.Option("--history", min=128, help="Of how many blocks under the finalized head states are kept; all.")
    ] = None,
    soft: Annotated[
        bool, typer.Option("--soft", help="Execute what --sequencer says ahead of what is published, and serve it as latest.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Rebuild a rollup from DA and settlement alone, and hold its claims to the result."""
    from dougong.cli.nodes import Serving, verifying_node_command

    serving = Serving(listen, sequencer, snapshot, claim, history, soft)
    verifying_node_command(rollup, stack, api, trust, folder, peer or (), serving, until=until, as_json=as_json)


@app.command()
def auth(
    level: Annotated[str, typer.Argument(metavar="LEVEL", help="public, read, write or admin.")],
    stack: StackFile = None,
    chain: Annotated[str | None, typer.Option("--chain", metavar="NAME", help="Which DA chain, if several have the API.")] = None,
    seconds: Annotated[int, typer.Option("--seconds", min=0, help="Until the token ends; 0 for never.")] = 0,
) -> None:
    """Print a token for the Celestia API of a DA chain."""
    from dougong.cli.auth import auth as command

    command(level, stack, chain, seconds)


attacks = typer.Typer(help="Attack a stack of your own, and see who notices.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(attacks, name="attack")
Keep = Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Leave the stacks' data there.")]


@attacks.command()
def withhold(keep: Keep = None, as_json: Json = False) -> None:
    """A DA chain's producer signs a block and withholds its data."""
    from dougong.cli.attack import attack

    attack("withhold", keep=keep, as_json=as_json)


@attacks.command("bad-encoding")
def bad_encoding(keep: Keep = None, as_json: Json = False) -> None:
    """A DA chain's producer signs a square that is no codeword."""
    from dougong.cli.attack import attack

    attack("bad-encoding", keep=keep, as_json=as_json)


snapshots = typer.Typer(help="A rollup's state as a file.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(snapshots, name="snapshot")
SnapshotFile = Annotated[Path, typer.Argument(metavar="FILE", help="The snapshot.")]
RollupName = Annotated[str, typer.Argument(metavar="ROLLUP", help="The rollup's name.")]
NodeFolder = Annotated[
    Path | None, typer.Option("--folder", metavar="DIR", help="A verifying node's folder; the stack's own store if left out.")
]


@snapshots.command("export")
def snapshot_export(
    file: SnapshotFile,
    rollup: RollupName,
    stack: StackFile = None,
    folder: NodeFolder = None,
    block: Annotated[int | None, typer.Option("--block", min=1, help="After which block; the head if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Write the state of a rollup that is stopped to FILE."""
    from dougong.cli.snapshot import export_command

    export_command(file, rollup, stack, folder, block, as_json=as_json)


@snapshots.command("import")
def snapshot_import(
    file: SnapshotFile,
    rollup: RollupName,
    trusted: Annotated[str, typer.Option("--hash", metavar="0x…", help="The block's hash, from somebody that you trust.")],
    stack: StackFile = None,
    folder: NodeFolder = None,
    as_json: Json = False,
) -> None:
    """Make an empty folder the rollup's chain as of FILE's block, once all of it was checked."""
    from dougong.cli.snapshot import import_command

    import_command(file, rollup, trusted, stack, folder, as_json=as_json)


@app.command()
def pay(
    recipient: Annotated[str, typer.Argument(metavar="TO", help="A role of this stack, such as sequencer.alpha, or celestia1….")],
    amount: Annotated[int, typer.Argument(metavar="UTIA", min=1)],
    stack: StackFile = None,
    payer: Annotated[str, typer.Option("--from", metavar="ROLE", help="Who pays; the DA chain's treasury if left out.")] = "",
    chain: Annotated[str | None, typer.Option("--chain", help="Which DA chain; the first one if left out.")] = None,
    max_fee: Annotated[
        int | None,
        typer.Option("--max-fee", metavar="UTIA", min=0, help="The most that it may cost; else 1,000 times the floor."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send utia on a DA chain of a running stack, so that an account can publish."""
    from dougong.cli.pay import pay as command

    command(stack, recipient, amount, payer, chain, max_fee=max_fee, as_json=as_json)


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
