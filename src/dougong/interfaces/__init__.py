"""One Protocol a layer. Nothing here is concrete; every Protocol has a law suite in `dougong.testing`."""

from dougong.interfaces.application import Application
from dougong.interfaces.availability import DataAvailability
from dougong.interfaces.consensus import Consensus
from dougong.interfaces.execution import Execution
from dougong.interfaces.settlement import Settlement

__all__ = ["Application", "Consensus", "DataAvailability", "Execution", "Settlement"]
