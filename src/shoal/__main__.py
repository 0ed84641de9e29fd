"""The program's first line: answers `shoal --version` by itself, hands all else to `shoal.cli.app`.

Nothing is imported here that the answer does not need: a version is asked for by scripts, often.
"""

from __future__ import annotations

import sys

from shoal import __version__


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        print(f"shoal {__version__}")
        return
    import signal

    from shoal.cli.app import run

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end a command alike
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
