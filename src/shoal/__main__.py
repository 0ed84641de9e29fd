"""The program's first line: answers `shoal --version` by itself, hands all else to `shoal.cli.app`.

Nothing is imported here that the answer does not need: a version is asked for by scripts, often. Ctrl-C while the
program is still loading ends it without a word; before `main`, in Python's own start, it is Python's.
"""

from __future__ import annotations

import os
import sys

from shoal import __version__


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        print(f"shoal {__version__}")
        return
    import _signal  # type: ignore[import-not-found]  # built in; `signal` itself would take a millisecond

    is_interruptible = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
    if is_interruptible:  # else it is ignored, as behind `&`
        _signal.signal(_signal.SIGINT, end_at_once)
    fill_closed_descriptors()
    import signal

    from shoal.cli.app import run

    if is_interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # all end a command alike
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # as below nohup
        signal.signal(hangup, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


def end_at_once(number: int, frame: object) -> None:
    """Nothing has begun: there is nothing to put in order, and what is being imported must not see an exception."""
    os._exit(7)  # `ExitCode.UNFINISHED`, which is not loaded yet


def fill_closed_descriptors() -> None:
    """Where the caller closed stdin, stdout or stderr: or the first socket would take the number, and be written to."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 (for as long as the program runs)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    main()
