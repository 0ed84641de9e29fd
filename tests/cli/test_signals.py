"""Ctrl-C and SIGTERM: the first asks, the second ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from shoal.cli import signals

STUBBORN = """
import asyncio
from shoal.cli.signals import run_until_stopped

async def main(stop):
    print("ready", flush=True)
    await stop.wait()
    print("asked", flush=True)
    await asyncio.Event().wait()

run_until_stopped(main)
"""

LOADING = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder())
from shoal.__main__ import main
main()
"""


@pytest.fixture(autouse=True)
def hangups() -> Iterator[None]:
    """They are not ignored, as they are where the tests run below nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", signals.STOP_SIGNALS)
def test_a_signal_asks_the_command_to_stop(number: signal.Signals) -> None:
    async def main(stop: asyncio.Event) -> str:
        os.kill(os.getpid(), number)
        await stop.wait()
        return "said goodbye"

    assert signals.run_until_stopped(main) == "said goodbye"


def test_a_signal_also_asks_where_the_loop_knows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class LoopWithoutSignals(asyncio.SelectorEventLoop):
        def add_signal_handler(self, *arguments: object) -> None:
            raise NotImplementedError

    monkeypatch.setattr(signals, "new_event_loop", LoopWithoutSignals)
    before = [signal.getsignal(number) for number in signals.STOP_SIGNALS]
    try:
        test_a_signal_asks_the_command_to_stop(signal.SIGTERM)
    finally:
        for number, handler in zip(signals.STOP_SIGNALS, before, strict=True):
            signal.signal(number, handler)


def test_the_second_signal_ends_a_command_that_takes_too_long() -> None:
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert output.readline() == "asked\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 7


def test_a_second_hangup_is_not_somebody_who_has_waited_long_enough() -> None:
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        assert output.readline() == "asked\n"
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 7


def test_where_hangups_are_ignored_they_stay_so() -> None:
    async def main(stop: asyncio.Event) -> bool:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert signals.run_until_stopped(main)


def test_an_error_comes_through() -> None:
    async def main(stop: asyncio.Event) -> None:
        raise ValueError("from within")

    with pytest.raises(ValueError, match="from within"):
        signals.run_until_stopped(main)


def test_asyncio_does_where_uvloop_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = signals.new_event_loop()
    loop.close()
    assert type(loop).__module__.startswith("asyncio.")


@pytest.mark.parametrize("module", ["shoal.cli.app", "click", "shoal.cli.text", "shoal.errors"])
def test_ctrl_c_while_the_program_is_loading_ends_it_without_a_word(module: str) -> None:
    command = [sys.executable, "-c", LOADING, module]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (7, "", "")
