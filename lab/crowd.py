"""All machines of a group want the same URL at once: how often its origin sends each byte.

`./dev lab crowd [--members N] [--rate RATE] [--lan-rate RATE] [--size SIZE] [--rounds N] [--scene SCENES]`, as root.
The same network as of `./dev lab pool`, and a requester on every host. Scenes: all together; and one in ten, at least
one, killed in the middle.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lab.parts import url_lab
from lab.parts.pool_scenes import crowd_scenes
from lab.parts.pool_table import crowd_verdicts


def main(argv: Sequence[str] | None = None) -> int:
    return url_lab.main("crowd", __doc__ or "", crowd_scenes, crowd_verdicts, argv)


if __name__ == "__main__":
    sys.exit(main())
