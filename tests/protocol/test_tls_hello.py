"""The server name in a ClientHello, as OpenSSL writes it and as nobody should."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.protocol.tls_hello import record_length, server_name


def hello(name: str | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


HELLO = hello("ab" * 20 + ".shoal")


@given(st.from_regex(r"[a-z0-9]{1,60}\.[a-z]{1,20}", fullmatch=True))
def test_the_name_that_openssl_asks_for_is_found(name: str) -> None:
    assert server_name(hello(name)) == name


def test_a_hello_without_a_name_has_none() -> None:
    assert server_name(hello(None)) == ""


@given(st.integers(0, len(HELLO) - 1))
def test_a_hello_that_is_cut_is_refused(length: int) -> None:
    with pytest.raises(FormatError):
        server_name(HELLO[:length])


@given(st.binary(max_size=400) | st.binary(max_size=100).map(lambda tail: HELLO[:150] + tail))
def test_any_bytes_are_a_name_or_refused(data: bytes) -> None:
    for record in (data, b"\x16\x03\x01" + len(data).to_bytes(2, "big") + data):
        try:
            assert server_name(record).isascii()
        except FormatError as error:
            assert error.message


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_any_hello_with_a_wrong_byte_is_a_name_or_refused(at: int, byte: int) -> None:
    try:
        assert server_name(HELLO[:at] + bytes([byte]) + HELLO[at + 1 :]).isascii()
    except FormatError as error:
        assert error.message


def test_a_name_that_is_not_ascii_is_refused() -> None:
    with pytest.raises(FormatError, match="server name"):
        server_name(HELLO.replace(b"abab", b"\xff\xfe\x00a", 1))


@pytest.mark.parametrize("header", [b"", b"\x16\x03\x01\x00", b"GET /", b"\x13Bit", b"\x16\x03\x01\xff\xff"])
def test_what_does_not_begin_a_record_is_refused(header: bytes) -> None:
    with pytest.raises(FormatError):
        record_length(header)
