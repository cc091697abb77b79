"""One registry for each part of a stack, one page for whoever scrapes it.

    metrics = Metrics()
    part = CollectorRegistry()
    Counter("dougong_blocks", "Blocks made", ("rollup",), registry=part)
    metrics.join(part)
    generate_latest(metrics.registry)

Two rollups in one process declare the same metrics, which one registry refuses. So each part has its own, and families of one
name are joined when they are read.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

__all__ = ["Metrics"]


class Metrics(Collector):
    """`registry` is what is scraped."""

    def __init__(self) -> None:
        self._parts: list[CollectorRegistry] = []
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def join(self, part: CollectorRegistry) -> None:
        self._parts.append(part)

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for part in self._parts:
            for found in part.collect():
                family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type, found.unit))
                family.samples.extend(found.samples)
        return families.values()
