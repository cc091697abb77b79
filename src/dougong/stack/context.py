"""What every part of a stack is built with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from dougong.rpc.server import RpcServer
from dougong.services.supervisor import Supervisor
from dougong.stack.config import StackConfig
from dougong.stack.disk import Disk
from dougong.stack.events import Report
from dougong.stack.genesis import Documents
from dougong.stack.keys import Keyring
from dougong.stack.metrics import Metrics
from dougong.stack.parts import SquareParts

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """Injected everywhere; nothing in it is global. `squares` are DA chains made of other parts than the honest ones."""

    config: StackConfig
    disk: Disk
    keys: Keyring
    documents: Documents
    server: RpcServer
    supervisor: Supervisor
    metrics: Metrics
    report: Report
    log: structlog.typing.FilteringBoundLogger
    squares: Mapping[str, SquareParts] = field(default_factory=dict)
