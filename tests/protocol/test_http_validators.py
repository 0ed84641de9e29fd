from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.protocol.http.validators import MAX_ETAG_LENGTH, Validator, is_same_version, validator_of

WRITTEN = 1_600_000_000


def dated(modified_at: int, age: int) -> dict[str, str]:
    return {
        "last-modified": formatdate(modified_at, usegmt=True),
        "date": formatdate(modified_at + age, usegmt=True),
    }


@pytest.mark.parametrize(
    "etag",
    [
        '"5f5e1000-264"',
        '"d41d8cd98f00b204e9800998ecf8427e-12"',
        '"0x8D8A2F3B4C5D6E7"',
        '"a b"',
        '"' + "é" * 8 + '"',
        '"-"',
    ],
)
def test_a_strong_etag_is_a_validator(etag: str) -> None:
    assert validator_of({"etag": f" {etag} "}) == Validator(etag)


@pytest.mark.parametrize(
    "etag",
    [
        'W/"abc"',
        'w/"abc"',
        '""',
        "",
        "abc",
        '"abc',
        'abc"',
        '"a"b"',
        '"a", "b"',
        "'abc'",
        '"a\x00"',
        '"' + "a" * MAX_ETAG_LENGTH + '"',
    ],
)
def test_what_is_no_strong_etag_is_no_validator(etag: str) -> None:
    assert validator_of({"etag": etag}) is None


@pytest.mark.parametrize(("age", "is_strong"), [(-5, False), (0, False), (1, True), (2, True), (10**6, True)])
def test_a_time_counts_once_its_second_is_over(age: int, is_strong: bool) -> None:
    expected = Validator(modified_at=WRITTEN) if is_strong else None
    assert validator_of(dated(WRITTEN, age)) == expected


def test_a_time_without_a_date_to_compare_is_no_validator() -> None:
    assert validator_of({"last-modified": formatdate(WRITTEN, usegmt=True)}) is None


def test_beside_a_weak_etag_the_time_counts() -> None:
    assert validator_of(dated(WRITTEN, 60) | {"etag": 'W/"abc"'}) == Validator(modified_at=WRITTEN)


def test_an_etag_made_of_the_time_is_no_stronger_than_the_time() -> None:
    etag = f'"{WRITTEN:x}-264"'
    assert validator_of(dated(WRITTEN, 0) | {"etag": etag}) is None
    assert validator_of(dated(WRITTEN, 1) | {"etag": etag}) == Validator(etag, WRITTEN)


def test_an_etag_of_its_own_counts_in_the_first_second() -> None:
    assert validator_of(dated(WRITTEN, 0) | {"etag": '"abc"'}) == Validator('"abc"')


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Validator('"a"'), Validator('"a"'), True),
        (Validator('"a"'), Validator('"b"'), False),
        (Validator('"a"'), Validator('"A"'), False),
        (Validator('"a"', 1), Validator('"a"', 2), True),
        (Validator('"a"', 1), Validator('"b"', 1), False),
        (Validator('"a"', 1), Validator(None, 1), True),
        (Validator('"a"', 1), Validator(None, 2), False),
        (Validator('"a"'), Validator(None, 2), None),
        (Validator(None, 1), Validator(None, 1), True),
        (Validator('"a"'), None, None),
        (None, None, None),
        (Validator('"a-gzip"'), Validator('"a"'), True),
        (Validator('"a--gzip"'), Validator('"a"'), True),
        (Validator('"a;gzip"'), Validator('"a-br"'), True),
        (Validator('"gzip"'), Validator('"br"'), False),
    ],
)
def test_whether_two_responses_are_of_the_same_bytes(
    one: Validator | None, other: Validator | None, expected: bool | None
) -> None:
    assert is_same_version(one, other) is expected
    assert is_same_version(other, one) is expected


def test_what_is_remembered_is_the_same_for_the_same_file() -> None:
    assert Validator('"a-gzip"', 5).text == Validator('"a"').text == 'etag "a"'
    assert Validator(modified_at=5).text == "modified 5"


validators = st.builds(
    Validator, st.none() | st.sampled_from(['"a"', '"b"', '"a-gzip"']), st.none() | st.integers(1, 3)
).filter(lambda validator: validator != Validator())


@given(validators, validators)
def test_what_is_remembered_alike_is_never_of_other_bytes(one: Validator, other: Validator) -> None:
    if one.text == other.text:
        assert is_same_version(one, other)
