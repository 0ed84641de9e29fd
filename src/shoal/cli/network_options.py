"""What the commands that talk to peers have in common: how one is reached, how fast one may be, and what is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Self

from shoal.cli import options

_SERVING = {  # as --help lists them
    "max_upload_rate": options.max_upload_rate_option,
    "max_download_rate": options.max_download_rate_option,
    "bind": options.bind_option,
    "port": options.port_option,
    "name": options.name_option,
    "log": options.log_option,
    "quiet": options.quiet_option,
}


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    bind: str | None = None
    port: int | None = None
    name: str = ""
    log: Path | None = None
    quiet: bool = False
    as_json: bool = False
    max_upload_rate: int | None = None  # bytes a second, as below
    max_download_rate: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Of the values of a command's options; what is not there, or None, is as above."""
        given = {name: values.get(name) for name in cls.__dataclass_fields__}
        return cls(**{name: value for name, value in given.items() if value is not None})


def network_options(command: Callable[..., int]) -> Callable[..., int]:
    """A decorator for a click command that serves: it is given `network`, and has the options for it."""

    @wraps(command)
    def with_network(**values: Any) -> int:
        given = {name: values.pop(name) for name in _SERVING}
        return command(network=NetworkOptions.of(given), **values)

    for option in reversed(_SERVING.values()):
        with_network = option(with_network)
    return with_network
