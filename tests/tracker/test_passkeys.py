"""The file of passkeys, and a private tracker that follows it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.disk.accounts import Traffic, read_totals
from shoal.errors import FileError, FormatError, NotFoundError, ShoalError
from shoal.protocol.tracker.messages import AnnounceRequest, Event
from shoal.protocol.tracker.query import encode_announce_query
from shoal.tracker.accounting import Accountant, accounts_path
from shoal.tracker.passkeys import PasskeyFile, parse_passkeys, passkey_in

from .browsing import Open, opened, until

ALICE, BOB = "alice-key-0123456789", "bob_key_0123456789"


def test_a_line_is_a_name_and_a_key() -> None:
    text = f"# members\n\nalice {ALICE}  # since May\n\tbob\t{BOB}\r\nalice {'x' * 64}\n"
    assert parse_passkeys(text, "f") == {
        ALICE.encode(): "alice",
        BOB.encode(): "bob",
        b"x" * 64: "alice",
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("alice", r"f:2: 1 words, where a line is NAME KEY"),
        (f"alice {ALICE} more", r"f:2: 3 words"),
        (f"alice {ALICE[:15]}", r"f:2: the key of alice is not 16 to 64 letters"),
        (f"alice {'x' * 65}", r"f:2: the key of alice"),
        (f"alice {ALICE}/announce", r"f:2: the key of alice"),
        (f"{'n' * 65} {ALICE}", r"f:2: a name has 64 printable"),
        (f"other {BOB}", r"f:2: this key is bob's already"),
    ],
)
def test_a_bad_line_is_named_and_no_key_quoted(line: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason) as caught:
        parse_passkeys(f"bob {BOB}\n{line}\n", "f")
    shown = caught.value.message + caught.value.hint
    assert not any(key[:15] in shown for key in (ALICE, BOB, "x" * 20))


@given(st.text())
def test_any_text_is_keys_or_a_complaint(text: str) -> None:
    try:
        keys = parse_passkeys(text, "f")
    except FormatError:
        return
    assert all(16 <= len(key) <= 64 and passkey_in(b"/" + key + b"/announce") == key for key in keys)


def test_a_changed_file_changes_the_keys_in_place(tmp_path: Path) -> None:
    path, said = tmp_path / "keys", []
    path.write_text(f"alice {ALICE}\n")
    file = PasskeyFile(path, complain=said.append)
    keys = file.keys
    path.write_text(f"bob {BOB}\n")
    file.refresh()
    assert keys == {BOB.encode(): "bob"} and keys is file.keys
    path.write_text("bob short\n")
    for _ in range(3):
        file.refresh()
    assert keys == {BOB.encode(): "bob"}
    assert len(said) == 1 and said[0].endswith("; the passkeys stay as they were") and "short" not in said[0]
    path.unlink()
    for _ in range(3):
        file.refresh()
    assert keys == {BOB.encode(): "bob"} and len(said) == 2
    path.write_text(f"alice {ALICE}\n")
    file.refresh()
    assert keys == {ALICE.encode(): "alice"}


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: None, NotFoundError),
        (Path.mkdir, FileError),
        (lambda path: path.write_bytes(b"\xff\xfe"), FormatError),
        (lambda path: path.write_text("x"), FormatError),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_at_the_start(tmp_path: Path, make, error) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "keys")
    with pytest.raises(error, match="keys"):
        PasskeyFile(tmp_path / "keys")


# ---- a private tracker


async def announce(here: Open, key: str, up: int, down: int, event: Event | None = None) -> bytes:
    request = AnnounceRequest(bytes(20), b"p" * 20, 1001, up, down, 5, event)
    return (await here.ask("GET", f"{key}/announce?{encode_announce_query(request)}")).body


def test_only_members_are_served_and_what_they_moved_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"alice {ALICE}\nbob {BOB}\n")

    async def story() -> None:
        async with opened(tmp_path / "catalogue", passkeys=path, has_metrics=True) as here:
            assert b"needs a passkey" in await announce(here, "", 0, 0)
            assert b"not known here" in await announce(here, "/wrong-key-0123456789", 9, 9, Event.STARTED)
            await announce(here, f"/{ALICE}", 0, 0, Event.STARTED)
            await announce(here, f"/{ALICE}", 70, 30)
            await announce(here, f"/{BOB}", 0, 0, Event.STARTED)
            await announce(here, f"/{BOB}", 0, 40, Event.STOPPED)
            front = (await here.ask("GET", "/")).body
            assert b"YOUR-PASSKEY" in front
            assert ALICE.encode() not in front + (await here.ask("GET", "/metrics")).body
        async with opened(tmp_path / "catalogue", passkeys=path) as here:  # again
            await announce(here, f"/{ALICE}", 100, 30)

    asyncio.run(story())
    assert read_totals(accounts_path(path)) == {"alice": Traffic(100, 30), "bob": Traffic(0, 40)}


def test_a_key_is_revoked_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"alice {ALICE}\n")

    async def story() -> None:
        async with opened(tmp_path / "catalogue", passkeys=path) as here:
            assert b"8:interval" in await announce(here, f"/{ALICE}", 0, 0)
            (tmp_path / "new").write_text(f"bob {BOB}\n")
            (tmp_path / "new").replace(path)
            keys = here.tracker.policy.passkeys
            assert keys is not None
            await until(lambda: list(keys.values()) == ["bob"])
            assert b"not known here" in await announce(here, f"/{ALICE}", 0, 0)
            assert b"8:interval" in await announce(here, f"/{BOB}", 0, 0)

    asyncio.run(story())


def request(up: int, event: Event | None = None) -> AnnounceRequest:
    return AnnounceRequest(bytes(20), b"p" * 20, 1001, up, 0, 5, event)


def test_sums_are_written_every_few_seconds(tmp_path: Path) -> None:
    now = 1000.0

    async def story() -> None:
        nonlocal now
        accountant = Accountant(tmp_path / "accounts", 1000, clock=lambda: now)
        accountant.on_announce(request(0, Event.STARTED), b"", "alice")
        accountant.on_announce(request(50), b"", "alice")
        accountant.keep_house()
        assert read_totals(tmp_path / "accounts") == {}
        now += 10
        accountant.keep_house()
        await until(lambda: accountant.traffic == {"alice": Traffic(50, 0)})
        assert read_totals(tmp_path / "accounts") == {"alice": Traffic(50, 0)}
        accountant.on_announce(request(60), b"", "alice")
        accountant.close()

    asyncio.run(story())
    assert read_totals(tmp_path / "accounts") == {"alice": Traffic(60, 0)}


def test_what_cannot_be_written_is_said_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, said = 1000.0, []

    def refuse(*_: object, **__: object) -> None:
        raise FileError("accounts: no")

    async def story() -> None:
        nonlocal now
        accountant = Accountant(tmp_path / "accounts", 1000, clock=lambda: now, complain=said.append)
        accountant.on_announce(request(0, Event.STARTED), b"", "alice")
        with monkeypatch.context() as broken:
            broken.setattr(accountant._accounts, "add", refuse)
            for _ in range(3):
                now += 10
                accountant.keep_house()
                await until(lambda: not accountant._is_writing)
        accountant.on_announce(request(50), b"", "alice")
        now += 10
        accountant.keep_house()
        await until(lambda: accountant.traffic == {"alice": Traffic(50, 0)})
        accountant.close()

    asyncio.run(story())
    assert said == ["accounts: no; it is tried again"]


def test_pending_reports_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.tracker.accounting.MAX_PENDING", 10)

    async def story() -> None:
        accountant = Accountant(tmp_path / "accounts", 1000)
        accountant.on_announce(request(0, Event.STARTED), b"", "alice")
        for up in range(1, 100):
            accountant.on_announce(request(up), b"", "alice")
            assert len(accountant._pending) <= 10
        await until(lambda: not accountant._is_writing)
        accountant.on_announce(request(100), b"", "alice")
        accountant.close()

    asyncio.run(story())
    assert read_totals(tmp_path / "accounts") == {"alice": Traffic(100, 0)}


def test_a_folder_that_cannot_be_written_is_an_error_at_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "is-a-pipe")
    with pytest.raises(ShoalError):
        Accountant(tmp_path / "is-a-pipe" / "accounts", 1000)
