"""Whole swarms on virtual time: the product's own control plane over a network in memory.

Hosts run the product's own `Swarm` and `PeerConnection`. Control messages travel as the bytes of the wire, blocks as
their lengths. docs/simulator.md says what is real, what is modelled and what is not there.
"""

from shoal.testing.simulation.host import Host
from shoal.testing.simulation.manners import Manners
from shoal.testing.simulation.network import Network
from shoal.testing.simulation.recorder import Recorder
from shoal.testing.simulation.timeline import LivelockError
from shoal.testing.simulation.troubles import freeze_for, kill_at_random

__all__ = ["Host", "LivelockError", "Manners", "Network", "Recorder", "freeze_for", "kill_at_random"]
