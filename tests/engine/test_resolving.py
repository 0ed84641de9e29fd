from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from shoal.engine.resolving import resolve

V4, V6 = ("192.0.2.7", 6969), ("2001:db8::7", 6969, 0, 0)
real_getaddrinfo = socket.getaddrinfo
Answer = list[tuple[Any, ...]]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    runner: Callable[..., Any] = request.param
    return runner


def answer_names(monkeypatch: pytest.MonkeyPatch, name_server: Callable[[int], Answer]) -> None:
    """Names are looked up by `name_server(family)`; addresses as ever."""

    def getaddrinfo(host: str, port: int, family: int = 0, type: int = 0, *, flags: int = 0) -> Answer:
        if flags & socket.AI_NUMERICHOST:
            return list(real_getaddrinfo(host, port, family, type, flags=flags))
        assert threading.current_thread() is not threading.main_thread()
        return name_server(family)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def known(*addresses: tuple[Any, ...]) -> Callable[[int], Answer]:
    def name_server(family: int) -> Answer:
        found = [(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, address) for address in addresses]
        wanted = [(kind, address) for kind, address in found if family in (socket.AF_UNSPEC, kind)]
        if not wanted:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(kind, socket.SOCK_DGRAM, 17, "", address) for kind, address in wanted]

    return name_server


def test_an_address_needs_no_look_up(monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]) -> None:
    answer_names(monkeypatch, known())
    assert run(resolve("192.0.2.7", 6969, None)) == [V4]
    assert run(resolve("2001:db8::7", 6969, "::")) == [V6]


def test_a_name_has_one_address_of_each_family(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    answer_names(monkeypatch, known(V6, ("2001:db8::8", 6969, 0, 0), V4, ("192.0.2.8", 6969)))
    assert run(resolve("tracker.example", 6969, None)) == [V4, V6]


@pytest.mark.parametrize(
    ("bind", "found"), [("0.0.0.0", [V4, V6]), ("192.0.2.1", [V4]), ("2001:db8::1", [V6])]
)
def test_only_what_can_be_reached_from_the_bound_address_counts(
    monkeypatch: pytest.MonkeyPatch, bind: str, found: list[tuple[Any, ...]]
) -> None:
    answer_names(monkeypatch, known(V4, V6))
    assert asyncio.run(resolve("tracker.example", 6969, bind)) == found


def test_an_address_of_the_other_family_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_names(monkeypatch, known())
    assert asyncio.run(resolve("2001:db8::7", 6969, "192.0.2.1")) == []


@pytest.mark.parametrize("name", ["nowhere.example", "x" * 64 + ".example", "a..example"])
def test_a_host_that_does_not_exist_has_no_address(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    answer_names(monkeypatch, known())
    assert asyncio.run(resolve(name, 6969, None)) == []


def test_a_name_server_that_is_dead_holds_up_neither_the_caller_nor_the_end(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def dead(_family: int) -> Answer:
        asked.set()
        answered.wait(60)
        return []

    answer_names(monkeypatch, dead)

    async def story() -> None:
        looking = asyncio.ensure_future(resolve("tracker.example", 6969, None))
        while not asked.is_set():  # noqa: ASYNC110 - it is set in a thread
            await asyncio.sleep(0.001)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking

    run(story())  # had the loop to wait for its threads, this would take a minute
    assert not answered.is_set()
    answered.set()
    for thread in threading.enumerate():
        if thread.name == "resolving":
            thread.join(10)
            assert thread.daemon and not thread.is_alive()
