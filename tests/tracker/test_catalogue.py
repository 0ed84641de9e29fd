"""The catalogue's folder: names, owners, what is shared and what survives."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import DiskFullError, ExistsError, FormatError, NotFoundError, ShoalError
from shoal.formats.metainfo import parse_metainfo
from shoal.formats.safe_names import safe_name
from shoal.testing.build import build_torrent
from shoal.tracker.catalogue import SETTLED_NS, Catalogue, CatalogueFullError, NotOwnerError, check_name

ME, YOU = b"my token", b"your token"
TRACKER = "http://t.example/announce"


def torrent(content: bytes = b"abc", name: str = "payload") -> bytes:
    return build_torrent(content, name=name, trackers=[[TRACKER]])


def settle(folder: Path) -> None:
    """Make the folder look as if nothing had happened for a while."""
    past = time.time_ns() - 2 * SETTLED_NS
    os.utime(folder, ns=(past, past))


def test_what_is_published_is_found_by_its_name(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path / "made")
    data = torrent()
    assert catalogue.publish("a file", data, ME)
    entry = catalogue.entries["a file"]
    metainfo = parse_metainfo(data)
    assert (entry.name, entry.info_hash, entry.size, entry.file_count) == (
        "a file",
        metainfo.wire_hash,
        3,
        1,
    )
    assert abs(entry.published_at - time.time()) < 60
    assert entry.magnet.startswith(f"magnet:?xt=urn:btih:{metainfo.wire_hash.hex()}&dn=payload&tr=")
    assert catalogue.torrent("a file") == data
    assert catalogue.torrent("another") is None


def test_a_hybrid_torrent_is_served_under_both_of_its_hashes(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    for format in ("v1", "v2", "hybrid"):
        catalogue.publish(format, build_torrent(b"abc", format=format), ME)  # type: ignore[arg-type]
    hybrid = parse_metainfo(build_torrent(b"abc", format="hybrid"))
    assert hybrid.info_hash_v2 is not None
    assert catalogue.entries["hybrid"].info_hashes == (hybrid.info_hash_v1, hybrid.info_hash_v2[:20])
    assert [len(catalogue.entries[format].info_hashes) for format in ("v1", "v2")] == [1, 1]


def test_only_the_owner_replaces_and_removes(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    first, second = torrent(b"first"), torrent(b"second")
    catalogue.publish("a", first, ME)
    with pytest.raises(ExistsError, match="'a' is published by somebody else; choose another name"):
        catalogue.publish("a", second, YOU)
    with pytest.raises(NotOwnerError, match="only they can remove it"):
        catalogue.remove("a", YOU)
    assert catalogue.torrent("a") == first
    assert catalogue.publish("a", second, ME) is False
    assert catalogue.torrent("a") == second
    catalogue.remove("a", ME)
    assert catalogue.entries == {}
    with pytest.raises(NotFoundError, match="nothing is published as 'a'"):
        catalogue.remove("a", ME)
    catalogue.publish("a", first, YOU)  # the name is free again
    assert list(tmp_path.glob("a.*")) != []


def test_no_token_is_on_the_disk(tmp_path: Path) -> None:
    Catalogue(tmp_path).publish("a", torrent(), ME)
    assert not any(ME in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize(("first", "second"), [("Readme", "README"), ("é", "e\u0301"), ("straße", "STRASSE")])
def test_names_that_some_machines_take_for_one_are_one(tmp_path: Path, first: str, second: str) -> None:
    catalogue = Catalogue(tmp_path)
    catalogue.publish(first, torrent(), ME)
    with pytest.raises(ExistsError, match="differs only in how it is written"):
        catalogue.publish(second, torrent(), ME)
    assert list(catalogue.entries) == [first]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a\0b", "a\nb", "con", "NUL.txt", "a:b", "a*", "<b>",
     "a.", " a", "a ", "x" * 241, "é" * 121, "a\u202eb", "a.torrent", "A.TORRENT", "\ud800"],
)  # fmt: skip
def test_a_name_that_would_have_to_change_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError):
        Catalogue(tmp_path).publish(name, torrent(), ME)
    assert list(tmp_path.glob("*")) == []


@given(st.text(max_size=60))
def test_a_name_that_is_taken_is_a_file_name_everywhere(name: str) -> None:
    try:
        check_name(name)
    except FormatError:
        return
    assert safe_name(name.encode(), windows=True) == name == safe_name(name.encode(), windows=False)
    assert not name.startswith(".") and not set(name) & set('/\\<>:"|?*\0\n')


@pytest.mark.parametrize("name", ["plain.iso", "with blank & 'quotes'", "日本語.mkv", "100% #1", "x" * 240])
def test_ordinary_names_are_taken(tmp_path: Path, name: str) -> None:
    catalogue = Catalogue(tmp_path)
    catalogue.publish(name, torrent(), ME)
    assert Catalogue(tmp_path).entries.keys() == {name}


def test_what_is_no_torrent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"^not a torrent file: byte 0"):
        Catalogue(tmp_path).publish("a", b"<html>", ME)
    assert list(tmp_path.iterdir()) == []


def test_there_is_room_for_so_many_and_no_more(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path, max_entries=2)
    catalogue.publish("a", torrent(), ME)
    catalogue.publish("b", torrent(), ME)
    with pytest.raises(CatalogueFullError, match="the catalogue is full: 2 entries"):
        catalogue.publish("c", torrent(), ME)
    catalogue.publish("b", torrent(b"new"), ME)  # one that is there may change
    catalogue.remove("a", ME)
    catalogue.publish("c", torrent(), ME)
    assert catalogue.entries.keys() == {"b", "c"}


def test_a_restart_keeps_entries_and_owners(tmp_path: Path) -> None:
    Catalogue(tmp_path).publish("a", torrent(), ME)
    again = Catalogue(tmp_path)
    assert again.torrent("a") == torrent()
    with pytest.raises(ExistsError):
        again.publish("a", torrent(b"other"), YOU)
    again.remove("a", ME)


def test_processes_that_share_a_folder_see_each_others_entries(tmp_path: Path) -> None:
    one, other = Catalogue(tmp_path), Catalogue(tmp_path)
    settle(tmp_path)
    other.refresh()
    assert other.is_fresh()
    one.publish("a", torrent(), ME)
    assert not other.is_fresh()
    assert other.refresh().keys() == {"a"}
    assert not other.is_fresh()  # so shortly after a change, the next one might not show
    settle(tmp_path)
    other.refresh()
    assert other.is_fresh()
    one.publish("b", torrent(b"b"), ME)
    assert other.torrent("b") == torrent(b"b")  # asked for by name, it is looked for at once
    one.remove("a", ME)
    assert other.refresh().keys() == {"b"}


def test_of_many_who_publish_one_name_at_once_one_owns_it(tmp_path: Path) -> None:
    catalogues = [Catalogue(tmp_path) for _ in range(4)]

    def attempt(number: int) -> int | None:
        try:
            catalogues[number % 4].publish("a", torrent(b"%d" % number), b"token %d" % number)
        except ExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(attempt, range(24)) if number is not None]
    assert len(winners) == 1
    assert Catalogue(tmp_path).torrent("a") == torrent(b"%d" % winners[0])


def test_an_entry_put_there_by_hand_is_listed_and_nobodys(tmp_path: Path) -> None:
    (tmp_path / "by hand.torrent").write_bytes(torrent())
    (tmp_path / "broken.torrent").write_bytes(b"what")
    (tmp_path / "no:name.torrent").write_bytes(torrent())
    (tmp_path / "notes.txt").write_bytes(b"")
    catalogue = Catalogue(tmp_path)
    assert catalogue.entries.keys() == {"by hand"}
    for name in ("by hand", "broken"):
        with pytest.raises(ExistsError):
            catalogue.publish(name, torrent(), ME)
    with pytest.raises(NotOwnerError):
        catalogue.remove("by hand", ME)
    assert (tmp_path / "broken.torrent").read_bytes() == b"what"


def test_an_owner_without_a_torrent_is_what_a_kill_left_and_owns_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.owner").write_bytes(b"0" * 64)
    catalogue = Catalogue(tmp_path)
    assert catalogue.publish("a", torrent(), ME)
    assert catalogue.publish("a", torrent(), ME) is False


def test_a_full_disk_loses_nothing(small_disk: Path) -> None:
    catalogue = Catalogue(small_disk)
    small = torrent()
    large = build_torrent(bytes(1_000_000), piece_length=16)  # its hashes alone have 1.2 MB
    catalogue.publish("a", small, ME)
    before = {path.name: path.read_bytes() for path in small_disk.iterdir()}
    for name in ("a", "new"):
        with pytest.raises(DiskFullError):
            catalogue.publish(name, large, ME)
    assert {path.name: path.read_bytes() for path in small_disk.iterdir()} == before
    assert catalogue.torrent("a") == small
    catalogue.publish("new", small, YOU)


def test_a_folder_that_goes_away_is_an_error_and_what_was_read_stays(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    catalogue = Catalogue(folder)
    catalogue.publish("a", torrent(), ME)
    folder.rename(tmp_path / "elsewhere")
    assert not catalogue.is_fresh()
    with pytest.raises(ShoalError):
        catalogue.refresh()
    assert catalogue.entries.keys() == {"a"}
