"""`shoal.get` and `shoal.get_blocking` from a program: what they raise is what went wrong, and reprs hold no secret."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path
from typing import Any

import pytest

import shoal
from shoal.errors import UsageError
from shoal.testing.hostile_origin import HostileOrigin, Page, redirect
from shoal.units import KIB

BODY = random.Random(6).randbytes(300 * KIB)
SECRET = "correct-horse-battery"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"connections": 0}, "connections=0: without any nothing is fetched"),
        ({"connections": -1}, "connections=-1: without any nothing is fetched"),
        ({"mirrors": "http://a.example/x"}, "mirrors is a list of URLs, and one string was given"),
        ({"trackers": "http://a.example/x"}, "trackers is a list of URLs, and one string was given"),
        ({"mirrors": ["x"]}, "'x' is not an http, https or ftp URL"),
        ({"max_download_rate": 5}, "max_download_rate=5: less than 1000 bytes a second"),
        ({"max_upload_rate": 0}, "max_upload_rate=0: less than 1000 bytes a second"),
        ({"user": "a"}, "user goes with password"),
        ({"password": "a"}, "password goes with user"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(how: Any, message: str, tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        with pytest.raises(UsageError) as caught:
            shoal.get_blocking(origin.url("/x"), folder=tmp_path, **how)
        assert origin.asked == []
    assert caught.value.message == message


@pytest.mark.parametrize("function", ["get", "get_all", "get_blocking"])
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("checksun", ". Did you mean 'checksum'?"),
        ("conections", ". Did you mean 'connections'?"),
        ("zzz", ""),
    ],
)
def test_a_keyword_that_is_none_is_a_type_error_that_names_the_nearest(
    function: str, name: str, meant: str, tmp_path: Path
) -> None:
    how: Any = {name: "sha256:" + 64 * "0"}
    with HostileOrigin() as origin:
        origin.pages["/x"] = Page(BODY)
        message = f"{function}() got an unexpected keyword argument '{name}'{meant}"
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            got = getattr(shoal, function)(origin.url("/x"), folder=tmp_path, **how)
            asyncio.run(got)
        assert origin.asked == []


def test_a_metalink_at_a_path_is_followed_and_tells_nobody_what_is_secret(tmp_path: Path) -> None:
    path = tmp_path / "x.meta4"
    with HostileOrigin() as origin:
        origin.pages["/x"] = Page(BODY)
        space = "urn:ietf:params:xml:ns:metalink"
        path.write_text(
            f'<metalink xmlns="{space}"><file name="f"><url>{origin.url("/x")}</url></file></metalink>'
        )
        for how in ({"headers": {"Key": SECRET}}, {"user": "me", "password": SECRET}, {"raw": True}):
            with pytest.raises(UsageError, match=r"x\.meta4 is a file"):
                shoal.get_blocking(str(path), folder=tmp_path, **how)  # type: ignore[arg-type]
        assert origin.asked == []
        got = shoal.get_blocking(str(path), folder=tmp_path)
    assert got.path.read_bytes() == BODY and got.path.name == "f"


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_blocking_download_within_an_event_loop_says_what_to_await(tmp_path: Path) -> None:
    async def main() -> None:
        shoal.get_blocking("http://127.0.0.1:1/x", folder=tmp_path)

    with pytest.raises(RuntimeError, match=r"await shoal\.get\(\.\.\.\)"):
        asyncio.run(main())


class Mine(Exception):
    """What a program's own callback raises."""


@pytest.mark.parametrize("callback", ["on_progress", "on_note", "on_kind", "on_whole"])
@pytest.mark.parametrize("takes_ranges", [True, False])
def test_what_a_callback_raises_comes_through_as_it_is(
    callback: str, takes_ranges: bool, tmp_path: Path
) -> None:
    def fail(_: object) -> None:
        raise Mine(callback)

    how: Any = {callback: fail}
    with HostileOrigin() as origin:
        origin.pages["/x"] = Page(BODY, takes_ranges=takes_ranges, rate=1024 * KIB)
        url, mirrors = origin.url("/x"), []
        if callback == "on_note":
            url, mirrors = origin.url("/absent"), [url]
        with pytest.raises(Mine, match=callback):
            shoal.get_blocking(url, folder=tmp_path, mirrors=mirrors, **how)


def test_the_repr_of_what_came_holds_no_url(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/x"] = redirect(f"/real?signature={SECRET}")
        link = f"<{origin.url(f'/other?signature={SECRET}')}>; rel=duplicate"
        origin.pages["/real"] = Page(BODY, headers=(("Link", link),))
        got = shoal.get_blocking(origin.url("/x"), folder=tmp_path)
    assert SECRET in got.facts.final_url and SECRET in got.facts.mirrors[0].url
    assert SECRET not in repr(got)
    assert "path=" in repr(got) and SECRET not in repr(got.facts.mirrors)
