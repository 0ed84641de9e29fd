"""Statuses that bring no file -> the error a person reads, and whether asking again may help.

Always true: an error is one line with the status and the URL, of which nothing secret is shown.
"""

from __future__ import annotations

import contextlib
from http import HTTPStatus

from shoal.errors import DeniedError, FormatError, NetworkError, NotFoundError, ShoalError
from shoal.protocol.http.headers import Headers
from shoal.protocol.tracker.urls import shown_url

_PASSING = frozenset({202, 408, 421, 425, 429})  # and what is above 500, but for:
_LASTING = frozenset({501, 505, 506, 508, 510, 511})
_GO_ON = "the same command goes on where this one stopped"

_ERRORS: dict[int, tuple[type[ShoalError], str]] = {
    202: (NetworkError, f"the file is being made; later {_GO_ON}"),
    203: (NetworkError, "a proxy on the way changes what the server sends: go without it, or over https"),
    204: (NotFoundError, "there is no file behind this URL, or not yet"),
    205: (NotFoundError, "there is no file behind this URL"),
    300: (DeniedError, "there are several versions: name the one that is meant"),
    401: (DeniedError, "it wants a user and a password that it knows: --user, --netrc or --header"),
    402: (DeniedError, "it wants to be paid"),
    403: (DeniedError, "it may want --user, --netrc or a --header, or the link is no longer valid"),
    404: (NotFoundError, "look whether the URL is spelled right"),
    407: (DeniedError, "the proxy wants a user and a password that it knows, in the URL given to --proxy"),
    410: (NotFoundError, "it was there, and is gone for good"),
    416: (DeniedError, "no range was asked for; the server or a proxy on the way is confused"),
    429: (NetworkError, f"take fewer --connections, or wait: {_GO_ON}"),
    451: (DeniedError, "it is withheld for legal reasons"),
    511: (DeniedError, "sign in to this network first, in a browser"),
}
_EXPIRED = "links that carry a signature expire: get a new one"


def is_passing(status: int, headers: Headers) -> bool:
    """Whether to ask again; a 403 that says when is some servers' way to say 429."""
    if status == HTTPStatus.FORBIDDEN:
        return "retry-after" in headers
    return status in _PASSING or (500 <= status <= 599 and status not in _LASTING)


def error_of(status: int, headers: Headers, url: str, *, was_served: bool = False) -> ShoalError:
    """What to tell of it; `was_served`: this source gave something before."""
    shown = shown_url(url)
    if not 100 <= status <= 599:
        return FormatError(f"{shown}: the server answers with {status}, which is no status of HTTP")
    message = f"{shown}: the server answers {status} {_phrase(status)}".rstrip()
    if status in _ERRORS:
        kind, hint = _ERRORS[status]
        is_expired = was_served and status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
        return kind(message, hint=_EXPIRED if is_expired else hint)
    if status // 100 == 3:
        return DeniedError(f"{message}{'' if 'location' in headers else ', and not where to go'}")
    if is_passing(status, headers):
        return NetworkError(message, hint=f"it may be over soon: {_GO_ON}")
    return DeniedError(
        message, hint="the server would not have the request as it is: look at the URL, and at --header"
    )


def page_error(url: str) -> ShoalError:
    return DeniedError(
        f"{shown_url(url)}: the server sends a web page in place of the file",
        hint="it may want a login: --user, --netrc, --cookies or a --header; or open the URL in a browser",
    )


def coding_error(url: str, codings: tuple[str, ...]) -> ShoalError:
    suffix = {"gzip": ".gz", "br": ".br", "zstd": ".zst"}.get(codings[-1], "")
    return FormatError(
        f"{shown_url(url)}: the server sends the file packed ({', '.join(codings)}), which was not asked for",
        hint=f"to keep it as it is sent, name it so: -o NAME{suffix}" if suffix else "",
    )


def part_error(url: str) -> ShoalError:
    return FormatError(
        f"{shown_url(url)}: the server sends a part, where the whole file was asked for",
        hint="the server or a proxy on the way is confused: go another way (--proxy), or name another URL",
    )


def _phrase(status: int) -> str:
    with contextlib.suppress(ValueError):
        return HTTPStatus(status).phrase
    return ""
