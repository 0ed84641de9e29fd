from __future__ import annotations

import time
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.formats.digests import DIGEST_LENGTHS
from shoal.formats.foreign_text import MAX_URLS
from shoal.formats.metalink import (
    LOWEST_PRIORITY,
    MAX_DEPTH,
    MAX_FILES,
    MAX_METALINK_LENGTH,
    Metalink,
    MetalinkFile,
    Mirror,
    parse_metalink,
)

SHA256 = bytes(range(32))
SHA1 = bytes(range(20))
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

VERSION_4 = f"""{HEAD}<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <generator>maker/1.0</generator>
  <published>2009-05-15T12:23:23Z</published>
  <file name="folder/example.ext">
    <size>250</size>
    <identity>Example</identity>
    <language>en</language>
    <hash type="md5">{"00" * 16}</hash>
    <hash type="sha-256">{SHA256.hex()}</hash>
    <hash type="whirlpool">abc</hash>
    <pieces length="100" type="sha-1">
      <hash>{SHA1.hex()}</hash>
      <hash>{SHA1[::-1].hex()}</hash>
      <hash>{SHA1.hex().upper()}</hash>
    </pieces>
    <url location="DE" priority="2">ftp://ftp.example.com/example.ext</url>
    <url priority="1"> http://example.com/example.ext?a=1&amp;b=2 </url>
    <url>http://last.example.com/example.ext</url>
    <url>rsync://example.com/example.ext</url>
    <metaurl mediatype="torrent" priority="3">http://example.com/example.ext.torrent</metaurl>
    <metaurl mediatype="application/x-zsync">http://example.com/example.ext.zsync</metaurl>
    <signature mediatype="application/pgp-signature">-----BEGIN</signature>
    <extra:url xmlns:extra="urn:extra">http://foreign.example.com/</extra:url>
  </file>
  <file name="second"/>
</metalink>
"""

VERSION_3 = f"""{HEAD}<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" origin="http://o/">
  <publisher><name>Example</name><url>http://example.org</url></publisher>
  <files>
    <file name="example.ext">
      <size>250</size>
      <version>1.0</version>
      <verification>
        <hash type="sha256">{SHA256.hex()}</hash>
        <signature type="pgp">-----BEGIN</signature>
        <pieces length="100" type="sha1">
          <hash piece="0">{SHA1.hex()}</hash>
          <hash piece="1">{SHA1.hex()}</hash>
          <hash piece="2">{SHA1.hex()}</hash>
        </pieces>
      </verification>
      <resources maxconnections="1">
        <url type="http" location="jp" preference="10">http://jp.example.com/example.ext</url>
        <url type="ftp" location="us" preference="100">ftp://us.example.com/example.ext</url>
        <url type="bittorrent" preference="95">http://example.com/example.ext.torrent</url>
        <url type="http">http://any.example.com/example.ext</url>
      </resources>
    </file>
  </files>
</metalink>
"""


def one_file(content: str, attributes: str = 'name="x"') -> MetalinkFile:
    text = f'<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file {attributes}>{content}</file></metalink>'
    (file,) = parse_metalink(text.encode()).files
    return file


def test_version_4() -> None:
    assert parse_metalink(VERSION_4.encode()) == Metalink(
        (
            MetalinkFile(
                name="folder/example.ext",
                path=("folder", "example.ext"),
                size=250,
                digests={"md5": bytes(16), "sha-256": SHA256},
                piece_length=100,
                piece_digest_name="sha-1",
                piece_digests=(SHA1, SHA1[::-1], SHA1),
                urls=(
                    Mirror("http://example.com/example.ext?a=1&b=2", 1),
                    Mirror("ftp://ftp.example.com/example.ext", 2, "de"),
                    Mirror("http://last.example.com/example.ext", LOWEST_PRIORITY),
                ),
                torrents=(Mirror("http://example.com/example.ext.torrent", 3),),
            ),
            MetalinkFile(name="second", path=("second",)),
        )
    )


def test_version_3() -> None:
    (file,) = parse_metalink(VERSION_3.encode()).files
    assert (file.size, file.digests) == (250, {"sha-256": SHA256})
    assert (file.piece_length, file.piece_digest_name, file.piece_digests) == (100, "sha-1", (SHA1,) * 3)
    assert file.urls == (
        Mirror("ftp://us.example.com/example.ext", 1, "us"),
        Mirror("http://jp.example.com/example.ext", 91, "jp"),
        Mirror("http://any.example.com/example.ext", LOWEST_PRIORITY),
    )
    assert file.torrents == (Mirror("http://example.com/example.ext.torrent", 6),)


def test_version_3_without_its_namespace() -> None:
    bare = VERSION_3.replace(' xmlns="http://www.metalinker.org/"', "")
    assert parse_metalink(bare.encode()) == parse_metalink(VERSION_3.encode())


def test_a_byte_order_mark_is_no_content() -> None:
    assert parse_metalink(b"\xef\xbb\xbf" + VERSION_4.encode()) == parse_metalink(VERSION_4.encode())


def test_it_may_be_in_utf_16() -> None:
    assert parse_metalink(VERSION_4.encode("utf-16")) == parse_metalink(VERSION_4.encode())


def test_a_prefix_for_the_namespace_changes_nothing() -> None:
    file = '<m:file name="x"><m:size>5</m:size></m:file>'
    text = f'<m:metalink xmlns:m="urn:ietf:params:xml:ns:metalink">{file}</m:metalink>'
    assert parse_metalink(text.encode()).files[0].size == 5


def test_of_several_lists_of_pieces_the_strongest_counts() -> None:
    lists = "".join(
        f'<pieces length="{length}" type="{name}"><hash>{"00" * DIGEST_LENGTHS[name]}</hash></pieces>'
        for length, name in ((7, "md5"), (8, "sha-512"), (9, "sha-1"))
    )
    file = one_file(lists + '<pieces length="x" type="ed2k"><hash>00</hash></pieces>')
    assert (file.piece_length, file.piece_digest_name, file.piece_digests) == (8, "sha-512", (bytes(64),))


def test_a_url_counts_once() -> None:
    file = one_file('<url priority="5">http://a/</url><url priority="1">http://a/</url>')
    assert file.urls == (Mirror("http://a/", 5),)


def test_there_is_an_end_to_urls() -> None:
    file = one_file("".join(f"<url>http://a/{number}</url>" for number in range(MAX_URLS + 10)))
    assert len(file.urls) == MAX_URLS


@pytest.mark.parametrize(
    ("attributes", "mirror"),
    [
        ('priority="0"', Mirror("http://a/", 1)),
        ('priority="9999999"', Mirror("http://a/", LOWEST_PRIORITY)),
        ('priority="first"', Mirror("http://a/", LOWEST_PRIORITY)),
        ('preference="0"', Mirror("http://a/", 101)),
        ('preference="1000"', Mirror("http://a/", 1)),
        ('location="deu"', Mirror("http://a/", LOWEST_PRIORITY)),
        ('location="UK"', Mirror("http://a/", LOWEST_PRIORITY, "uk")),
    ],
)
def test_what_only_helps_may_be_wrong(attributes: str, mirror: Mirror) -> None:
    assert one_file(f"<url {attributes}>http://a/</url>").urls == (mirror,)


@pytest.mark.parametrize(
    "url",
    ["", "x", "file:///etc/passwd", "javascript:alert(1)", "http://", "http://a\u0000b".replace("\0", "\t")],
)
def test_a_url_that_is_no_use_is_left_out(url: str) -> None:
    assert one_file(f"<url>{url}</url><url>http://a/</url>").urls == (Mirror("http://a/"),)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/b/c.txt", ("a", "b", "c.txt")),
        ("/etc/passwd", ("etc", "passwd")),
        ("../../etc/passwd", ("_", "_", "etc", "passwd")),
        ("..\\..\\x", ("....x",)),
        ("./x", ("x",)),
    ],
)
def test_the_path_stays_in_its_folder(name: str, path: tuple[str, ...]) -> None:
    file = one_file("", f"name={quoteattr(name)}")
    assert (file.name, file.path) == (name, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<size>-1</size>", "a size of '-1'"),
        ("<size>1e3</size>", "a size of '1e3'"),
        ("<size></size>", "a size of ''"),
        (f"<size>{2**63}</size>", f"a size of '{2**63}'"),
        ("<size>1<b/>2</size>", "a size of ''"),
        ('<hash type="sha-256">abc</hash>', "'abc' is not the 64 hex digits of sha-256"),
        ('<hash type="md5">\u202e</hash>', "'\ufffd' is not the 32 hex digits of md5"),
        ('<pieces type="sha-1"/>', "a piece length of ''"),
        ('<pieces type="sha-1" length="0"/>', "a piece length of '0'"),
        (
            '<pieces type="sha-1" length="8"><hash>00</hash></pieces>',
            "'00' is not the 40 hex digits of sha-1",
        ),
        (
            f'<pieces type="md5" length="8"><hash piece="1">{"00" * 16}</hash></pieces>',
            "the digest of piece '1' where that of 0 belongs",
        ),
        (
            f'<size>17</size><pieces type="md5" length="8"><hash>{"00" * 16}</hash></pieces>',
            "1 digests of pieces of 8 bytes for a size of 17",
        ),
        ("<a>" * MAX_DEPTH, f"elements {MAX_DEPTH} deep"),
        ("<a>", "mismatched tag"),
        ("&lol;", "undefined entity"),
    ],
)
def test_what_would_weaken_the_check_is_refused(content: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        one_file(content)
    assert caught.value.message == f"metalink line 1: {message}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "metalink line 1: no element found"),
        (b"<html><body>log in</body></html>", "metalink line 1: not a metalink"),
        (b'<metalink xmlns="urn:other"/>', "metalink line 1: not a metalink"),
        (b'<metalink xmlns="urn:ietf:params:xml:ns:metalink"/>', "a metalink without a file"),
        (b'<metalink><files><file name=" "/></files></metalink>', "metalink line 1: a file without a name"),
        (b"<metalink>\n<files><file/></files></metalink>", "metalink line 2: a file without a name"),
        (b"d8:announce", "metalink line 1: syntax error"),
        (VERSION_4.encode() + b"<more/>", "metalink line 28: junk after document element"),
        (b"<metalink>\xe9</metalink>", "metalink line 1: not well-formed (invalid token)"),
    ],
)
def test_what_is_no_metalink_says_why(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_metalink(data)
    assert caught.value.message == message


@pytest.mark.parametrize("encoding", ["utf-7", "unicode_escape", "idna", "no-such-thing", "zlib"])
def test_the_declared_encoding_chooses_no_decoder(encoding: str) -> None:
    declared = VERSION_4.replace("UTF-8", encoding)
    assert parse_metalink(declared.encode()) == parse_metalink(VERSION_4.encode())


ENTITIES = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize(
    "subset",
    [
        "",
        ' SYSTEM "file:///etc/passwd"',
        ' [<!ENTITY x SYSTEM "file:///etc/passwd">]',
        ' [<!ENTITY % x SYSTEM "http://127.0.0.1/x"> %x;]',
        f' [<!ENTITY l0 "lol">{ENTITIES}]',
        f' [<!ENTITY x "{"A" * 100_000}">]',
    ],
)
def test_a_document_type_is_refused_before_it_is_read(subset: str) -> None:
    started_at = time.process_time()
    body = "<metalink><files><file name='x'><size>&x;&l11;</size></file></files></metalink>"
    with pytest.raises(FormatError, match="a document type, which no metalink needs"):
        parse_metalink(f"<!DOCTYPE metalink{subset}>{body}".encode())
    assert time.process_time() - started_at < 1


def test_too_much_is_refused_unread() -> None:
    with pytest.raises(FormatError, match=r"where 16\.0 MiB is the limit"):
        parse_metalink(bytes(MAX_METALINK_LENGTH + 1))


def test_too_many_files_are_refused() -> None:
    files = "".join(f'<file name="{number}"/>' for number in range(MAX_FILES + 1))
    with pytest.raises(FormatError, match=f"more than {MAX_FILES} files"):
        parse_metalink(f"<metalink>{files}</metalink>".encode())


# ---- what is written is what is read

names = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20)
urls = st.text("abcxyz019-._~/?&=;'", max_size=20).map("http://a.example/{}".format)
mirrors = st.lists(
    st.builds(Mirror, urls, st.integers(1, 999_999), st.sampled_from(["", "de", "us"])),
    max_size=4,
    unique_by=lambda mirror: mirror.url,
).map(lambda found: tuple(sorted(found, key=lambda mirror: mirror.priority)))


@st.composite
def files(draw: st.DrawFn) -> MetalinkFile:
    def digest(name: str) -> bytes:
        return draw(st.binary(min_size=DIGEST_LENGTHS[name], max_size=DIGEST_LENGTHS[name]))

    piece_digest_name = draw(st.sampled_from(["", *DIGEST_LENGTHS]))
    count = draw(st.integers(1, 4)) if piece_digest_name else 0
    piece_length = draw(st.integers(1, 2**40)) if piece_digest_name else 0
    size = (
        draw(st.integers((count - 1) * piece_length + 1, count * piece_length))
        if count
        else draw(st.integers(0))
    )
    name = draw(names.filter(lambda name: name.strip("/.") != ""))
    parsed_path = one_file("", f"name={quoteattr(name)}").path
    return MetalinkFile(
        name=name,
        path=parsed_path,
        size=draw(st.sampled_from([None, size if size < 2**63 else 0])) if not count else size,
        digests={name: digest(name) for name in draw(st.sets(st.sampled_from(list(DIGEST_LENGTHS))))},
        piece_length=piece_length,
        piece_digest_name=piece_digest_name,
        piece_digests=tuple(digest(piece_digest_name) for _ in range(count)),
        urls=draw(mirrors),
        torrents=draw(mirrors),
    )


def written(file: MetalinkFile) -> str:
    parts = [f"<file name={quoteattr(file.name)}>"]
    if file.size is not None:
        parts.append(f"<size>{file.size}</size>")
    parts += [f'<hash type="{name}">{digest.hex()}</hash>' for name, digest in file.digests.items()]
    if file.piece_length:
        parts.append(f'<pieces length="{file.piece_length}" type="{file.piece_digest_name}">')
        parts += [f"<hash>{digest.hex()}</hash>" for digest in file.piece_digests]
        parts.append("</pieces>")
    for tag, found in (("url", file.urls), ('metaurl mediatype="torrent"', file.torrents)):
        for mirror in found:
            where = f' priority="{mirror.priority}"' + f' location="{mirror.location}"' * bool(
                mirror.location
            )
            parts.append(f"<{tag}{where}>{escape(mirror.url)}</{tag.split()[0]}>")
    return "\n".join([*parts, "</file>"])


@given(st.lists(files(), min_size=1, max_size=3))
def test_a_metalink_is_read_as_it_was_written(found: list[MetalinkFile]) -> None:
    body = "".join(map(written, found))
    text = f'<metalink xmlns="urn:ietf:params:xml:ns:metalink">{body}</metalink>'
    assert parse_metalink(text.encode()) == Metalink(tuple(found))


@given(st.binary(max_size=200), st.integers(0, len(VERSION_4)), st.integers(0, 40))
def test_damage_gives_a_metalink_or_the_named_error(noise: bytes, at: int, cut: int) -> None:
    data = VERSION_4.encode()
    for damaged in (noise, data[:at], data[:at] + noise + data[at + cut :]):
        try:
            found = parse_metalink(damaged)
        except FormatError as error:
            assert "\n" not in error.message and error.message.isprintable()
        else:
            assert found.files
