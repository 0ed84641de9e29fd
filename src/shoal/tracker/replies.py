"""What the HTTP door says: replies -> bytes. Nothing here knows of connections."""

from __future__ import annotations

from http import HTTPStatus

from msgspec import Struct

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {
    int(status): f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Reply(Struct, frozen=True, gc=False):
    body: bytes
    content_type: str = "text/plain"
    status: int = HTTPStatus.OK
    headers: tuple[tuple[str, str], ...] = ()


BROKEN = Reply(b"a mistake of the tracker's own\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)
NOT_FOUND = Reply(b"not found\n", status=HTTPStatus.NOT_FOUND)
BAD_FORWARD = Reply(b"X-Forwarded-For holds no address\n", status=HTTPStatus.BAD_REQUEST)


def encode_reply(
    reply: Reply, keeps_alive: bool, *, says_keep_alive: bool = False, is_head: bool = False
) -> bytes:
    """A whole HTTP/1.1 reply. HTTP/1.0 clients are told of keep-alive (`says_keep_alive`); 1.1 ones know."""
    body = b"" if is_head else reply.body
    if not says_keep_alive and not reply.headers and reply.content_type == "text/plain":
        return b"%bContent-Type: text/plain\r\nContent-Length: %d\r\n%b\r\n%b" % (
            _STATUS_LINES[reply.status],
            len(reply.body),
            b"" if keeps_alive else b"Connection: close\r\n",
            body,
        )
    lines = [f"Content-Type: {reply.content_type}", f"Content-Length: {len(reply.body)}"]
    if not keeps_alive:
        lines.append("Connection: close")
    elif says_keep_alive:
        lines.append("Connection: keep-alive")
    lines += [f"{name}: {value}" for name, value in reply.headers]
    return _STATUS_LINES[reply.status] + "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
