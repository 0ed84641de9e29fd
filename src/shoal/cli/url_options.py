"""The options of `shoal get` that are about URLs, and what they come to.

Always true: a password comes from the terminal or the environment, never from the command line; no error quotes
what may be secret.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from shoal.cli import options
from shoal.cli.network_options import NetworkOptions
from shoal.cli.sources import is_url
from shoal.errors import UsageError
from shoal.protocol.http.origin import refuse_unlike_url

PASSWORD_VARIABLE = "SHOAL_PASSWORD"
TERMINAL = "/dev/tty"

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Pooling:
    """With whom URLs are got: a group, and where its members are looked for beside the local network."""

    group: str
    trackers: tuple[str, ...] = field(repr=False)  # may hold a passkey
    peers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class UrlOptions:
    """How all URLs of one command are got. `how` are keywords of `shoal.api.get_all`."""

    folder: Path
    raw: bool
    how: Mapping[str, Any] = field(repr=False)


def parse_source_url(text: str) -> str:
    """Raises `UsageError`."""
    refuse_unlike_url(text)
    return text


def parse_checksum(text: str) -> str:
    """As it is, if it is one. Raises `UsageError`."""
    from shoal.disk import checksum

    return str(checksum.parse_checksum(text))


def parse_header(text: str) -> tuple[str, str]:
    from shoal.fetch import options as fetch_options

    return fetch_options.parse_header(text)


def parse_user(text: str) -> str:
    """Raises `UsageError` for one with a password."""
    if not text or ":" in text:
        raise UsageError(
            "--user takes a name alone",
            hint=f"--password-prompt asks for the password; scripts put it in {PASSWORD_VARIABLE}",
        )
    return text


_OPTIONS = (
    click.option(
        "-o",
        "output",
        type=options.PATH,
        metavar="NAME",
        help="The name of the file, instead of the server's.",
    ),
    click.option(
        "--mirror",
        "mirrors",
        type=parse_source_url,
        metavar="URL",
        multiple=True,
        help="The same file elsewhere; may be given several times.",
    ),
    click.option(
        "--checksum",
        type=parse_checksum,
        metavar="sha256:HEX",
        help="What the file's digest must be: sha512, sha256, sha1 or md5.",
    ),
    click.option(
        "--header",
        "headers",
        type=parse_header,
        metavar="'NAME: VALUE'",
        multiple=True,
        help="Send this header to the URL's host, and to no other; may be given several times.",
    ),
    click.option(
        "--user",
        type=parse_user,
        metavar="NAME",
        help="Who we are to the URL's host. The password: --password-prompt, or SHOAL_PASSWORD.",
    ),
    click.option("--password-prompt", is_flag=True, help="Ask for the password on the terminal."),
    click.option("--netrc", is_flag=True, help="Take user and password from ~/.netrc, or the file in NETRC."),
    click.option(
        "--cookies",
        type=options.PATH,
        metavar="FILE",
        help="Send the cookies in FILE, which browsers export in the format of Netscape.",
    ),
    click.option(
        "--torrent",
        type=options.PATH,
        metavar="FILE",
        help="Write a torrent of the file there, with the URL as web seed.",
    ),
    click.option("--no-group", is_flag=True, help="Get files of URLs alone, whatever the settings say."),
    click.option(
        "--raw", is_flag=True, help="Get a torrent or Metalink file itself, not what it stands for."
    ),
)


def all_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def checked(
    urls: Sequence[str],
    folder: Path,
    network: NetworkOptions,
    values: Mapping[str, Any],
    pooling: Pooling | None = None,
) -> UrlOptions:
    """What is to be done with the URLs; asks for the password if that is wanted. Raises `UsageError`.

    `pooling` None: alone.
    """
    for url in urls:
        if is_url(url):  # else it is the path of a Metalink
            parse_source_url(url)
    if len(urls) > 1:
        _refuse_for_several(values)
    how: dict[str, Any] = {
        "mirrors": values["mirrors"],
        "headers": values["headers"],
        "overwrite": values["overwrite"],
        "remote_time": values["remote_time"],
        "raw": values["raw"],
        **_user(values),
    }
    chosen = {
        "connections": values["connections"],
        "checksum": values["checksum"],
        "cookies": values["cookies"],
        "proxy": values["proxy"],
        "cacert": values["cacert"],
        "torrent": values["torrent"],
        "bind": network.bind,
        "max_download_rate": network.max_download_rate,
        "netrc": _netrc() if values["netrc"] else None,
    }
    if pooling is not None:
        how |= {"group": pooling.group, "trackers": pooling.trackers, "peers": pooling.peers}
        chosen |= {"port": network.port, "max_upload_rate": network.max_upload_rate}
    how |= {name: value for name, value in chosen.items() if value is not None}
    output = values["output"]
    if output is not None:
        folder, how["name"] = _place(folder, output)
    return UrlOptions(folder, values["raw"], how)


def _refuse_for_several(values: Mapping[str, Any]) -> None:
    for name, flag in (
        ("output", "-o"),
        ("checksum", "--checksum"),
        ("mirrors", "--mirror"),
        ("torrent", "--torrent"),
    ):
        if values[name]:
            raise UsageError(f"{flag} is for one URL", hint="get the others with commands of their own")


def _place(folder: Path, output: Path) -> tuple[Path, str]:
    """Folder and name. A name with a path is one below DIR, unless it begins at the root."""
    if output.name in ("", "..") or str(output) == "-":
        raise UsageError(f"-o {output} names no file", hint="--dir names the folder, -o the file in it")
    return folder / output.parent, output.name


def _user(values: Mapping[str, Any]) -> dict[str, str]:
    user = values["user"]
    if user is None:
        if values["password_prompt"]:
            raise UsageError("--password-prompt goes with --user")
        return {}
    if values["netrc"]:
        raise UsageError("--user and --netrc are two answers to one question: give one of them")
    if values["password_prompt"]:
        return {"user": user, "password": _ask_password(user)}
    if PASSWORD_VARIABLE not in os.environ:
        raise UsageError(
            "--user needs a password",
            hint=f"--password-prompt asks for it; scripts put it in {PASSWORD_VARIABLE}",
        )
    return {"user": user, "password": os.environ[PASSWORD_VARIABLE]}


def _ask_password(user: str) -> str:
    try:
        os.close(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise UsageError(
            "--password-prompt needs a terminal", hint=f"scripts put the password in {PASSWORD_VARIABLE}"
        ) from None
    try:
        return getpass.getpass(f"Password of {user}: ")
    except EOFError:
        raise UsageError("no password was given") from None


def _netrc() -> Path:
    return Path(os.environ.get("NETRC") or Path.home() / ".netrc")
