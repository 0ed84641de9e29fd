"""Every error a person can meet, with its exit code.

An error says what is wrong, where, and (as `hint`) what to do next. The command line prints
`shoal: <message>` and `hint: <hint>` on stderr and exits with `exit_code`; a traceback is only ever
shown for a bug of ours. The codes follow aria2's where those have a meaning; docs/commands.md lists them.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """What a command's end means to a script."""

    OK = 0
    FAILED = 1  # something else went wrong, said on stderr
    USAGE = 2  # the command line cannot be carried out as written
    NOT_FOUND = 3  # a file, URL or host that is not there
    NETWORK = 6  # no connection where one was needed
    UNFINISHED = 7  # ended (by a signal, mostly) before everything was there
    DISK_FULL = 9
    EXISTS = 13  # a file is in the way and was left as it is
    FILE_IO = 17  # reading or writing a file failed
    DENIED = 24  # a server wants a password or does not give the file to us, or our own rules forbid it
    BAD_DATA = 26  # a torrent, magnet or answer that does not parse
    CHECKSUM = 32  # data that does not match its hashes


class ShoalError(Exception):
    """The root of everything we raise on purpose."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(ShoalError):
    exit_code = ExitCode.USAGE


class NotFoundError(ShoalError):
    exit_code = ExitCode.NOT_FOUND


class NetworkError(ShoalError):
    exit_code = ExitCode.NETWORK


class CertificateError(NetworkError):
    """A server does not prove that it is who was asked for: to ask again is of no use."""


class OwnWayError(NetworkError):
    """The message may name a proxy or an address of this machine: it is for its owner alone."""


class OwnWayNotFoundError(NotFoundError):
    """The same, of a name that is not there."""


class UnfinishedError(ShoalError):
    exit_code = ExitCode.UNFINISHED


class DiskFullError(ShoalError):
    exit_code = ExitCode.DISK_FULL


class ExistsError(ShoalError):
    exit_code = ExitCode.EXISTS


class FileError(ShoalError):
    exit_code = ExitCode.FILE_IO


class DeniedError(ShoalError):
    """A server knows the file and does not give it to us, or not without a password."""

    exit_code = ExitCode.DENIED


class GuardError(ShoalError):
    """Somebody else wants us to connect to where our own rules forbid it."""

    exit_code = ExitCode.DENIED


class FormatError(ShoalError):
    """Bytes from outside that are not what they should be. The message names position and value."""

    exit_code = ExitCode.BAD_DATA


class PeerError(ShoalError):
    """A peer broke the protocol: close the connection and remember it. Never shown as ours."""


class ChecksumError(ShoalError):
    exit_code = ExitCode.CHECKSUM
