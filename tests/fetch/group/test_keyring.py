"""Where keys are kept, and what is refused of what lies there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.errors import DiskFullError, ExistsError, FileError, NotFoundError, UsageError
from shoal.fetch.group.key import GroupKey, new_key
from shoal.fetch.group.keyring import Keyring, groups_dir

KEY = GroupKey("home", bytes(range(32)))
OTHER = GroupKey("work", bytes(range(32)))


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    ring = Keyring(tmp_path / "data" / "groups")
    assert ring.names() == []
    assert ring.join(KEY)
    return ring


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_group_that_was_joined_is_there_again(ring: Keyring) -> None:
    loaded = Keyring(ring.folder).load("home")
    assert loaded.key == KEY
    assert Keyring(ring.folder).load("home").member == loaded.member, "it is lasting"
    assert ring.names() == ["home"]


def test_only_the_owner_may_read_keys_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ring = Keyring(tmp_path / "groups")
        ring.join(KEY)
    finally:
        os.umask(before)
    assert mode_of(ring.folder) == 0o700
    assert {path.name: mode_of(path) for path in ring.folder.iterdir()} == {
        "home.key": 0o600,
        "home.member": 0o600,
    }


def test_joining_again_changes_nothing(ring: Keyring) -> None:
    before = ring.load("home")
    assert not ring.join(KEY)
    assert ring.load("home") == before


def test_another_group_of_the_same_name_is_refused(ring: Keyring) -> None:
    with pytest.raises(ExistsError) as caught:
        ring.join(new_key("home"))
    assert "shoal group leave home" in caught.value.hint
    assert ring.load("home").key == KEY


def test_each_group_has_a_member_key_of_its_own(ring: Keyring) -> None:
    ring.join(new_key("work"))
    assert ring.names() == ["home", "work"]
    assert ring.load("home").member != ring.load("work").member


def test_who_left_is_somebody_else_when_it_joins_again(ring: Keyring) -> None:
    before = ring.load("home").member
    ring.leave("home")
    assert ring.names() == []
    assert list(ring.folder.iterdir()) == []
    ring.join(KEY)
    assert ring.load("home").member != before


@pytest.mark.parametrize("do", [Keyring.load, Keyring.leave])
def test_a_group_that_is_not_there_is_told_with_those_that_are(
    ring: Keyring, do: Callable[[Keyring, str], object]
) -> None:
    with pytest.raises(NotFoundError) as caught:
        do(ring, "work")
    assert caught.value.hint == "it is in home"
    with pytest.raises(NotFoundError) as caught:
        do(Keyring(ring.folder / "absent"), "work")
    assert "shoal group new" in caught.value.hint
    for name in ("../home", "", "home.key", KEY.text):
        with pytest.raises(UsageError) as refused:
            do(ring, name)
        assert "home" not in refused.value.message


@pytest.mark.parametrize("name", ["home.key", "home.member", "."])
@pytest.mark.parametrize("bits", [0o040, 0o004, 0o020, 0o001])
def test_what_others_have_access_to_is_not_read(ring: Keyring, name: str, bits: int) -> None:
    path = ring.folder / name
    path.chmod(mode_of(path) | bits)
    with pytest.raises(FileError, match="others have access to it") as caught:
        ring.load("home")
    assert "chmod" in caught.value.hint and str(path) in caught.value.hint


@pytest.mark.parametrize("name", ["home.key", "home.member"])
def test_no_link_is_followed(ring: Keyring, name: str, tmp_path: Path) -> None:
    path, elsewhere = ring.folder / name, tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(FileError, match="a link or a file is in its place"):
        ring.load("home")
    ring.leave("home")
    assert elsewhere.exists(), "the link was removed, and not what it leads to"


def test_no_link_is_followed_to_a_folder(ring: Keyring, tmp_path: Path) -> None:
    ring.folder.rename(tmp_path / "elsewhere")
    ring.folder.symlink_to(tmp_path / "elsewhere")
    for do in (
        ring.names,
        lambda: ring.load("home"),
        lambda: ring.join(new_key("work")),
        lambda: ring.leave("home"),
    ):
        with pytest.raises(FileError, match="a link or a file is in its place"):
            do()
    assert len(list((tmp_path / "elsewhere").iterdir())) == 2


def test_a_key_is_not_written_through_a_link(ring: Keyring, tmp_path: Path) -> None:
    (ring.folder / "work.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileError):
        ring.join(new_key("work"))
    assert not (tmp_path / "elsewhere").exists()


def test_a_pipe_in_the_place_of_a_key_does_not_hold_us(ring: Keyring) -> None:
    (ring.folder / "home.key").unlink()
    os.mkfifo(ring.folder / "home.key", 0o600)
    with pytest.raises(FileError, match="not an ordinary file"):
        ring.load("home")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", KEY.text[:-1].encode(), OTHER.text.encode()])
def test_a_damaged_key_is_told_and_not_quoted(ring: Keyring, data: bytes) -> None:
    (ring.folder / "home.key").write_bytes(data)
    with pytest.raises(FileError) as caught:
        ring.load("home")
    assert "shoal group join" in caught.value.hint
    assert KEY.text[20:40] not in caught.value.message + caught.value.hint
    ring.leave("home")
    assert ring.join(KEY)


@pytest.mark.parametrize("data", [None, b"short"])
def test_a_damaged_member_key_is_told(ring: Keyring, data: bytes | None) -> None:
    path = ring.folder / "home.member"
    path.unlink()
    if data is not None:
        path.touch(mode=0o600)
        path.write_bytes(data)
    with pytest.raises(FileError, match="missing" if data is None else "damaged"):
        ring.load("home")


def test_of_two_that_join_at_once_both_are_who_was_first(
    ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, key = Keyring(ring.folder), new_key("work")
    read = other._read

    def late(folder: int | None, name: str) -> bytes | None:
        """Between its look and its writing another process joins."""
        found = read(folder, name)
        monkeypatch.setattr(other, "_read", read)
        ring.join(key)
        return found

    monkeypatch.setattr(other, "_read", late)
    first_hand = ring.folder / "work.member"
    assert not other.join(key)
    assert ring.load("work") == other.load("work")
    assert first_hand.read_bytes() == other.load("work").member.seed


def test_other_files_in_the_folder_are_no_groups(ring: Keyring) -> None:
    for name in (".home.key.12ab", "x y.key", "notes.txt", "A.key"):
        (ring.folder / name).touch(mode=0o600)
    assert ring.names() == ["home"]


def test_a_disk_without_room_leaves_no_half_of_a_key(small_disk: Path) -> None:
    ring = Keyring(small_disk / "groups")
    ring.join(KEY)
    with (small_disk / "fill").open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(DiskFullError):
        ring.join(new_key("work"))
    assert ring.names() == ["home"]
    assert not [path for path in ring.folder.iterdir() if path.name.startswith(".")]


def test_keys_are_kept_with_the_data_of_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_STATE_DIR", str(tmp_path))
    assert groups_dir() == tmp_path / "groups"
    monkeypatch.delenv("SHOAL_STATE_DIR")
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "usual" / name)
    assert groups_dir() == tmp_path / "usual" / "shoal" / "groups"
