"""Which URLs are told to a group: none that give access by themselves, none for which one has to be somebody."""

from __future__ import annotations

import base64
import random
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.fetch.facts import Facts
from shoal.fetch.options import FetchOptions, asked_url
from shoal.fetch.pool.poolable import reason_not_to_pool, reason_not_to_pool_file
from shoal.protocol.http.validators import Validator

HOME = "https://home.example/pub/disk.iso"
DIGEST = "0b1e5a8f6a64f6e6c0f4c1f0a9d3e7b25c8d4e6f1a2b3c4d5e6f708192a3b4c5"


def reason(url: str, **options: object) -> str | None:
    return reason_not_to_pool(asked_url(url), FetchOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        HOME,
        "http://192.168.1.7:8080/a",
        "https://home.example/debian-12.5.0-amd64-netinst.iso?download=true",
        "https://home.example/get?file=linux-image-6.1.0-13-amd64_6.1.55-1_amd64.deb&format=tar.gz",
        "https://home.example/org/Meta-Llama-3.1-8B-Instruct/resolve/main/model-00001-of-00004.safetensors",
        "https://home.example/model.gguf?ref=main&date=2026-11-21&build=20261121175500&lang=en",
        f"https://home.example/blobs/sha256/{DIGEST}",
        f"https://home.example/packages/8e/1a/{DIGEST[:60]}/pip-24.0-py3-none-any.whl",
        f"https://home.example/{DIGEST[:40]}.tar.gz",
        "https://home.example/a#access_token=which+is+dropped",
        "https://home.example/mirror/Fedora-Workstation-Live-x86_64-41-1.4.iso?mirror=nearest&protocol=https",
    ],
)
def test_plain_links_are_pooled(url: str) -> None:
    assert reason(url) is None


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20261121T000000Z",
        "x-amz-signature=1",
        "X-Goog-Signature=1",
        "X-Goog-Credential=a",
        "AWSAccessKeyId=A&Signature=b&Expires=1",
        "sv=2024-01-01&se=2026-01-01&sr=b&sp=r&sig=a%2Bb",
        "Expires=1700000000&Signature=a~&Key-Pair-Id=K",
        "Policy=abc",
        "token=1",
        "access_token=1",
        "accessToken=1",
        "refreshtoken=1",
        "auth=1",
        "authkey=1",
        "key=1",
        "api_key=1",
        "apikey=1",
        "__hdnea__=st=1~exp=2~acl=/*~hmac=3",
        "hdnts=exp=1",
        "verify=1700000000-abc",
        "md5=a&expires=1",
        "passkey=1",
        "a=1;token=2",
        "user=me&password=pw",
        "jwt=1",
        "PHPSESSID=1",
        "OSSAccessKeyId=1",
        "download_ticket=1",
    ],
)
def test_signed_links_are_not(query: str) -> None:
    assert "looks like" in (reason(f"{HOME}?{query}") or "")


@given(
    st.integers(0, 2**64),
    st.integers(16, 64),
    st.sampled_from(["hex", "HEX", "base64", "base64url", "base32"]),
    st.sampled_from(["v", "ref", "file", "d", ""]),
    st.booleans(),
)
def test_a_long_random_value_is_a_key_whatever_it_is_called(
    seed: int, length: int, form: str, name: str, is_quoted: bool
) -> None:
    raw = random.Random(seed).randbytes(length)
    texts = {
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "base64": base64.b64encode(raw).decode(),
        "base64url": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "base32": base64.b32encode(raw).decode(),
    }
    text = quote(texts[form], safe="") if is_quoted else texts[form]
    assert reason(f"{HOME}?format=iso&{name}{'=' if name else ''}{text}") is not None
    assert reason(f"{HOME}?path=/a/{text}/b") is not None


@pytest.mark.parametrize(
    "path",
    ["/s/aB3dE5fG7hI9jK1lM3nO/disk.iso", "/d/550e8400-e29b-41d4-a716-446655440000/disk.iso", "/a;jsessionid=1/disk.iso",
     "/f/0123456789abcdef0123456789abcdef/disk.iso", "/aB3dE5fG7hI9jK1lM3nO"],
)  # fmt: skip
def test_keys_in_the_path_are_seen(path: str) -> None:
    assert "path" in (reason(f"https://home.example{path}") or "")


@pytest.mark.parametrize(
    "url", ["https://me@home.example/a", "https://me:pw@home.example/a", "ftp://home.example/a"]
)
def test_who_needs_a_user_or_is_no_web_server_is_not_pooled(url: str) -> None:
    assert reason(url) is not None


@pytest.mark.parametrize(
    "name", ["Authorization", "Cookie", "X-Api-Key", "X-Anything", "Proxy-Authorization", "Private-Token"]
)
def test_a_header_given_by_hand_is_for_its_server_alone(name: str) -> None:
    said = reason(HOME, headers=((name, "canary"),)) or ""
    assert name in said and "canary" not in said


def test_headers_that_say_what_one_likes_do_no_harm() -> None:
    headers = (
        ("Accept-Language", "de, en;q=0.5"),
        ("REFERER", "https://home.example/page"),
        ("User-Agent", "my-tool/1.0"),
    )
    assert reason(HOME, headers=headers) is None
    assert reason(HOME, headers=(("Referer", "https://home.example/?token=1"),)) is not None
    assert reason(HOME, headers=(("User-Agent", "bot aB3dE5fG7hI9jK1lM3nO5"),)) is not None


def test_a_user_given_by_hand_is_reason_enough() -> None:
    assert "user" in (reason(HOME, user="me", password="pw") or "")


def test_an_entry_of_netrc_for_the_host_is_and_one_for_another_is_not(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine other.example login a password b\n")
    assert reason(HOME, netrc=path) is None
    path.write_text("machine home.example login a password b\n")
    assert "netrc" in (reason(HOME, netrc=path) or "")
    path.write_text("default login a password b\n")
    assert "netrc" in (reason(HOME, netrc=path) or "")
    assert "could not be read" in (reason(HOME, netrc=tmp_path / "none") or "")


@pytest.mark.parametrize(
    ("line", "is_pooled"),
    [
        ("other.example\tFALSE\t/\tFALSE\t0\tn\tv", True),
        ("# home.example is a comment", True),
        ("home.example\tFALSE\t/\tFALSE\t0\tn\tv", False),
        (".example\tTRUE\t/\tFALSE\t0\tn\tv", False),
        ("#HttpOnly_.home.example\tTRUE\t/\tTRUE\t0\tn\tv", False),
        ("HOME.example\tFALSE\t/\tFALSE\t0\tn\tv", False),
        ("Set-Cookie: n=v; Domain=home.example; Path=/", False),
        ("Set-Cookie: n=v", False),
    ],
)
def test_cookies_for_the_host_are_a_reason(tmp_path: Path, line: str, is_pooled: bool) -> None:
    path = tmp_path / "cookies.txt"
    path.write_text(f"# Netscape HTTP Cookie File\n\n{line}\n")
    assert (reason(HOME, cookies=path) is None) == is_pooled


def test_no_reason_shows_a_secret() -> None:
    canary = "canary0815canary0815"
    for url in (
        f"{HOME}?token={canary}",
        f"{HOME}?{canary}",
        f"https://home.example/{canary}/a",
        f"https://me:{canary}@home.example/",
    ):
        assert canary not in (reason(url) or "")
        assert reason(url) is not None


def test_a_file_needs_length_ranges_and_a_version() -> None:
    good = Facts(length=5, validator=Validator(etag='"v1"'), takes_ranges=True)
    assert reason_not_to_pool_file(good) is None
    assert "how long" in (reason_not_to_pool_file(Facts(validator=good.validator, takes_ranges=True)) or "")
    assert "parts" in (reason_not_to_pool_file(Facts(length=5, validator=good.validator)) or "")
    unversioned = Facts(length=5, takes_ranges=True)
    assert "version" in (reason_not_to_pool_file(unversioned) or "")
    assert reason_not_to_pool_file(unversioned, is_digest_known=True) is None
