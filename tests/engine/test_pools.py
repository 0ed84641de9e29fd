"""Torrents without a metainfo, over real sockets: extensions, pieces from elsewhere, disputes, and partings."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from shoal.engine.engine import Engine
from shoal.errors import ExistsError
from shoal.formats.bitfield import all_bits, iter_bits
from shoal.formats.layout import Layout
from shoal.net.sockets import Address
from shoal.swarm.blame import digest_blocks
from shoal.swarm.known_peers import Source
from shoal.swarm.tactics import Tactics
from shoal.units import MIB

from .pooling import ALL, DATA, LAYOUT, Memory, Stage, Telling, Told, piece_data, take_part
from .scene import HOST, LOOPS, PATIENCE, Record, Scene, finish, play, until
from .test_greetings import connect_raw, read_to_end

PEER_ID = b"-XX0000-abcdefghijkl"


@pytest.mark.parametrize("loop", LOOPS)
def test_what_one_has_spreads_by_digests_that_it_tells(loop: str) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            source = await stage.member(have=ALL)
            getter = await stage.member(source.address)
            await finish(getter.torrent)
            assert bytes(getter.store.data) == DATA
            assert getter.telling.events[:3] == [
                ("joining", 0),
                ("message", set(range(LAYOUT.piece_count))),
                ("has", set(range(LAYOUT.piece_count))),
            ]
            assert sorted(getter.telling.of("ours")) == list(range(LAYOUT.piece_count))
            await until(lambda: source.telling.of("has") != [] and getter.telling.ticks > 0)
            assert getter.torrent.have_bytes == len(DATA)

    play(story(), loop=loop)


def test_pieces_from_elsewhere_spread_and_their_digests_come_before_them() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            one = await stage.member()
            other = await stage.member(one.address)
            await until(lambda: bool(one.telling.neighbours) and bool(other.telling.neighbours))
            one.bring(range(0, LAYOUT.piece_count, 2))
            other.bring(range(1, LAYOUT.piece_count, 2))
            await finish(one.torrent)
            await finish(other.torrent)
            assert bytes(one.store.data) == bytes(other.store.data) == DATA
            for member in (one, other):
                known: set[int] = set()
                for event, pieces in member.telling.events:
                    if event == "message":
                        known |= pieces
                    elif event == "has":
                        assert pieces <= known

    play(story())


def test_a_piece_from_elsewhere_is_taken_in_whatever_its_state_and_only_once() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            member = await stage.member(wanted=all_bits(3))
            member.torrent.resume(0b010)
            member.bring([0, 1, 5])  # suspended, missing, unwanted
            member.bring([0, 1, 5])
            assert member.telling.of("ours") == [0, 1, 5]
            assert member.have == 0b100011
            assert not member.torrent.completed.is_set()
            member.bring([2])
            assert member.torrent.completed.is_set()

    play(story())


def test_a_piece_that_comes_from_elsewhere_while_neighbours_send_it_is_not_fetched_twice() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            engine = await stage.engine(max_upload_rate=MIB // 4)
            source = await take_part(engine, have=ALL)
            getter = await stage.member(source.address)
            in_flight = getter.torrent.swarm.pieces.in_flight
            await until(lambda: len(in_flight) > 1)
            begun = list(in_flight)
            getter.bring(begun)
            assert not set(begun) & set(in_flight)
            getter.bring(list(iter_bits(getter.torrent.swarm.pieces.needed)))
            assert getter.torrent.completed.is_set()
            assert bytes(getter.store.data) == DATA
            assert getter.torrent.ledger.received < len(DATA) // 2

    play(story())


def test_a_suspended_piece_is_not_asked_for_until_it_is_resumed() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            source = await stage.member(have=ALL)
            silent = Telling()
            getter = await stage.member(telling=silent)
            on_message = silent.on_message

            def heed(neighbour: object, payload: bytes) -> None:
                on_message(neighbour, payload)  # type: ignore[arg-type]
                getter.torrent.suspend(0b111)

            silent.on_message = heed  # type: ignore[method-assign,assignment]
            getter.torrent.dialling.learn([source.address], Source.HAND)
            await until(lambda: getter.have == ALL & ~0b111)
            ticks = silent.ticks
            await until(lambda: silent.ticks > ticks + 1)
            assert getter.have == ALL & ~0b111
            assert not getter.torrent.swarm.pieces.in_flight
            getter.torrent.resume(0b111)
            await finish(getter.torrent)
            assert bytes(getter.store.data) == DATA

    play(story())


def test_what_was_lost_comes_again_from_those_who_believe_that_we_have_it() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            source = await stage.member(have=ALL)
            getter = await stage.member(source.address)
            await finish(getter.torrent)
            source.store.write(0, bytes(LAYOUT.piece_length))
            source.torrent.resume(0b1)
            source.torrent.lose(0b1)
            assert not source.torrent.swarm.pieces.have & 0b1
            assert not source.torrent.completed.is_set()
            await finish(source.torrent)
            assert bytes(source.store.data) == DATA

    play(story())


def test_a_piece_that_came_anew_with_other_bytes_is_not_served_from_memory() -> None:
    """A record was false, and everybody believed it: the piece goes, and the right one takes its place."""

    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            source = await stage.member(have=ALL)
            false = bytes(LAYOUT.piece_length)
            source.store.write(0, false)
            source.telling.here[0] = hashlib.sha256(false).digest()
            getter = await stage.member(source.address)
            await finish(getter.torrent)
            assert bytes(getter.store.data) == false + DATA[len(false) :]
            source.torrent.suspend(0b1)
            source.torrent.lose(0b1)
            source.bring([0])
            late = await stage.member(source.address)
            await finish(late.torrent)
            assert bytes(late.store.data) == DATA
            assert late.record.of("bad piece") == []

    play(story())


def test_a_member_that_sends_wrong_bytes_is_named() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            liar = await stage.member(have=ALL)
            liar.store.write(0, bytes(len(DATA)))
            honest = await stage.member(have=ALL)
            getter = await stage.member(liar.address, honest.address)
            await finish(getter.torrent)
            assert bytes(getter.store.data) == DATA
            await until(lambda: bool(getter.record.banned()))
            ports = {address.rpartition(":")[2] for address in getter.record.banned()}
            assert ports == {str(liar.torrent.engine.port)}

    play(story())


def test_evidence_against_two_senders_is_judged_when_the_piece_comes_from_elsewhere() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            member = await stage.member()
            swarm = member.torrent.swarm
            good = digest_blocks(memoryview(piece_data(0)), 16 * 1024)
            senders = {("10.0.0.1", 1): 0b0011, ("10.0.0.2", 1): 0b1100}
            swarm.blame.on_bad_piece(0, senders, [b"wrong", *good[1:]])
            member.bring([0])
            await until(lambda: bool(member.record.banned()))
            assert member.record.banned() == ["10.0.0.1:1"]

    play(story())


def test_those_who_want_nothing_stay_together_in_a_pool() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            helper = await stage.member(wanted=0)
            other = await stage.member(helper.address, wanted=0)
            complete = await stage.member(helper.address, other.address, have=ALL)
            await until(
                lambda: all(len(member.telling.neighbours) == 2 for member in (helper, other, complete))
            )
            ticks = helper.telling.ticks
            await until(lambda: helper.telling.ticks > ticks + 1)
            assert all(not member.telling.of("parted") for member in (helper, other, complete))

    play(story())


def test_a_meeting_has_no_pieces_and_goes_on_all_the_same() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            tellings = [Telling("test_meet"), Telling("test_meet")]
            addresses: list[Address] = []
            for telling in tellings:
                engine = await stage.engine()
                telling.content.layout = Layout(1 * MIB, [])
                telling.torrent = await engine.run(
                    telling.content,
                    Memory(b""),
                    extensions=[telling],
                    tactics=Tactics.pool(),
                    peers=addresses,
                )
                addresses.append((HOST, engine.port))
            await until(lambda: all(telling.neighbours for telling in tellings))
            tellings[1].neighbours[0].say("test_meet", bytes(36))
            tellings[1].neighbours[0].say("test_other", bytes(36))  # which the other never named
            await until(lambda: tellings[0].of("message")[-1:] == [{0}])
            ticks = tellings[0].ticks
            await until(lambda: tellings[0].ticks > ticks + 1)
            assert all(telling.neighbours for telling in tellings)

    play(story())


# ---- running, removing


def test_one_torrent_is_removed_while_another_goes_on(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            engine = await stage.engine()
            pool = await take_part(engine, have=ALL)
            torrent = await engine.add(
                scene.metainfo, scene.folder("seed", with_payload=True), read_only=True
            )
            getter = await stage.member(pool.address)
            await until(lambda: bool(pool.telling.neighbours))
            greeting = connect_raw(pool.address)
            await until(lambda: len(engine.neighbours_of(pool.torrent)) == 2)
            await asyncio.gather(engine.remove(pool.torrent), engine.remove(pool.torrent))
            assert pool.store.is_closed
            assert pool.telling.of("parted") == ["we are leaving"]
            assert engine.torrents == {torrent.info_hash: torrent}
            await asyncio.to_thread(read_to_end, greeting)
            await until(lambda: not getter.telling.neighbours)
            async with scene.getting(peers=[(HOST, engine.port)]) as got:
                await finish(got)
            again = await take_part(engine, have=ALL)
            assert again.torrent is not pool.torrent
            assert scene.got() == scene.data

    play(story())


def test_a_store_is_not_closed_while_something_is_written_to_it() -> None:
    """A piece is being checked; it comes another way; the torrent stops; the check ends."""

    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            source = await stage.member(have=ALL)
            getter = await stage.member()
            may_go_on, looks_at = threading.Event(), list[int]()
            is_good = getter.telling.content.is_good

            def slowly(piece: int, data: memoryview) -> bool:
                looks_at.append(piece)
                may_go_on.wait(PATIENCE)
                return is_good(piece, data)

            getter.telling.content.is_good = slowly  # type: ignore[method-assign]
            getter.torrent.dialling.learn([source.address], Source.HAND)
            await until(lambda: bool(looks_at))
            getter.bring(looks_at[:])
            stopping = asyncio.ensure_future(getter.torrent.engine.remove(getter.torrent))
            await until(lambda: getter.telling.of("parted") == ["we are leaving"])
            assert not getter.store.is_closed
            may_go_on.set()
            await stopping
            assert getter.store.is_closed
            assert not getter.torrent.failed.done()

    play(story())


def test_what_runs_already_runs_once() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            member = await Stage(stack).member()
            store = Memory()
            with pytest.raises(ExistsError, match="a pool: this is running already"):
                await member.torrent.engine.run(Told(), store)
            assert not store.is_closed

    play(story())


def test_a_content_that_cannot_run_is_a_bug_of_its_owner() -> None:
    async def story() -> None:
        async with Engine(bind=HOST, port=0) as engine:
            content = Told()
            with pytest.raises(ValueError, match="a secured torrent needs an engine with a security"):
                await engine.run(content, Memory(), is_secured=True, report=Record())
            content.layout = Layout(32 * MIB, [64 * MIB])
            with pytest.raises(ValueError, match="pieces of 33554432 bytes; the limit is 16777216"):
                await engine.run(content, Memory())

    play(story())
