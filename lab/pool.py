"""One machine wants a URL, others of its group help: how near the pool comes to what all their links can carry.

`./dev lab pool [--members N] [--rate RATE] [--lan-rate RATE] [--size SIZE] [--rounds N] [--scene SCENES]`, as root.
Every member is a real process in a network namespace of its own, with a slow link to nginx and a fast LAN. Scenes: all
links equal; every second one ten times slower, the requester's too; rates that change; a helper killed or frozen in the
middle; nobody helping; and aria2 by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lab.parts import url_lab
from lab.parts.pool_scenes import pool_scenes
from lab.parts.pool_table import pool_verdicts


def main(argv: Sequence[str] | None = None) -> int:
    return url_lab.main("pool", __doc__ or "", pool_scenes, pool_verdicts, argv)


if __name__ == "__main__":
    sys.exit(main())
