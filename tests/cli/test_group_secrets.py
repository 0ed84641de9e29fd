"""What only one machine may know, seen from outside: the raw bytes of every other socket, logs, and what is printed.

A tap stands before the tracker, another before a member's port, and a second origin is redirected to. No canary may
come by any of them, in whatever way a run ends.
"""

from __future__ import annotations

import base64
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote

import pytest

from shoal.testing.hostile_origin import HostileOrigin, Page, redirect
from shoal.units import KIB, MIB

from .machines import Machine, Room, RunningHelper, room, wait_until
from .running import HOST, LOCAL, PATIENCE

CANARY = "canary0815Zx9Qf77Lk3Tt"
PAYLOAD = random.Random(8).randbytes(MIB)
SLOW = 32 * KIB  # bytes a second: half a minute for all of it, so that helpers are asked and trackers told
OTHER = "127.0.0.2"


class Tap:
    """Passes a port on, and keeps the bytes of both ways."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.heard = bytearray()
        self._accepted: list[tuple[str, int]] = []
        self._to = to
        self._talks: list[threading.Thread] = []
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def settle(self) -> None:
        """Wait until all connections are over, so that nothing more is heard."""
        with socket.create_connection((HOST, self.port)) as last:  # all that came before are accepted before
            wait_until(lambda: last.getsockname() in self._accepted, "last connection")
        for talk in list(self._talks):
            talk.join(PATIENCE)
            assert not talk.is_alive()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, address = self._listener.accept()
                talk = threading.Thread(target=self._stand_between, args=(client,), daemon=True)
                self._talks.append(talk)
                talk.start()
                self._accepted.append(address)

    def _stand_between(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(self._to) as server:
            answers = threading.Thread(target=self._pass_on, args=(server, client), daemon=True)
            answers.start()
            self._pass_on(client, server)
            answers.join()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.heard += data
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def tap(host: str, port: int) -> Iterator[Tap]:
    running = Tap((host, port))
    try:
        yield running
    finally:
        running.close()


class Watched:
    """A requester, a helper that is found through taps alone, two origins, and all that any of them said."""

    def __init__(self, lab: Room, home: HostileOrigin, other: HostileOrigin) -> None:
        self.lab, self.home, self.other = lab, home, other
        self.mine: Machine = lab.machine()
        tracker = lab.start(lab.machine(joins=False), "tracker", *LOCAL)
        port = int(tracker.wait_line(r"http://[^:]+:(\d+)")[1])
        self.helper: RunningHelper = lab.helper("--log", "helper.jsonl", "--bind", "127.0.0.3", "--port", "0",
                                                "--allow-private", "127.0.0.0/8", local=())  # fmt: skip
        self.tracker_tap = lab.stack.enter_context(tap(HOST, port))
        self.member_tap = lab.stack.enter_context(tap("127.0.0.3", self.helper.port))
        self.printed = ""
        self.code = 0

    def get(
        self, path: str, *options: str, passkey: str = "", until: Callable[[], object] | None = None
    ) -> None:
        """`until`: the server gives little before that is so."""
        tracker = f"http://{HOST}:{self.tracker_tap.port}/{passkey}announce"
        url = path if "://" in path else self.home.url(path)
        self.home.rate = None if until is None else SLOW
        get = self.lab.start(
            self.mine, "get", url, *LOCAL, "--group", "lab", "--tracker", tracker,
            "--peer", f"{HOST}:{self.member_tap.port}", "--json", "--log", "get.jsonl", "--overwrite", *options,
        )  # fmt: skip
        if until is not None:
            wait_until(until, "what is waited for")
            self.home.rate = None
        self.code = get.wait()
        for each in (self.tracker_tap, self.member_tap):
            each.settle()
        self.printed += "\n".join((*get.out, *get.err))

    @property
    def outside(self) -> dict[str, bytes]:
        """By where: everything that is not this machine's memory or its own origin."""
        folders = [machine.folder for machine in self.lab.machines]
        logs = b"".join(path.read_bytes() for folder in folders for path in folder.glob("*.jsonl"))
        return {
            "the tracker": bytes(self.tracker_tap.heard),
            "the helper": bytes(self.member_tap.heard),
            "the other origin": b"".join(asked.raw for asked in self.other.asked),
            "a log": logs,
            "the screen": self.printed.encode(),
            "the helper's screen": "\n".join(self.helper.running.out + self.helper.running.err).encode(),
        }

    def check(self, *secrets: str) -> None:
        for secret in secrets:
            forms = {secret, quote(secret, safe=""), base64.b64encode(f"me:{secret}".encode()).decode()}
            for where, said in self.outside.items():
                for form in forms:
                    assert form.encode() not in said, f"{form} is in {where}"
        assert "Traceback" not in self.printed


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with (
        room(tmp_path_factory.mktemp("watched")) as lab,
        HostileOrigin() as home,
        HostileOrigin(OTHER) as other,
    ):
        home.pages["/file.bin"] = Page(PAYLOAD)
        home.pages["/moved.bin"] = redirect(other.url("/file.bin"))
        home.pages["/401.bin"] = Page(status=401, headers=(("WWW-Authenticate", "Basic realm=x"),))
        other.pages["/file.bin"] = Page(PAYLOAD)
        yield Watched(lab, home, other)


def test_the_taps_hear_what_goes_by(watched: Watched) -> None:
    """Else all that follows would prove nothing: the members meet through them, and the key is in no byte of it."""

    def is_met() -> bool:
        is_helped = any("helps with" in line for line in watched.helper.running.out)
        return is_helped and b"\r\n\r\n" in watched.tracker_tap.heard

    watched.get("/file.bin", until=is_met)
    assert watched.code == 0
    assert watched.tracker_tap.heard.startswith(b"GET /announce?info_hash=")
    assert len(watched.member_tap.heard) > 1000
    key = watched.lab.key
    watched.check(key, key[11:40], key[-30:])
    assert b"file.bin" not in watched.member_tap.heard


SIGNED = {
    "S3": f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=me&X-Amz-Signature={CANARY}",
    "GCS": f"X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Signature={CANARY}",
    "Azure": f"sv=2022-11-02&sp=r&sig={CANARY}",
    "CloudFront": f"Expires=1700000000&Key-Pair-Id=K1&Signature={CANARY}",
    "a name of its own": f"d={CANARY}",
}


@pytest.mark.parametrize("ending", ["/file.bin", "/moved.bin", "/401.bin"])
def test_what_is_given_for_one_server_is_seen_by_nobody_else(watched: Watched, ending: str) -> None:
    folder = watched.mine.folder
    (folder / "cookies").write_text(f"{HOST}\tFALSE\t/\tFALSE\t0\tmine\t{CANARY}\n")
    (folder / "netrc").write_text(f"machine {HOST} login me password {CANARY}\n")
    watched.mine.variables |= {"NETRC": str(folder / "netrc"), "SHOAL_PASSWORD": CANARY}
    announced = len(watched.tracker_tap.heard)
    ways: list[tuple[str, tuple[str, ...]]] = [
        (ending, ("--header", f"X-Key: {CANARY}", "--cookies", "cookies")),
        (ending, ("--netrc",)),
        (ending, ("--user", "me")),
        (watched.home.url(ending).replace("//", f"//me:{CANARY}@"), ()),
    ]
    for path, options in ways:
        watched.get(path, *options)
        assert (watched.code == 0) == (ending in ("/file.bin", "/moved.bin"))
    assert any(CANARY.encode() in asked.raw for asked in watched.home.asked), "nothing was given at all"
    assert len(watched.tracker_tap.heard) == announced, "whoever downloads alone announces nothing"
    watched.check(CANARY)


@pytest.mark.parametrize("kind", SIGNED)
def test_a_signed_link_is_seen_by_its_server_alone(watched: Watched, kind: str) -> None:
    watched.get(f"/file.bin?{SIGNED[kind]}")
    assert watched.code == 0
    watched.check(CANARY)


def test_a_link_that_a_public_one_leads_to_is_not_told_either(watched: Watched) -> None:
    watched.home.pages["/latest.bin"] = redirect(watched.home.url(f"/file.bin?{SIGNED['S3']}"))
    watched.get("/latest.bin", "-o", "latest.bin")
    assert watched.code == 0
    watched.home.pages["/latest.bin"] = Page(status=403)
    watched.get(f"/latest.bin?{SIGNED['S3']}")
    assert watched.code != 0
    watched.check(CANARY)


def test_passwords_of_proxies_and_keys_of_trackers_stay_where_they_belong(watched: Watched) -> None:
    watched.get("/file.bin", "--proxy", f"http://me:{CANARY}@{HOST}:1")
    assert watched.code != 0
    watched.check(CANARY)
    before = len(watched.tracker_tap.heard)
    watched.get(  # its tracker has to know it
        "/file.bin?again",
        passkey=f"{CANARY}/",
        until=lambda: CANARY.encode() in watched.tracker_tap.heard[before:],
    )
    assert watched.code == 0
    del watched.tracker_tap.heard[before:]
    nowhere = (f"http://{HOST}:1/{CANARY}/announce", f"http://{HOST}:1/announce?passkey={CANARY}")
    watched.get(
        f"http://{HOST}:1/file.bin", "--tracker", nowhere[0], "--tracker", nowhere[1], passkey=f"{CANARY}/"
    )
    del watched.tracker_tap.heard[before:]
    watched.check(CANARY)
