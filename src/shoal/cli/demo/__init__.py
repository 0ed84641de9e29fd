"""`shoal demo`: a whole swarm of real `shoal` processes on this machine, and a picture of what they do.

`play` is the course of events, `stage` the processes and their folder, `story` what their logs tell, `picture` how
that looks, and `janitor` a small process that clears everything away even if the demo is killed.
"""

from shoal.cli.demo.play import command

__all__ = ["command"]
