"""A group key as text, and what follows from it."""

from __future__ import annotations

import hmac
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError, UsageError
from shoal.fetch.group.key import MAX_NAME_LENGTH, GroupKey, new_key, parse_key

NAMES = st.from_regex(rf"[a-z0-9][a-z0-9-]{{0,{MAX_NAME_LENGTH - 1}}}", fullmatch=True)
KEYS = st.builds(GroupKey, NAMES, st.binary(min_size=32, max_size=32))
KEY = GroupKey("home-lab", bytes(range(32)))


def chunks_of(text: str, length: int = 6) -> set[str]:
    digits = text.rpartition("-")[2]
    return {digits[at : at + length] for at in range(len(digits) - length + 1)}


def refused(text: str) -> str:
    """What is said of `text`; none of its digits may be in it."""
    with pytest.raises(FormatError) as caught:
        parse_key(text)
    said = caught.value.message + caught.value.hint
    assert not any(chunk in said for chunk in chunks_of(text))
    return caught.value.message


@given(KEYS)
def test_a_key_comes_back_from_its_text(key: GroupKey) -> None:
    assert parse_key(key.text) == key
    assert parse_key(f"  {key.text}\n") == key


def test_the_text_of_a_key_is_fixed() -> None:
    assert KEY.text == "shoal1-home-lab-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyputnzeqy"


def test_what_follows_from_a_key_is_fixed() -> None:
    """Another version that derives something else would be in another group."""
    assert KEY.meeting_hash.hex() == "811e7641dd2427b70b4cd5be7fc27e7a1d5861e0"
    assert KEY.authority_seed.hex() == "c0490e3071a71b08645a47feb3d1b2c315842dd0b5dd956446d80b4b7c088927"
    assert (
        KEY.pool_hash("http://host.example/file", 1000, '"tag"').hex()
        == "6dfad51960173edda387c2b3e152d4a3998efe50"
    )
    assert KEY.origin_tag("https", "host.example", 443).hex() == "2733e2581e3987c82573eef264e1fead"


@given(KEYS)
def test_what_follows_is_hkdf_of_the_secret_with_the_name_as_salt(key: GroupKey) -> None:
    extracted = hmac.digest(key.name.encode(), key.secret, "sha256")  # RFC 5869
    assert key.meeting_hash == hmac.digest(extracted, b"meeting\1", "sha256")[:20]
    assert key.authority_seed == hmac.digest(extracted, b"authority\1", "sha256")
    identity = hmac.digest(extracted, b"identity\1", "sha256")
    assert (
        key.pool_hash("http://a/b", 7, "x") == hmac.digest(identity, b"l10:http://a/bi7e1:xe", "sha256")[:20]
    )


@given(KEYS, st.data())
def test_one_wrong_character_is_always_noticed(key: GroupKey, data: st.DataObject) -> None:
    text = key.text
    at = data.draw(st.integers(0, len(text) - 1))
    wrong = data.draw(st.sampled_from([c for c in string.printable if c != text[at] and not c.isspace()]))
    refused(text[:at] + wrong + text[at + 1 :])


@given(KEYS, st.data())
def test_two_neighbours_that_changed_places_are_always_noticed(key: GroupKey, data: st.DataObject) -> None:
    text = key.text
    at = data.draw(st.sampled_from([i for i in range(len(text) - 1) if text[i] != text[i + 1]]))
    refused(text[:at] + text[at + 1] + text[at] + text[at + 2 :])


@given(st.text(max_size=120) | st.from_regex(r"shoal1-[a-z0-9-]{1,100}", fullmatch=True))
def test_any_text_is_a_key_or_refused_without_quoting_it(text: str) -> None:
    try:
        key = parse_key(text)
    except FormatError as error:
        assert error.message.startswith("this ")
        return
    assert key.text == text.strip()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this is not a group key"),
        ("hello", "this is not a group key"),
        ("magnet:?xt=urn:btih:abc", "this is not a group key"),
        (KEY.text.replace("shoal1", "shoal2"), "this is not a group key"),
        (KEY.text[:-5], "this group key is incomplete"),
        (KEY.text + "a", "this group key goes on where it should end"),
        (KEY.text.replace("home", "hose"), "this group key is mistyped: its checksum is wrong"),
        (KEY.text[:-1] + "1", "this group key has a character in it that no key has"),
        (KEY.text.upper().replace("SHOAL1-HOME-LAB", "shoal1-home-lab"), "this group key has a character"),
    ],
)
def test_a_wrong_key_is_told_what_is_wrong_with_it(text: str, said: str) -> None:
    assert refused(text).startswith(said)


@given(KEYS)
def test_no_repr_or_text_of_a_key_object_has_the_secret(key: GroupKey) -> None:
    for shown in (repr(key), str(key), f"{key}", repr([key]), repr({"a": key})):
        assert not any(chunk in shown for chunk in chunks_of(key.text))
        assert repr(key.secret)[2:-1] not in shown
        assert key.secret.hex() not in shown


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "ä", "a" * 33, "a/b", "..", "a\n"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a group"):
        new_key(name)


def test_each_new_key_is_another() -> None:
    assert new_key("a").secret != new_key("a").secret


@given(KEYS)
def test_everything_that_follows_from_a_key_is_different(key: GroupKey) -> None:
    other = GroupKey(f"x{key.name[1:31]}y", key.secret)  # the same bits under another name
    follows = [
        *(one.meeting_hash for one in (key, other)),
        *(one.authority_seed[:20] for one in (key, other)),
        *(one.pool_hash("http://a/b", 1, "x") for one in (key, other)),
        key.pool_hash("http://a/b", 2, "x"),
        key.pool_hash("http://a/b1", 1, "x"),
        key.pool_hash("http://a/b", 1, "xy"),
    ]
    assert len(set(follows)) == len(follows)
    assert all(len(one) == 20 for one in follows)


def test_an_origin_is_told_by_scheme_host_and_port() -> None:
    tags = {
        KEY.origin_tag(*where)
        for where in (("http", "a", 80), ("https", "a", 80), ("http", "b", 80), ("http", "a", 81))
    }
    assert len(tags) == 4
    assert KEY.origin_tag("HTTP", "Host", 80) == KEY.origin_tag("http", "host", 80)
