"""What libcurl says of a failure, as one of our errors: one line that names the host and nothing secret."""

from __future__ import annotations

import contextlib
import re
from http import HTTPStatus
from urllib.parse import urlsplit

import pycurl  # type: ignore[import-untyped]  # its stubs are a package of their own

from shoal.errors import (
    CertificateError,
    DeniedError,
    FormatError,
    NetworkError,
    NotFoundError,
    OwnWayError,
    OwnWayNotFoundError,
    ShoalError,
)
from shoal.net.address_classes import numeric_host
from shoal.net.environment_proxies import proxy_of_environment
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
    pycurl.E_SSL_CONNECT_ERROR: "no TLS connection",
    pycurl.E_INTERFACE_FAILED: "the address given to --bind is not this machine's",
}


_UNREACHABLE = frozenset({pycurl.E_COULDNT_CONNECT, pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_INTERFACE_FAILED})
_PROXY_HINT = (
    "look whether the proxy runs; --proxy names another, else the environment does (https_proxy, ...)"
)
LOGIN_HINT = "it wants a user and a password that it knows: --user or --netrc"
TRUST_HINT = "CURL_CA_BUNDLE=FILE trusts a CA of your own, as SSL_CERT_FILE does"
UNREADABLE_HINT = "look at the file that CURL_CA_BUNDLE or SSL_CERT_FILE names"
_WHY_NOT_TRUSTED = re.compile(r"(?:problem|result): (.+?)(?: \(\d+\))?$")  # as OpenSSL says it
_CERTIFICATES = frozenset({pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CACERT_BADFILE})


def error_of(
    url: str, error: pycurl.error, *, proxy: str | None = None, bind: str | None = None
) -> ShoalError:
    """libcurl's `error` on the way to `url` as one of ours.

    `proxy` and `bind` are what the person chose; None: what the environment and the system say.
    """
    code, message = error.args[0], str(error.args[1])
    host = host_of(url)
    if code == pycurl.E_COULDNT_RESOLVE_PROXY:
        return OwnWayNotFoundError(
            f"{host}: no such host: the proxy {_proxy_of(url, proxy)}", hint=_PROXY_HINT
        )
    if code == pycurl.E_COULDNT_CONNECT and " over proxy " in message:
        return OwnWayError(f"{host}: cannot connect to the proxy {_proxy_of(url, proxy)}", hint=_PROXY_HINT)
    if code in _CERTIFICATES:
        return _certificate_error(host, code, message)
    if bind is not None and code in _UNREACHABLE and not proxy and _is_other_family(url, bind):
        return OwnWayError(
            f"{host}: cannot be reached from {bind}: one is IPv4, the other IPv6",
            hint="give --bind an address of the same kind",
        )
    if code == pycurl.E_COULDNT_RESOLVE_HOST:
        needed = "" if bind is None else f", or it has no IPv{6 if ':' in bind else 4} address as {bind} has"
        return OwnWayNotFoundError(
            f"{host}: no such host{needed}",
            hint="look whether the host is spelled right, and whether this machine has a network",
        )
    if code == pycurl.E_REMOTE_FILE_NOT_FOUND:
        return NotFoundError(f"{host} has no {shown_url(url)}")
    if code == pycurl.E_LOGIN_DENIED:
        return DeniedError(f"{host}: user or password refused", hint=LOGIN_HINT)
    if code == pycurl.E_URL_MALFORMAT:
        return FormatError(f"{shown_url(url)!r} is not a URL")
    if code == _WEIRD_REPLY or (code == pycurl.E_UNSUPPORTED_PROTOCOL and "HTTP/0.9" in message):
        return FormatError(f"{host} does not answer in HTTP")
    if code == pycurl.E_UNSUPPORTED_PROTOCOL:
        return FormatError(f"{shown_url(url)!r} is not an http or https URL, or leads to one that is not")
    if code in _REASONS:
        return NetworkError(f"{host}: {_REASONS[code]}")
    return OwnWayError(f"{host}: {message.strip() or 'failed'}")


def _certificate_error(host: str, code: int, message: str) -> CertificateError:
    if code == pycurl.E_SSL_CACERT_BADFILE:
        return CertificateError(f"{host}: the certificates to trust cannot be read", hint=UNREADABLE_HINT)
    if "subject name" in message:
        return CertificateError(
            f"{host}: its certificate is for another host", hint="is the host spelled right?"
        )
    why = _WHY_NOT_TRUSTED.search(message)
    return CertificateError(
        f"{host}: its certificate is not trusted{f': {why[1]}' if why else ''}", hint=TRUST_HINT
    )


def _proxy_of(url: str, proxy: str | None) -> str:
    """Its host and port, without user and password."""
    with contextlib.suppress(ValueError):
        named = proxy or proxy_of_environment(url)
        return host_of(named if "://" in named else f"http://{named}")
    return "of the environment"


def _is_other_family(url: str, bind: str) -> bool:
    with contextlib.suppress(ValueError):
        number = numeric_host(urlsplit(url).hostname or "")
        return number is not None and (":" in number) != (":" in bind)
    return False


def host_of(url: str) -> str:
    """`host:port` as it stands in the URL, without what may be secret."""
    with contextlib.suppress(ValueError):
        return urlsplit(url).netloc.rpartition("@")[2] or shown_url(url)
    return shown_url(url)


def phrase_of(status: int) -> str:
    with contextlib.suppress(ValueError):
        return HTTPStatus(status).phrase
    return ""
