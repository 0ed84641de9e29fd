"""Make a stranger's text safe to print: no control, escape or direction-changing character gets through."""

from __future__ import annotations

MAX_SHOWN_LENGTH = 64  # characters; real client names have under 40


def printable_text(raw: bytes | str, *, max_length: int = MAX_SHOWN_LENGTH) -> str:
    r"""Decode UTF-8 and spell out what is not printable: `b"evil\x1b[2J"` -> `"evil\\x1b[2J"`.

    Text that is too long ends with an ellipsis.
    """
    head = raw[: 4 * max_length + 1] if isinstance(raw, bytes) else raw[: max_length + 1]
    text = head.decode("utf-8", "backslashreplace") if isinstance(head, bytes) else head
    shown = "".join(character if character.isprintable() else _escape(character) for character in text)
    return shown if len(shown) <= max_length else shown[: max_length - 1] + "…"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
