from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shoal.tracker.connection_ids import ID_LENGTH, WINDOW_SECONDS, ConnectionIds

HOST, OTHER = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
SECRET = b"s" * 32
hosts = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
moments = st.floats(0, 10**9)


@given(hosts, moments, st.floats(0, WINDOW_SECONDS))
def test_an_id_is_good_for_its_minute(host: bytes, made_at: float, age: float) -> None:
    ids = ConnectionIds(SECRET)
    assert ids.is_valid(ids.make(host, made_at), host, made_at + age)


@given(hosts, moments, st.floats(2 * WINDOW_SECONDS + 0.001, 10**6))
def test_an_id_is_good_for_two_minutes_at_most(host: bytes, made_at: float, age: float) -> None:
    ids = ConnectionIds(SECRET)
    assert not ids.is_valid(ids.make(host, made_at), host, made_at + age)


def test_the_window_before_is_taken_and_the_one_before_that_is_not() -> None:
    ids = ConnectionIds(SECRET)
    early = ids.make(HOST, 10.0)
    assert ids.is_valid(early, HOST, 59.9)
    assert ids.is_valid(early, HOST, 119.9)
    assert not ids.is_valid(early, HOST, 120.0)


def test_an_id_of_the_time_to_come_is_not_taken() -> None:
    late = ConnectionIds(SECRET).make(HOST, 60.0)
    assert not ConnectionIds(SECRET).is_valid(late, HOST, 59.9)


def test_an_id_is_good_for_its_own_address_only() -> None:
    ids = ConnectionIds(SECRET)
    assert not ids.is_valid(ids.make(HOST, 0.0), OTHER, 0.0)
    mapped = bytes(10) + b"\xff\xff" + HOST
    assert not ids.is_valid(ids.make(HOST, 0.0), mapped, 0.0)


def test_who_shares_the_secret_knows_the_id_and_nobody_else_does() -> None:
    made = ConnectionIds(SECRET).make(HOST, 0.0)
    assert ConnectionIds(SECRET).is_valid(made, HOST, 0.0)
    assert not ConnectionIds(b"t" * 32).is_valid(made, HOST, 0.0)


@given(st.binary(max_size=16))
def test_what_was_never_made_is_not_taken(guess: bytes) -> None:
    ids = ConnectionIds(SECRET)
    assert ids.is_valid(guess, HOST, 0.0) == (guess == ids.make(HOST, 0.0))


def test_ids_differ_between_addresses_and_windows() -> None:
    ids = ConnectionIds(SECRET)
    made = {
        ids.make(bytes([10, 0, a, b]), window * 60.0)
        for window in range(4)
        for a in range(8)
        for b in range(64)
    }
    assert len(made) == 4 * 8 * 64 and {len(each) for each in made} == {ID_LENGTH}
