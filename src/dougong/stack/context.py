"""What every part of a stack is built with."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from dougong.rpc.server import RpcServer
from dougong.services.supervisor import Supervisor
from dougong.stack.config import StackConfig
from dougong.stack.disk import Disk
from dougong.stack.events import Report
from dougong.stack.genesis import Documents
from dougong.stack.keys import Keyring
from dougong.stack.metrics import Metrics

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """Injected everywhere; nothing in it is global."""

    config: StackConfig
    disk: Disk
    keys: Keyring
    documents: Documents
    server: RpcServer
    supervisor: Supervisor
    metrics: Metrics
    report: Report
    log: structlog.typing.FilteringBoundLogger
