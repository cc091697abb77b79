"""The log of a running stack: one JSON object a line, in a file that does not grow without end."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path

import structlog

from dougong.errors import StoreError

__all__ = ["make_log"]

FILE_BYTES, FILES = 16 << 20, 4


def make_log(path: Path) -> structlog.typing.FilteringBoundLogger:
    """Raises `StoreError` where the file cannot be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=FILE_BYTES, backupCount=FILES)
    except OSError as error:
        raise StoreError(f"the log {path} cannot be written: {error.strerror}", remedy="check the path and its rights") from error
    logger = logging.Logger(f"dougong {path}")
    logger.addHandler(handler)
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=str),
    ]
    log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        logger, processors=processors, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO)
    )
    return log
