from __future__ import annotations

import pytest

from shoal.errors import DeniedError, FormatError, NetworkError, NotFoundError, ShoalError
from shoal.fetch.judging import Refused, Retry
from shoal.fetch.refusals import coding_error, error_of, is_passing, page_error, part_error

from .scene import KNOWN, URL, answer, verdict


@pytest.mark.parametrize(
    ("status", "kind", "message", "hint"),
    [
        (301, DeniedError, "301 Moved Permanently, and not where to go", ""),
        (304, DeniedError, "304 Not Modified, and not where to go", ""),
        (401, DeniedError, "401 Unauthorized", "--user"),
        (403, DeniedError, "403 Forbidden", "--header"),
        (404, NotFoundError, "404 Not Found", "spelled"),
        (405, DeniedError, "405 Method Not Allowed", "look at the URL"),
        (407, DeniedError, "407 Proxy Authentication Required", "--proxy"),
        (410, NotFoundError, "410 Gone", "for good"),
        (451, DeniedError, "451 Unavailable For Legal Reasons", "legal"),
        (204, NotFoundError, "204 No Content", "no file"),
        (203, NetworkError, "203 Non-Authoritative Information", "proxy"),
        (501, DeniedError, "501 Not Implemented", "look at the URL"),
        (511, DeniedError, "511 Network Authentication Required", "sign in"),
        (499, DeniedError, "499", "look at the URL"),
    ],
)
def test_a_status_that_asking_again_does_not_change(
    status: int, kind: type[ShoalError], message: str, hint: str
) -> None:
    found = verdict(answer(status), 0)
    assert isinstance(found, Refused)
    assert type(found.error) is kind
    assert found.error.message == f"{URL}: the server answers {message}"
    assert hint in found.error.hint and bool(found.error.hint) == bool(hint)


@pytest.mark.parametrize("status", [202, 408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 524, 529, 530])
def test_a_status_that_may_pass(status: int) -> None:
    found = verdict(answer(status), 0)
    assert isinstance(found, Retry)
    assert type(found.error) is NetworkError
    assert f"the server answers {status}" in found.error.message and found.error.hint


def test_a_redirect_that_was_not_followed_says_no_more() -> None:
    error = error_of(302, {"location": "https://secret.example/?token=1"}, URL)
    assert error.message == f"{URL}: the server answers 302 Found"


def test_a_403_that_says_when_is_a_429() -> None:
    assert is_passing(403, {"retry-after": "60"})
    assert not is_passing(403, {})
    assert not is_passing(404, {"retry-after": "60"})


@pytest.mark.parametrize("status", [401, 403])
def test_a_link_that_worked_before_has_expired(status: int) -> None:
    found = verdict(answer(status), 500, known=KNOWN)
    assert isinstance(found, Refused) and "get a new one" in found.error.hint


@pytest.mark.parametrize("status", [0, -1, 99, 600, 999])
def test_a_status_that_is_none(status: int) -> None:
    assert type(error_of(status, {}, URL)) is FormatError


@pytest.mark.parametrize("status", [401, 403, 404, 503, 0])
def test_no_error_shows_what_is_secret(status: int) -> None:
    url = "https://me:hunter2@origin.example/0123456789abcdef0123/x.iso?X-Amz-Signature=cafe"
    errors = [error_of(status, {}, url), page_error(url), coding_error(url, ("gzip",)), part_error(url)]
    for error in errors:
        for secret in ("hunter2", "0123456789abcdef0123", "cafe"):
            assert secret not in error.message + error.hint
        assert "\n" not in error.message and "origin.example" in error.message


def test_how_to_keep_what_is_sent_packed() -> None:
    assert coding_error(URL, ("gzip",)).hint == "to keep it as it is sent, name it so: -o NAME.gz"
    assert coding_error(URL, ("deflate",)).hint == ""
