"""The stores that must pass the contract, and a Redis for the shared one."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable, Iterator

import pytest

from shoal.tracker import mesh, redis_link
from shoal.tracker.memory_store import MemoryStore
from shoal.tracker.redis_store import RedisStore
from shoal.tracker.store import PeerStore

from ..peers.processes import Pen
from .redis_server import RedisServer
from .stores import LIFETIME, LIMIT, AskedStore

StoreMaker = Callable[..., AskedStore]

SERVERS = {"redis": "redis-server"} | ({"valkey": "valkey-server"} if shutil.which("valkey-server") else {})


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is asked has all the time that a busy machine may take."""
    for module in (mesh, redis_link):
        monkeypatch.setattr(module, "ANSWER_SECONDS", LIMIT)


@pytest.fixture
def pen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pen]:
    pen = Pen(tmp_path_factory.mktemp("pen"))
    yield pen
    pen.close()


@pytest.fixture(scope="session")
def lasting_pen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pen]:
    pen = Pen(tmp_path_factory.mktemp("lasting"))
    yield pen
    pen.close()


@pytest.fixture(scope="session")
def servers(lasting_pen: Pen) -> Callable[[str], RedisServer]:
    """One server of each kind for all tests, started when it is first asked for."""
    running: dict[str, RedisServer] = {}

    def server(kind: str) -> RedisServer:
        if kind not in running:
            running[kind] = RedisServer(lasting_pen, program=SERVERS[kind])
        return running[kind]

    return server


@pytest.fixture
def redis_server(servers: Callable[[str], RedisServer]) -> RedisServer:
    """Empty, and shared with tests that do it no harm."""
    server = servers("redis")
    server.flush()
    return server


@pytest.fixture(params=["memory", *SERVERS])
def make_store(request: pytest.FixtureRequest, patient: None) -> Iterator[StoreMaker]:
    """Makes an empty store, which goes by the time it is told; the one before it may be used no more."""
    with asyncio.Runner() as runner:
        made: list[AskedStore] = []

        def make(seed: int = 1, **limits: int) -> AskedStore:
            store: PeerStore
            if request.param == "memory":
                store = MemoryStore(LIFETIME, random.Random(seed), **limits)
            else:
                server: RedisServer = request.getfixturevalue("servers")(request.param)
                server.flush()
                store = RedisStore(server.url, LIFETIME, rng=random.Random(seed), keeps_time=False, **limits)
            made.append(AskedStore(store, runner))
            return made[-1]

        yield make
        for store in made:
            store.close()
