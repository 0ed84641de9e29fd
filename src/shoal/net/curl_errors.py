"""What libcurl says of a failure, as one of our errors: one line that names the host and nothing secret."""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from urllib.parse import urlsplit

import pycurl  # type: ignore[import-untyped]  # its stubs are a package of their own

from shoal.errors import FormatError, NetworkError, NotFoundError, ShoalError
from shoal.protocol.tracker.urls import shown_url

_WEIRD_REPLY = pycurl.E_FTP_WEIRD_SERVER_REPLY  # the code has outgrown its name
_REASONS: dict[int, str] = {
    pycurl.E_COULDNT_CONNECT: "cannot connect",
    pycurl.E_OPERATION_TIMEDOUT: "no answer in time",
    pycurl.E_GOT_NOTHING: "closed the connection without an answer",
    pycurl.E_PARTIAL_FILE: "closed the connection in the middle of its answer",
    pycurl.E_RECV_ERROR: "connection lost",
    pycurl.E_SEND_ERROR: "connection lost",
    pycurl.E_TOO_MANY_REDIRECTS: "redirects too often",
    pycurl.E_PEER_FAILED_VERIFICATION: "its certificate is not trusted",
    pycurl.E_SSL_CONNECT_ERROR: "no TLS connection",
    pycurl.E_INTERFACE_FAILED: "the address given to --bind is not this machine's",
    pycurl.E_LOGIN_DENIED: "user or password refused",
}


def error_of(url: str, error: pycurl.error) -> ShoalError:
    """libcurl's `error` on the way to `url` as one of ours."""
    code, message = error.args[0], str(error.args[1])
    host = host_of(url)
    if code == pycurl.E_COULDNT_RESOLVE_PROXY:
        return NotFoundError("no such host: the proxy's")
    if code == pycurl.E_COULDNT_RESOLVE_HOST:
        return NotFoundError(f"{host}: no such host")
    if code == pycurl.E_REMOTE_FILE_NOT_FOUND:
        return NotFoundError(f"{host} has no {shown_url(url)}")
    if code == pycurl.E_URL_MALFORMAT:
        return FormatError(f"{shown_url(url)!r} is not a URL")
    if code == _WEIRD_REPLY or (code == pycurl.E_UNSUPPORTED_PROTOCOL and "HTTP/0.9" in message):
        return FormatError(f"{host} does not answer in HTTP")
    if code == pycurl.E_UNSUPPORTED_PROTOCOL:
        return FormatError(f"{shown_url(url)!r} is not an http or https URL, or leads to one that is not")
    return NetworkError(f"{host}: {_REASONS.get(code) or message.strip() or 'failed'}")


def host_of(url: str) -> str:
    """`host:port` as it stands in the URL, without what may be secret."""
    with contextlib.suppress(ValueError):
        return urlsplit(url).netloc.rpartition("@")[2] or shown_url(url)
    return shown_url(url)


def phrase_of(status: int) -> str:
    with contextlib.suppress(ValueError):
        return HTTPStatus(status).phrase
    return ""
