"""The UDP door over real sockets: IPv4 and IPv6, with each kind of datagram socket."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from shoal.net.addresses import pack_host
from shoal.net.datagrams import BATCH
from shoal.protocol.tracker.messages import AnnounceRequest, Event, ScrapeEntry, TrackerFailure
from shoal.protocol.tracker.udp import (
    MAX_DATAGRAM,
    MAX_SCRAPE_HASHES,
    MOST_PEERS_V6,
    PROTOCOL_ID,
    Announced,
    Connected,
    ErrorAnswer,
    Scraped,
    encode_announce,
    encode_connect,
    encode_scrape,
    parse_answer,
)
from shoal.tracker.decision import MAX_NUMWANT, NO_KEY, NOT_SERVED, UNKNOWN_KEY, Policy

from .udp_scene import HASH, OPEN, PATIENCE, Scene, Talker, announcing

Story = Callable[[Scene], Awaitable[None]]
KEY = b"0123456789abcdef0123456789abcdef"


@pytest.fixture(params=["127.0.0.1", "::1"], ids=["ipv4", "ipv6"])
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=OPEN)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def play(story: Story, scene: Scene, run: Callable[..., None] = asyncio.run) -> None:
    async def whole() -> None:
        async with scene.open():
            await story(scene)

    run(whole())


async def expect_silence(talker: Talker) -> None:
    """Nothing was answered to what was sent so far: the next answer is that of the next question."""
    await talker.connect()


# -- what is answered --------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_peers_meet_and_part(host: str, kind: str, run: Callable[..., None]) -> None:
    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            connection_id = await talker.connect()
            first = await talker.announce(connection_id, announcing(1001, event=Event.STARTED))
            assert isinstance(first, Announced)
            assert (first.response.complete, first.response.incomplete, first.response.peers) == (0, 1, [])
            assert 540 <= (first.response.interval or 0) <= 660
            second = await talker.announce(connection_id, announcing(1002))
            assert isinstance(second, Announced)
            assert second.response.peers == [(host, 1001)]
            await talker.announce(connection_id, announcing(1001, event=Event.STOPPED))
            third = await talker.announce(connection_id, announcing(1002))
            assert isinstance(third, Announced)
            assert third.response.peers == []

    play(story, Scene(host, kind), run)


def test_a_scrape_tells_the_sizes_in_the_order_of_the_question(host: str, kind: str) -> None:
    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            connection_id = await talker.connect()
            seed = AnnounceRequest(HASH, bytes(20), 1001, left=0)
            await talker.announce(connection_id, seed)
            scraped = await talker.scrape(connection_id, bytes(20), HASH, b"x" * 20)
            assert scraped == Scraped((ScrapeEntry(), ScrapeEntry(complete=1), ScrapeEntry()))
            many = await talker.scrape(connection_id, *[HASH] * MAX_SCRAPE_HASHES)
            assert many == Scraped((ScrapeEntry(complete=1),) * MAX_SCRAPE_HASHES)

    play(story, Scene(host, kind))


def test_the_address_in_an_announce_is_not_believed() -> None:
    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            connection_id = await talker.connect()
            lie = bytearray(encode_announce(connection_id, talker.new_transaction(), announcing(1001)))
            lie[84:88] = bytes([192, 0, 2, 66])
            talker.send(bytes(lie))
            await talker.answer()
            told = await talker.announce(connection_id, announcing(1002))
            assert isinstance(told, Announced) and told.response.peers == [("127.0.0.1", 1001)]

    play(story, Scene())


def test_a_refusal_is_an_error_with_its_reason() -> None:
    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            connection_id = await talker.connect()
            assert await talker.announce(connection_id, announcing(1001)) == ErrorAnswer(NOT_SERVED.reason)

    play(story, Scene(policy=Policy(only={b"another torrent is it"[:20]})))


def test_a_passkey_comes_in_the_path_of_the_url() -> None:
    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            connection_id = await talker.connect()

            async def asked(url_data: bytes) -> object:
                return await talker.announce(connection_id, announcing(1001), url_data)

            assert isinstance(await asked(b"/%b/announce" % KEY), Announced)
            assert isinstance(await asked(b"/%b/announce?x=%b" % (KEY, b"y" * 300)), Announced)
            assert await asked(b"") == ErrorAnswer(NO_KEY.reason)
            assert await asked(b"/announce") == ErrorAnswer(NO_KEY.reason)
            assert await asked(b"/%b/announce" % KEY[::-1]) == ErrorAnswer(UNKNOWN_KEY.reason)
            assert await talker.scrape(connection_id, HASH) == ErrorAnswer(NO_KEY.reason)

    play(story, Scene(policy=Policy(passkeys={KEY: "anna"})))


@pytest.mark.parametrize("numwant", [MAX_NUMWANT, 10**6])
def test_an_answer_with_the_most_peers_leaves_in_one_packet(host: str, numwant: int) -> None:
    async def story(scene: Scene) -> None:
        packed = pack_host(host)
        for port in range(1, 400):
            scene.tracker.announce(announcing(port), packed, b"", scene.clock())
        with scene.talker() as talker:
            talker.send(
                encode_announce(
                    await talker.connect(), talker.new_transaction(), announcing(500, numwant=numwant)
                )
            )
            datagram = await talker.receive()
            assert len(datagram) <= MAX_DATAGRAM
            answer = parse_answer(datagram, is_v6=talker.is_v6)
            assert isinstance(answer, Announced)
            assert len(answer.response.peers) == (MOST_PEERS_V6 if talker.is_v6 else MAX_NUMWANT)

    play(story, Scene(host))


# -- who is answered ---------------------------------------------------------------------------------


def test_an_id_that_was_never_given_is_not_answered(host: str, kind: str) -> None:
    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            connection_id = await talker.connect()
            for wrong in (bytes(8), PROTOCOL_ID, connection_id[:7] + bytes([connection_id[7] ^ 1])):
                talker.send(encode_announce(wrong, b"lost", announcing(1001)))
                talker.send(encode_scrape(wrong, b"lost", [HASH]))
            await expect_silence(talker)
            assert scene.door.counters.dropped == 6
            assert scene.tracker.counters.announces == scene.tracker.counters.scrapes == 0

    play(story, Scene(host, kind))


def test_an_id_of_the_window_before_is_taken_and_an_older_one_is_not() -> None:
    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            scene.clock.advance(59)
            connection_id = await talker.connect()
            scene.clock.advance(60)
            assert isinstance(await talker.announce(connection_id, announcing(1001)), Announced)
            scene.clock.advance(1)
            talker.send(encode_announce(connection_id, b"lost", announcing(1001)))
            await expect_silence(talker)

    play(story, Scene())


def test_an_id_is_good_for_all_ports_of_its_address() -> None:
    async def story(scene: Scene) -> None:
        with scene.talker() as asking, scene.talker() as using:
            connection_id = await asking.connect()
            assert isinstance(await using.announce(connection_id, announcing(1001)), Announced)

    play(story, Scene())


ODD = {
    "nothing": b"",
    "a byte": b"\0",
    "a head that is cut": PROTOCOL_ID + b"\0\0\0\0" + b"tra",
    "another protocol": bytes(8) + b"\0\0\0\0" + b"tran",
    "an announce without an id": PROTOCOL_ID + b"\0\0\0\1" + b"tran" + bytes(82),
    "a text": b"GET /announce HTTP/1.1\r\n\r\n",
    "a DHT ping": b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
    "a long one": bytes(range(256)) * 10,
}


@pytest.mark.parametrize("name", ODD)
def test_what_cannot_be_valid_is_not_answered(name: str, kind: str) -> None:
    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            talker.send(ODD[name])
            await expect_silence(talker)
            assert scene.door.counters.dropped == 1

    play(story, Scene(kind=kind))


def test_with_a_valid_id_nonsense_is_not_answered_either() -> None:
    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            connection_id = await talker.connect()
            asked = encode_announce(connection_id, b"lost", announcing(1001))
            odd = [
                asked[:97],
                asked[:83] + b"\x09" + asked[84:],
                asked + b"\x02\x20cut",
                encode_announce(connection_id, b"lost", announcing(1001), b"p" * 1025),
                encode_scrape(connection_id, b"lost", []),
                encode_scrape(connection_id, b"lost", [HASH, b"short"]),
                encode_scrape(connection_id, b"lost", [HASH] * (MAX_SCRAPE_HASHES + 1)),
                connection_id + b"\0\0\0\3lost",
                connection_id + b"\0\0\0\0lost",
            ]
            for datagram in odd:
                talker.send(datagram)
            await expect_silence(talker)
            assert scene.door.counters.dropped == len(odd)

    play(story, Scene())


@pytest.mark.parametrize("seed", range(3))
def test_without_a_valid_id_no_answer_is_longer_than_its_question(seed: int, host: str) -> None:
    rng = random.Random(seed)

    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            for _ in range(300):
                head = rng.choice([PROTOCOL_ID, rng.randbytes(8)]) + rng.choice(
                    [b"\0\0\0\0", b"\0\0\0\1", b"\0\0\0\2", rng.randbytes(4)]
                )
                datagram = (head + rng.randbytes(rng.randrange(120)))[: rng.randrange(130)]
                talker.send(datagram)
                talker.send(encode_connect(b"next"))
                answers = [await talker.receive()]
                while not answers[-1].startswith(b"\0\0\0\0next"):
                    answers.append(await talker.receive())
                assert len(answers) <= 2
                assert all(len(answer) <= len(datagram) for answer in answers[:-1])
            assert scene.tracker.counters.announces == scene.tracker.counters.scrapes == 0

    play(story, Scene(host))


def test_connects_leave_nothing_behind() -> None:
    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            connection_ids = {await talker.connect() for _ in range(100)}
            assert len(connection_ids) == 1
            assert scene.door._replies == []
            assert scene.tracker.store.count(0.0).swarms == 0  # type: ignore[union-attr]

    play(story, Scene())


# -- many at once, later answers, the end ------------------------------------------------------------


def test_more_than_a_batch_is_answered_in_order(host: str, kind: str) -> None:
    count = 3 * BATCH + 5

    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            for number in range(count):  # the loop does not run meanwhile, so they wait in a row
                talker.send(encode_connect(number.to_bytes(4, "big")))
            answers = [await talker.receive() for _ in range(count)]
            assert [int.from_bytes(answer[4:8], "big") for answer in answers] == list(range(count))
            assert {parse_answer(answer, is_v6=talker.is_v6) for answer in answers} == {
                Connected(await talker.connect())
            }
            assert scene.door.counters.connects == scene.door.counters.answered == count + 1

    play(story, Scene(host, kind))


def test_good_ones_among_bad_ones_are_answered(kind: str) -> None:
    async def story(scene: Scene) -> None:
        with scene.talker() as talker:
            connection_id = await talker.connect()
            for number in range(200):
                asked = encode_announce(connection_id, number.to_bytes(4, "big"), announcing(1000 + number))
                talker.send(asked if number % 3 else asked[: number % 98])
            answers = [await talker.receive() for _ in range(133)]
            assert [int.from_bytes(answer[4:8], "big") for answer in answers] == [
                number for number in range(200) if number % 3
            ]
            assert scene.door.counters.dropped == 67

    play(story, Scene(kind=kind))


class LateTracker:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[TrackerFailure]] = []

    def announce(self, *_: object) -> asyncio.Future[TrackerFailure]:
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    scrape = announce

    async def asked(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.futures) < count:  # noqa: ASYNC110 - only the loop can say
                await asyncio.sleep(0)


def test_answers_that_come_later_go_to_whoever_asked() -> None:
    async def story(scene: Scene) -> None:
        late = LateTracker()
        scene.door._tracker = late  # type: ignore[assignment]
        with scene.talker() as first, scene.talker() as second:
            connection_id = await first.connect()
            first.send(encode_announce(connection_id, b"frst", announcing(1001)))
            await late.asked(1)
            second.send(encode_scrape(connection_id, b"scnd", [HASH]))
            await late.asked(2)
            late.futures[1].set_result(TrackerFailure("to the second"))
            assert (await second.receive())[4:] == b"scndto the second"
            late.futures[0].set_result(TrackerFailure("to the first"))
            assert (await first.receive())[4:] == b"frstto the first"

    play(story, Scene())


def test_an_answer_that_comes_after_the_end_goes_nowhere() -> None:
    async def story() -> None:
        late, scene = LateTracker(), Scene()
        async with scene.open():
            scene.door._tracker = late  # type: ignore[assignment]
            with scene.talker() as talker:
                talker.send(encode_announce(await talker.connect(), b"tran", announcing(1001)))
                await late.asked(1)
        late.futures[0].set_result(TrackerFailure("too late"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert scene.door.counters.answered == 1

    asyncio.run(story())


def test_a_mistake_of_ours_costs_nobody_else_an_answer(kind: str) -> None:
    async def story(scene: Scene) -> None:
        heard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: heard.append(context["exception"])
        )
        with scene.talker() as talker, pytest.MonkeyPatch.context() as patch:
            connection_id = await talker.connect()
            patch.setattr(scene.tracker, "announce", lambda *_: [][0])
            talker.send(encode_announce(connection_id, talker.new_transaction(), announcing(1)))
            await expect_silence(talker)
        assert [type(error) for error in heard] == [IndexError]
        assert scene.door.counters.dropped == 1

    play(story, Scene(kind=kind))
