"""Where a web seed is asked for which file."""

from __future__ import annotations

import pytest

from shoal.fetch.web_seeds.urls import SeedUrls
from shoal.formats import bencode
from shoal.formats.metainfo import parse_metainfo
from shoal.testing.build import build_torrent

SINGLE = parse_metainfo(build_torrent(b"x" * 100, name="a file.iso"))
SEVERAL = parse_metainfo(
    build_torrent({"one": b"x", "dir/two #1?.bin": b"y", "ü/%": b"z"}, name="the folder")
)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://h.example/pub/x.iso", "http://h.example/pub/x.iso"),
        ("http://h.example/pub/", "http://h.example/pub/a%20file.iso"),
        ("http://h.example/pub/?mirror=1", "http://h.example/pub/a%20file.iso?mirror=1"),
    ],
)
def test_a_single_file_is_the_url_or_in_its_folder(base: str, url: str) -> None:
    assert SeedUrls(SINGLE).url_of(base, 0) == url


@pytest.mark.parametrize("base", ["http://h.example/pub", "http://h.example/pub/"])
def test_several_files_are_below_the_folder_of_the_torrents_name(base: str) -> None:
    urls = SeedUrls(SEVERAL)
    found = {urls.url_of(base, index) for index in range(3)}
    folder = "http://h.example/pub/the%20folder"
    assert found == {f"{folder}/one", f"{folder}/dir/two%20%231%3F.bin", f"{folder}/%C3%BC/%25"}


def test_names_are_asked_for_as_they_are_written_though_they_are_not_safe_here() -> None:
    info = bencode.decode(SEVERAL.info_bytes)
    assert isinstance(info, dict)
    info[b"name"] = b"CON"
    info[b"files"][0][b"path"] = [b"a:b", b"bad \xff name"]  # type: ignore[index,call-overload]
    metainfo = parse_metainfo(bencode.encode({b"info": info}))
    url = SeedUrls(metainfo).url_of("http://h.example/", 0)
    assert url == "http://h.example/CON/a%3Ab/bad%20%FF%20name"
    assert "/".join(metainfo.disk_path(0)) not in ("CON/a:b/bad \udcff name",)


@pytest.mark.parametrize("format_", ["v1", "hybrid"])
def test_padding_and_order_are_those_of_the_torrent(format_: str) -> None:
    files = {"b": b"x" * 20_000, "a": b"y" * 20_000}
    metainfo = parse_metainfo(build_torrent(files, piece_length=16384, format=format_))  # type: ignore[arg-type]
    urls = SeedUrls(metainfo)
    for index, file in enumerate(metainfo.files):
        if not file.is_padding:
            assert urls.url_of("http://h.example/", index) == f"http://h.example/payload/{file.path[-1]}"
