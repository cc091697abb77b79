"""Law suites: what every implementation of a Protocol must do, for ours and for other people's."""

from dougong.testing.application import KeyValue, check_application
from dougong.testing.availability import check_availability
from dougong.testing.consensus import check_consensus
from dougong.testing.execution import check_execution
from dougong.testing.settlement import SettlementScene, check_settlement

__all__ = [
    "KeyValue",
    "SettlementScene",
    "check_application",
    "check_availability",
    "check_consensus",
    "check_execution",
    "check_settlement",
]
