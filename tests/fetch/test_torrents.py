"""`torrent=`: a torrent of what has just been downloaded, with web seeds that anybody may know."""

from __future__ import annotations

import random
from pathlib import Path

import libtorrent
import pytest

from shoal import api
from shoal.disk.hashing import hash_files
from shoal.disk.walk import find_payload
from shoal.errors import ExistsError, UsageError
from shoal.fetch.options import FetchOptions
from shoal.fetch.progress import Phase, Progress
from shoal.fetch.torrents import web_seeds_of
from shoal.formats.metainfo import parse_metainfo
from shoal.formats.metainfo_build import build_metainfo, choose_piece_length
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB, MIB

BODY = random.Random(1).randbytes(3 * MIB + 12345)
URL = "https://host.example/pub/disk.iso"
MIRROR = "http://mirror.example/disk.iso"


def created(path: Path) -> bytes:
    """As `shoal create --format hybrid` makes it."""
    payload = find_payload(path)
    piece_length = choose_piece_length(payload.total_size)
    hashes = hash_files(payload.files, piece_length, v2=True)
    assert hashes is not None
    return build_metainfo(
        path.name, [((path.name,), len(BODY))], piece_length, format="hybrid", is_single_file=True,
        piece_hashes=hashes.piece_hashes, file_trees={(path.name,): hashes.file_trees[0]},
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:web_seeds:DeprecationWarning")  # libtorrent has no other word for it
def test_the_torrent_is_the_one_that_create_makes_with_the_urls_as_web_seeds(tmp_path: Path) -> None:
    seen: list[Progress] = []
    with HostileOrigin() as origin, HostileOrigin("127.0.0.2") as mirror, HostileOrigin("127.0.0.3") as wrong:
        origin.pages["/disk.iso"] = Page(BODY, rate=lambda: 4 * MIB if mirror.sent else 64 * KIB)
        mirror.pages["/copy"] = Page(BODY, etag='"copy"', rate=4 * MIB)
        wrong.pages["/copy"] = Page(BODY[1:], etag='"wrong"')
        got = api.get_blocking(
            origin.url("/disk.iso"), folder=tmp_path, torrent=tmp_path / "disk.torrent",
            mirrors=[mirror.url("/copy"), wrong.url("/copy")], on_progress=seen.append,
        )  # fmt: skip
        data = (tmp_path / "disk.torrent").read_bytes()
        ours, expected = parse_metainfo(data), parse_metainfo(created(got.path))
        assert (ours.info_hash_v1, ours.info_hash_v2) == (expected.info_hash_v1, expected.info_hash_v2)
        assert list(ours.web_seeds) == [origin.url("/disk.iso"), mirror.url("/copy")]
    theirs = libtorrent.torrent_info(libtorrent.bdecode(data))
    assert theirs.info_hashes().has_v1() and theirs.info_hashes().has_v2()
    assert theirs.info_hashes().v1.to_bytes() == ours.info_hash_v1
    assert theirs.info_hashes().v2.to_bytes() == ours.info_hash_v2
    assert sorted(one["url"] for one in theirs.web_seeds()) == sorted(ours.web_seeds)
    assert seen[-1].phase is Phase.HASHING and seen[-1].here == len(BODY)


def test_nothing_is_fetched_when_its_torrent_is_there_already(tmp_path: Path) -> None:
    (tmp_path / "disk.torrent").write_bytes(b"mine")
    with HostileOrigin() as origin:
        origin.pages["/disk.iso"] = Page(BODY)
        url = origin.url("/disk.iso")
        with pytest.raises(ExistsError):
            api.get_blocking(url, folder=tmp_path, torrent=tmp_path / "disk.torrent")
        assert (origin.asked, (tmp_path / "disk.torrent").read_bytes()) == ([], b"mine")
        api.get_blocking(url, folder=tmp_path, torrent=tmp_path / "disk.torrent", overwrite=True)
        assert parse_metainfo((tmp_path / "disk.torrent").read_bytes()).name == "disk.iso"
        with pytest.raises(UsageError, match="is the file itself"):
            api.get_blocking(url, folder=tmp_path, torrent=tmp_path / "disk.iso", overwrite=True)
        assert (tmp_path / "disk.iso").read_bytes() == BODY


@pytest.mark.parametrize(
    "how",
    [
        {"headers": {"X-Key": "canary-7c1f9d"}},
        {"user": "me", "password": "canary-7c1f9d"},
        {"query": "?token=canary-7c1f9d"},
    ],
)
def test_what_only_one_may_know_is_in_no_torrent_and_that_is_said(
    how: dict[str, str], tmp_path: Path
) -> None:
    notes: list[str] = []
    query = how.pop("query", "")
    with HostileOrigin() as origin:
        origin.pages["/disk.iso"] = Page(BODY)
        api.get_blocking(
            origin.url("/disk.iso") + query,
            folder=tmp_path,
            torrent=tmp_path / "t",
            on_note=notes.append,
            **how,  # type: ignore[arg-type]
        )
    data = (tmp_path / "t").read_bytes()
    assert b"canary" not in data
    assert parse_metainfo(data).web_seeds == ()
    assert len(notes) == 1 and "has no web seed: " in notes[0] and "canary" not in notes[0]


def test_a_mirror_is_told_though_the_url_is_not() -> None:
    options = FetchOptions(headers=(("Authorization", "Bearer x"),))
    seeds, reason = web_seeds_of(URL, [URL, MIRROR], options)
    assert (seeds, bool(reason)) == ([MIRROR], True)


def test_a_url_that_names_a_user_is_no_web_seed() -> None:
    first = "https://me:secret@host.example/disk.iso"
    assert web_seeds_of(first, ["https://host.example/disk.iso"], FetchOptions())[0] == []


def test_a_plain_url_is_a_web_seed_without_its_fragment() -> None:
    assert web_seeds_of(f"{URL}#part", [URL], FetchOptions()) == ([URL], "")
