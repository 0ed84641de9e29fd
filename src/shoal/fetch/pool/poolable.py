"""Whether a URL may be told to the members of a group, or is downloaded alone; and why.

Pure, but for the files that the options name. What only one machine may know stays there: who it is, and what a link
gives access to by itself. Always true: when in doubt it is not pooled; a reason names the kind of a secret, and not
the secret.

A signed link is known by the names of its parameters, and any other key by its looks: sixteen characters and more that
are not made of words and numbers, whatever they are called and wherever they stand. The path may hold digests in hex.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from shoal.errors import ShoalError
from shoal.fetch.facts import Facts
from shoal.fetch.options import AskedUrl, FetchOptions, read_netrc
from shoal.fetch.pieces import piece_length_for
from shoal.protocol.http.origin import Origin
from shoal.units import MIB

LARGEST_PIECE = (
    16 * MIB
)  # what the engine keeps in memory until it is checked; files up to 1.6 TB have no larger

POOLED_SCHEMES: Final = frozenset({"http", "https"})

# Headers that say what one likes, and give access to nothing.
HARMLESS_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-charset",
        "accept-language",
        "cache-control",
        "dnt",
        "pragma",
        "referer",
        "te",
        "user-agent",
    }
)

# Words in the names of parameters that sign, or let in.
SIGNING_WORDS: Final = frozenset(
    (
        "access", "apikey", "assertion", "auth", "authorization", "bearer", "code", "cookie", "credential",
        "credentials", "csrf", "exp", "expires", "expiry", "hash", "hdnea", "hdntl", "hdnts", "hmac", "jwt", "key",
        "login", "md5", "nonce", "otp", "pass", "passkey", "passwd", "password", "policy", "pw", "pwd", "sas", "secret",
        "sess", "session", "sessid", "sid", "sig", "sign", "signature", "signed", "ticket", "tkn", "tok", "token",
        "uid", "user", "username", "verify",
    )
)  # fmt: skip
SIGNING_FAMILIES: Final = ("x-amz-", "x-goog-", "x-oss-", "x-ms-", "x-cos-", "q-sign", "q-ak", "q-key")
SIGNING_ENDS: Final = (
    "token",
    "signature",
    "secret",
    "password",
    "key",
    "auth",
    "session",
    "sessionid",
    "sessid",
)

SHORTEST_KEY: Final = 16  # characters; what is shorter can be tried out
DIGEST_LENGTHS: Final = frozenset({40, 60, 64, 96, 128})  # in hex; package indexes and stores name files so
_WORD_BORDER: Final = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])")
_RUN: Final = re.compile(rf"[A-Za-z0-9+/_~=-]{{{SHORTEST_KEY},}}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9]+")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_PLAIN: Final = re.compile(  # words, numbers, and both as in amd64, rc1, 2nd, sha256sums
    r"[0-9]{1,14}|[a-z]{1,14}|[A-Z]{1,14}|[A-Z][a-z]{1,13}|[A-Za-z][a-z]{0,7}[0-9]{1,4}[a-z]{0,4}|[0-9]{1,4}[A-Za-z]{1,3}"
)


def reason_not_to_pool(asked: AskedUrl, options: FetchOptions) -> str | None:
    """Why this URL stays on this machine, as a person reads it; None: it may be told to the group."""
    return (
        _by_scheme(asked)
        or _by_user(asked, options)
        or _by_headers(options)
        or _by_files(asked.origin, options)
        or _by_query(asked.url)
        or _by_path(asked.url)
    )


def reason_not_to_pool_file(facts: Facts, *, is_digest_known: bool = False) -> str | None:
    """The same of what the origin said of the file."""
    if not facts.length:
        return "the server does not say how long it is"
    if not facts.takes_ranges:
        return "the server does not serve parts of it"
    if facts.validator is None and not is_digest_known:
        return "the server does not say which version it is, and its SHA-256 is not known"
    return reason_not_to_pool_length(facts.length)


def reason_not_to_pool_length(length: int) -> str | None:
    if piece_length_for(length) > LARGEST_PIECE:
        return "it is larger than a group can share"
    return None


def _by_scheme(asked: AskedUrl) -> str | None:
    if asked.origin.scheme not in POOLED_SCHEMES:
        return f"{asked.origin.scheme} is not pooled, only http and https are"
    return None


def _by_user(asked: AskedUrl, options: FetchOptions) -> str | None:
    if asked.user is not None or "@" in urlsplit(asked.url).netloc:
        return "the URL names a user"
    return None if options.user is None else "a user and a password are given for it"


def _by_headers(options: FetchOptions) -> str | None:
    for name, value in options.headers:
        if name.lower() not in HARMLESS_HEADERS:
            return f"the header {name} is for its server alone"
        if _looks_secret(value) or ("?" in value and _by_query(value)):
            return f"the header {name} holds what looks like a key"
    return None


def _by_files(origin: Origin, options: FetchOptions) -> str | None:
    """What the netrc file and the cookies have for this host. What cannot be read is no leave to tell."""
    try:
        if options.netrc is not None and {origin.host, "default"} & read_netrc(options.netrc).keys():
            return "the netrc file has a password for it"
        if options.cookies is not None and any(
            _is_cookie_of(domain, origin.host) for domain in _cookie_domains(options.cookies)
        ):
            return "there are cookies for its server"
    except (ShoalError, OSError, UnicodeError):
        return "the netrc file or the cookies could not be read"
    return None


def _cookie_domains(path: Path) -> Iterator[str]:
    """Of a file in the format of Netscape, or of one that has the headers as they came."""
    for line in path.read_text().splitlines():
        text = line.removeprefix("#HttpOnly_")
        if text.lower().startswith("set-cookie:"):
            domain = re.search(r";\s*domain\s*=\s*([^;\s]+)", text, re.IGNORECASE)
            yield domain[1].lower() if domain else ""
        elif text.strip() and not text.startswith("#"):
            yield text.split()[0].lower()


def _is_cookie_of(domain: str, host: str) -> bool:
    """Whoever is of the same zone counts: which hosts share a cookie is not for us to judge finely."""
    name = domain.strip(".")
    return not name or host == name or host.endswith(f".{name}") or name.endswith(f".{host}")


def _by_query(url: str) -> str | None:
    query = urlsplit(url).query
    pairs = parse_qsl(query.replace(";", "&"), keep_blank_values=True)
    for name, value in pairs:
        if _looks_secret(value) or _looks_secret(name):
            return "a parameter of it looks like a key"
        if _is_signing(name):
            return f"its parameter '{name[:SHORTEST_KEY]}' looks like a signature or a login"
    return "its query looks like a key" if any(map(_looks_secret, _RUN.findall(unquote(query)))) else None


def _is_signing(name: str) -> bool:
    lowered = name.strip().lower()
    words = {word.lower() for word in _WORD_BORDER.split(name)}
    return (
        bool(words & SIGNING_WORDS) or lowered.startswith(SIGNING_FAMILIES) or lowered.endswith(SIGNING_ENDS)
    )


def _by_path(url: str) -> str | None:
    for element in urlsplit(url).path.split("/"):
        plain, *parameters = unquote(element).split(";")
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if _is_signing(key) or _looks_secret(value) or _looks_secret(key):
                return "its path holds what looks like a key"
        if _looks_secret(plain) and not _is_digest(plain.partition(".")[0]):
            return "its path holds what looks like a key"
    return None


def _looks_secret(text: str) -> bool:
    """Whether a part of it is long, and not made of words and numbers."""
    return any(_is_random(run) for run in _RUN.findall(text))


def _is_random(run: str) -> bool:
    return bool(_UUID.search(run)) or not all(map(_PLAIN.fullmatch, _TOKEN.findall(run)))


def _is_digest(text: str) -> bool:
    return len(text) in DIGEST_LENGTHS and re.fullmatch("[0-9a-f]+", text) is not None
