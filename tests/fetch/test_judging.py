from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import DeniedError, FormatError
from shoal.fetch.facts import Facts
from shoal.fetch.judging import Answer, NoRanges, Refused, Replaced, Retry, Whole, WriteAt

from .scene import ETAG, IMAGE, KNOWN, LENGTH, NOW, URL, answer, known_from, part, verdict, whole, without

# ---- the first response


def test_a_first_part_from_0_is_written_at_0() -> None:
    assert verdict(part(0, LENGTH), 0) == WriteAt(0, LENGTH)


def test_a_200_to_the_first_request_is_the_whole_file() -> None:
    assert verdict(whole(), 0) == Whole()
    assert verdict(whole()) == Whole()


def test_a_200_without_a_length_is_the_whole_file() -> None:
    assert verdict(answer(200, transfer_encoding="chunked"), 0) == Whole()
    assert verdict(answer(200), 0) == Whole()


def test_a_server_may_send_less_than_was_asked_for() -> None:
    assert verdict(part(0, 100), 0) == WriteAt(0, 100)
    assert verdict(part(500, 600), 500, 900, known=KNOWN) == WriteAt(500, 600)


def test_a_resume_without_facts_takes_them_from_the_part() -> None:
    assert verdict(part(500, LENGTH), 500) == WriteAt(500, LENGTH)


def test_a_first_part_of_unknown_length_is_asked_for_again_as_a_whole() -> None:
    assert verdict(part(0, 100, "*"), 0) == NoRanges("the server does not say how long the file is")


# ---- later parts


def test_a_part_that_fits_is_written_where_it_belongs() -> None:
    assert verdict(part(500, 600), 500, 600, known=KNOWN) == WriteAt(500, 600)
    assert verdict(part(999, 1000), 999, 1000, known=KNOWN) == WriteAt(999, 1000)


def test_a_part_without_a_total_is_written_if_version_and_place_fit() -> None:
    assert verdict(part(500, 600, "*"), 500, 600, known=KNOWN) == WriteAt(500, 600)
    assert isinstance(verdict(part(900, 1100, "*"), 900, known=KNOWN), NoRanges)


@pytest.mark.parametrize("begin", [0, 499, 501, 999])
def test_a_part_from_elsewhere_is_not_written(begin: int) -> None:
    reason = f"the server sends from byte {begin} on, where 500 was asked for"
    assert verdict(part(begin, 1000), 500, 600, known=KNOWN) == NoRanges(reason)


@pytest.mark.parametrize("total", [999, 1001, 10**15])
def test_another_total_is_another_version(total: int) -> None:
    reason = f"it has {total} bytes, where 1000 were expected"
    assert verdict(part(500, 600, total), 500, 600, known=KNOWN) == Replaced(reason)


def test_another_etag_is_another_version() -> None:
    assert verdict(part(500, 600, etag='"v2"'), 500, 600, known=KNOWN) == Replaced("its ETag is another")


@pytest.mark.parametrize(
    "response",
    [
        without(part(500, 600), "etag"),
        part(500, 600, etag='W/"v1"'),
        part(500, 600, etag=""),
        part(500, 600, etag='"v1", "v1"'),
    ],
)
def test_a_part_that_does_not_show_its_version_is_not_written(response: Answer) -> None:
    reason = "the server does not say of which version this part is"
    assert verdict(response, 500, 600, known=KNOWN) == NoRanges(reason)


@pytest.mark.parametrize("suffix", ["-gzip", "--gzip", ";gzip", "-br"])
def test_an_etag_that_differs_by_a_codings_suffix_only_is_the_same(suffix: str) -> None:
    response = part(500, 600, etag=f'"v1{suffix}"')
    assert verdict(response, 500, 600, known=KNOWN) == WriteAt(500, 600)
    assert verdict(part(500, 600), 500, 600, known=known_from(whole(etag=f'"v1{suffix}"'))) == WriteAt(
        500, 600
    )


@pytest.mark.parametrize(
    "content_range",
    [
        "",
        "bytes */1000",
        "bytes 500-599",
        "bytes 599-500/1000",
        "bytes 500-1000/1000",
        "bytes=500-599/1000",
        "x",
    ],
)
def test_a_part_without_a_range_to_believe_is_not_written(content_range: str) -> None:
    response = part(500, 600, content_range=content_range)
    assert verdict(response, 500, 600, known=KNOWN) == NoRanges(
        "the server does not say which range it sends"
    )


def test_several_ranges_in_one_answer_are_not_written() -> None:
    mime = "multipart/byteranges; boundary=THIS_STRING_SEPARATES"
    for response in (part(500, 600, content_type=mime), answer(206, content_type=mime, etag=ETAG)):
        assert isinstance(verdict(response, 500, 600, known=KNOWN), NoRanges)


def test_a_range_and_a_length_that_disagree_are_not_written() -> None:
    response = part(500, 600, content_length="99")
    assert verdict(response, 500, 600, known=KNOWN) == NoRanges("the server sends a range and another length")


def test_a_part_may_come_in_chunks() -> None:
    response = part(500, 600, content_length="7", transfer_encoding="chunked")
    assert verdict(response, 500, 600, known=KNOWN) == WriteAt(500, 600)


def test_a_part_that_was_not_asked_for_is_refused() -> None:
    response = verdict(part(0, 100))
    assert isinstance(response, Refused) and isinstance(response.error, FormatError)
    assert verdict(part(0, LENGTH)) == Whole()
    assert isinstance(verdict(part(0, LENGTH, "*")), Refused)


# ---- 200 where a part was asked for


def test_the_whole_file_is_never_written_into_a_range() -> None:
    reason = "the server answers a range with the whole file"
    assert verdict(whole(), 500, 600, known=KNOWN) == NoRanges(reason)
    assert verdict(whole(), 500) == NoRanges(reason)


@pytest.mark.parametrize("response", [whole(content_length="1001"), whole(etag='"v2"')])
@pytest.mark.parametrize("begin", [None, 0, 500])
def test_another_file_as_a_whole_is_another_version(response: Answer, begin: int | None) -> None:
    assert isinstance(verdict(response, begin, known=KNOWN), Replaced)


# ---- pages in place of files


@pytest.mark.parametrize("content_type", ["text/html", "text/html; charset=utf-8", "application/xhtml+xml"])
def test_a_page_where_a_file_was_before_is_refused(content_type: str) -> None:
    for begin in (None, 0, 500):
        response = verdict(whole(content_type=content_type, content_length="5"), begin, known=KNOWN)
        assert isinstance(response, Refused) and isinstance(response.error, DeniedError)
        assert response.error.message == f"{URL}: the server sends a web page in place of the file"


def test_a_page_in_place_of_a_disk_image_is_refused_at_once() -> None:
    assert isinstance(verdict(answer(200, content_type="text/html"), 0), Refused)
    assert isinstance(verdict(answer(200, content_type="text/html", etag='W/"5-x"'), 0), Refused)


def test_a_file_that_the_server_takes_for_a_page_is_a_file() -> None:
    assert (
        verdict(answer(200, content_type="text/html", content_disposition="attachment; filename=x.iso"), 0)
        == Whole()
    )
    assert verdict(whole(content_type="text/html"), 0) == Whole()
    assert (
        verdict(whole(content_type="text/html"), 0, known=known_from(whole(content_type="text/html")))
        == Whole()
    )


# ---- codings


def test_a_file_that_is_packed_on_the_way_is_refused() -> None:
    for response in (
        whole(content_encoding="gzip"),
        part(0, LENGTH, content_encoding="br"),
        answer(200, content_encoding="zstd"),
    ):
        found = verdict(response, 0)
        assert isinstance(found, Refused) and isinstance(found.error, FormatError)
        assert "packed" in found.error.message


@pytest.mark.parametrize(
    ("path", "content_type", "coding"),
    [
        ("x.tar.gz", "application/x-tar", "x-gzip"),
        ("x.tgz", "application/x-tar", "gzip"),
        ("x.svgz", "image/svg+xml", "gzip"),
        ("blob", "application/gzip", "gzip"),
        ("x.tar.zst", "application/x-tar", "zstd"),
        ("x.Z", "text/plain", "x-compress"),
        ("x.js.br", "text/javascript", "br"),
    ],
)
def test_what_is_stored_packed_is_the_file_itself(path: str, content_type: str, coding: str) -> None:
    headers = {"content_type": content_type, "content_encoding": coding}
    url = f"https://origin.example/{path}"
    stored = replace(part(0, LENGTH, **headers), url=url)
    assert verdict(stored, 0) == WriteAt(0, LENGTH)
    assert verdict(replace(whole(**headers), url=url), 0) == Whole()
    made_as_it_goes = answer(200, url, content_type=content_type, content_encoding=coding)
    assert isinstance(verdict(made_as_it_goes, 0), Refused)


@pytest.mark.parametrize(
    ("path", "coding"), [("x.gz", "br"), ("x.gz", "gzip, gzip"), ("x.zip", "gzip"), ("x", "gzip")]
)
def test_a_coding_that_the_name_does_not_say_is_refused(path: str, coding: str) -> None:
    assert isinstance(
        verdict(replace(whole(content_encoding=coding), url=f"https://o.example/{path}"), 0), Refused
    )


def test_whoever_names_it_packed_gets_it_packed() -> None:
    assert verdict(whole(content_encoding="gzip"), 0, name=b"disk.iso.gz") == Whole()


def test_parts_with_and_without_a_coding_are_never_put_together() -> None:
    url = "https://origin.example/x.gz"
    known = known_from(replace(part(0, LENGTH, content_encoding="gzip"), url=url))
    packed = replace(part(500, 600, content_encoding="gzip"), url=url)
    assert verdict(packed, 500, 600, known=known) == WriteAt(500, 600)
    assert isinstance(verdict(replace(part(500, 600), url=url), 500, 600, known=known), NoRanges)


@pytest.mark.parametrize("coding", ["identity", "", "aws-chunked", "utf-8", "binary"])
def test_a_coding_that_does_nothing_is_none(coding: str) -> None:
    assert verdict(whole(content_encoding=coding), 0) == Whole()


# ---- 416, 412


def test_a_416_with_another_length_is_another_version() -> None:
    response = answer(416, content_range="bytes */400")
    assert verdict(response, 500, 600, known=KNOWN) == Replaced("it has 400 bytes, where 1000 were expected")


@pytest.mark.parametrize("content_range", ["bytes */1000", "bytes */*", ""])
def test_a_416_that_shows_no_change_asks_for_the_whole(content_range: str) -> None:
    response = answer(416, content_range=content_range)
    assert isinstance(verdict(response, 500, 600, known=KNOWN), NoRanges)


def test_an_empty_file_has_no_range_and_is_asked_for_without() -> None:
    assert isinstance(verdict(answer(416, content_range="bytes */0"), 0), NoRanges)
    assert verdict(whole(content_length="0")) == Whole()


def test_a_416_to_no_range_is_refused() -> None:
    assert isinstance(verdict(answer(416, content_range="bytes */1000")), Refused)


def test_a_failed_precondition_is_another_version() -> None:
    assert isinstance(verdict(answer(412), 500, 600, known=KNOWN), Replaced)


# ---- waiting


@pytest.mark.parametrize(
    ("retry_after", "after"),
    [
        ("", None),
        ("30", 30.0),
        ("soon", None),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(0, usegmt=True), 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_says_when_to_come_again(status: int, retry_after: str, after: float | None) -> None:
    found = verdict(answer(status, retry_after=retry_after), 0)
    assert isinstance(found, Retry) and found.after == after


# ---- mirrors, and files with a digest


def test_a_mirrors_part_is_known_by_its_length() -> None:
    known = KNOWN.for_mirror()
    assert verdict(part(500, 600, etag='"theirs"'), 500, 600, known=known) == WriteAt(500, 600)
    assert verdict(without(part(500, 600), "etag"), 500, 600, known=known) == WriteAt(500, 600)
    assert isinstance(verdict(part(500, 600, 999), 500, 600, known=known), Replaced)
    assert isinstance(verdict(part(500, 600, "*"), 500, 600, known=known), NoRanges)


# ---- always

junk = st.sampled_from(
    ["", "x", "bytes", "gzip", '"v1"', '"v2"', 'W/"v1"', "text/html", IMAGE, "0", "100", "1000"]
)
ranges = st.builds(
    "bytes {}-{}/{}".format, st.integers(0, 1100), st.integers(0, 1100), st.sampled_from([1000, 999, "*"])
)
answers = st.builds(
    Answer,
    st.sampled_from([200, 206, 416, 412]),
    st.fixed_dictionaries(
        {},
        optional={
            "content-range": ranges | junk,
            "content-length": junk | st.integers(0, 1100).map(str),
            "etag": junk,
            "content-type": junk,
            "content-encoding": junk,
            "transfer-encoding": st.just("chunked"),
        },
    ),
    st.just(URL),
)
asked_ranges = st.none() | st.integers(0, 999)


@given(answers, asked_ranges, st.sampled_from([None, KNOWN]))
def test_nothing_doubtful_is_ever_written(response: Answer, begin: int | None, known: Facts | None) -> None:
    found = verdict(response, begin, known=known)
    headers = response.headers
    if isinstance(found, WriteAt):
        assert response.status == 206 and found.offset == begin
        place, total = headers["content-range"].removeprefix("bytes ").split("/")
        assert place == f"{found.offset}-{found.end - 1}"
        if known is not None:
            assert headers["etag"] == ETAG and total in ("1000", "*") and found.end <= LENGTH
    if isinstance(found, Whole):
        assert not begin and (response.status == 200 or begin is None)
        if known is not None:
            assert headers.get("etag") != '"v2"'
    if isinstance(found, WriteAt | Whole):
        assert headers.get("content-encoding") != "gzip"
        assert headers.get("content-type") != "text/html" or known is None or response.status == 206


@given(
    st.integers(-5, 1100),
    st.dictionaries(st.sampled_from(["retry-after", "location", "content-range"]), st.text()),
)
def test_any_status_has_a_verdict(status: int, headers: dict[str, str]) -> None:
    found = verdict(Answer(status, headers, URL), 0)
    if isinstance(found, Refused | Retry):
        assert found.error.message.isprintable()
    if isinstance(found, Retry) and found.after is not None:
        assert found.after >= 0
