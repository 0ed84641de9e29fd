"""Put torrents into a tracker's catalogue, and take them away again.

The tracker's token says that we may publish; a token of our own says that an entry is ours. That one is made, for each
tracker another, of a secret that this machine keeps for good: no tracker can act for us at the next one. Always true:
neither token is in a message, a URL or a log.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click

from shoal.cli.catalogues import Catalogue, no_catalogue, told_line
from shoal.disk.faults import file_fault
from shoal.disk.state import state_dir
from shoal.errors import (
    ExistsError,
    FileError,
    FormatError,
    NetworkError,
    NotFoundError,
    ShoalError,
    UsageError,
)
from shoal.net.http import HttpResponse, delete, put

SECRET_NAME = "owner-secret"
SECRET_LENGTH = 32  # bytes
PUBLISH_SECONDS = 120.0  # for a torrent of some 20 MB over a slow uplink
TOKEN_HINT = "give the tracker's token with --publish-token or SHOAL_PUBLISH_TOKEN; who runs it knows it"

publish_token_option: Callable[[Any], Any] = click.option(
    "--publish-token",
    metavar="TOKEN",
    envvar="SHOAL_PUBLISH_TOKEN",
    help="The tracker's token for publishing. Better in SHOAL_PUBLISH_TOKEN: others see a command's options.",
)


def checked_token(token: str | None) -> str:
    """Raises `UsageError` for what cannot be a token, without quoting it."""
    if not token:
        raise UsageError("publishing needs the tracker's token", hint=TOKEN_HINT)
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise UsageError("a token is made of ASCII letters, digits and signs, without spaces")
    return token


def owner_token(catalogue: Catalogue) -> str:
    """What makes an entry ours at this tracker. Raises `FileError`, `DiskFullError`."""
    return hmac.new(owner_secret(), catalogue.host.lower().encode(), hashlib.sha256).hexdigest()


def owner_secret() -> bytes:
    """This machine's, made when it is first needed; only its owner can read the file."""
    path = state_dir() / SECRET_NAME
    try:
        if not path.exists():
            _make_secret(path)
        secret = path.read_bytes()
    except OSError as error:
        raise file_fault(error, path, "keeping the secret of what is published") from error
    if len(secret) != SECRET_LENGTH:
        raise FileError(f"{path}: damaged: {len(secret)} bytes, where {SECRET_LENGTH} were written")
    return secret


def _make_secret(path: Path) -> None:
    """Whole under its name at once, and made only once however many processes begin together."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{SECRET_NAME}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_LENGTH))
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(unfinished)
    except FileExistsError:
        pass  # another process was first; its secret is the one
    finally:
        unfinished.unlink()


async def publish(catalogue: Catalogue, name: str, torrent: bytes, token: str, bind: str | None) -> None:
    """Raises `ExistsError` if the name is somebody else's, and other `ShoalError`s with what to do."""
    response = await put(
        _url(catalogue, name), torrent, headers=_headers(catalogue, token), bind=bind, timeout=PUBLISH_SECONDS
    )
    _raise_unless_done(response, catalogue, name)


async def check_may_publish(catalogue: Catalogue, name: str, token: str, bind: str | None) -> None:
    """Raise what `publish` would, as far as the tracker can tell without the torrent."""
    response = await put(_url(catalogue, name), b"", headers=_headers(catalogue, token), bind=bind)
    _raise_unless_done(response, catalogue, name)


async def unpublish(catalogue: Catalogue, name: str, token: str, bind: str | None) -> None:
    """Raises `NotFoundError`, and other `ShoalError`s with what to do."""
    response = await delete(_url(catalogue, name), headers=_headers(catalogue, token), bind=bind)
    _raise_unless_done(response, catalogue, name)


def _url(catalogue: Catalogue, name: str) -> str:
    return catalogue.torrent_url(name)


def _headers(catalogue: Catalogue, token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Shoal-Owner": owner_token(catalogue)}


def _raise_unless_done(response: HttpResponse, catalogue: Catalogue, name: str) -> None:
    status = response.status
    if status // 100 == 2:
        return
    said = f"{catalogue.host}: {told_line(response)}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise ShoalError(said, hint=TOKEN_HINT)
    if status == HTTPStatus.CONFLICT:
        raise ExistsError(said, hint="only the machine that published an entry can replace or remove it")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        raise no_catalogue(catalogue)
    if status == HTTPStatus.NOT_FOUND:
        raise NotFoundError(said, hint=f"shoal list {catalogue.host} shows what there is")
    if status == HTTPStatus.BAD_REQUEST:
        raise FormatError(said)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise ShoalError(
            f"{catalogue.host}: the torrent of '{name}' is too large for it",
            hint="share fewer files at a time",
        )
    if status // 100 == 3:
        raise NetworkError(
            f"{catalogue.host} redirects to another place; a token is not sent after it",
            hint="name the place it leads to",
        )
    raise NetworkError(said)
