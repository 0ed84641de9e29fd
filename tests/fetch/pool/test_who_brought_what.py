"""Who brought what in this run: fetched from the origin now, or kept from another time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shoal.cli.course import Course, FileCourse
from shoal.fetch.progress import Downloaded, MemberShare

from .hostile import mostly_kept
from .room import HOST, SMALL, RunningHelper, made_up, room


def run(story) -> None:
    asyncio.run(story)


def name_of(helper: RunningHelper) -> str:
    return f"{HOST}:{helper.port}"


def records_of(got: Downloaded) -> list[dict[str, object]]:
    return FileCourse(got.path, got.length, sources=got.sources, members=got.members).source_records()


def test_what_members_fetch_now_they_did_not_have(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(made_up(SMALL), rate=here.slow)
            await here.helper()
            await here.helper()
            got = await here.get(connections=2)
            assert sum(one.brought for one in got.members) == SMALL
            assert [one.had for one in got.members] == [0, 0, 0]

    run(story())


def test_what_comes_out_of_a_cache_is_its_keeper_s_whoever_fetched_it_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(made_up(SMALL), rate=here.slow)
            helper = await here.helper(cache_size=4 * SMALL)
            first = await here.get(connections=2)
            assert {one.name for one in first.members} == {"this machine", name_of(helper)}
            await mostly_kept(here, SMALL)
            for number in (None, 1):  # another machine, and the one that fetched some of it
                sent = here.origin.sent
                got = await here.get(connections=2, number=number, overwrite=True)
                ours, theirs = got.members
                assert theirs.name == name_of(helper)
                assert ours.brought + theirs.brought == SMALL
                assert ours.brought <= here.origin.sent - sent < SMALL // 2
                assert theirs.had > SMALL // 2
                assert ours.had == 0

    run(story())


def test_the_records_add_up_to_the_file_and_say_what_the_lines_say(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here:
            here.serve(made_up(SMALL), rate=here.slow)
            await here.helper()
            got = await here.get(connections=2)
            records = records_of(got)
            assert sum(one["bytes"] for one in records) == SMALL  # type: ignore[misc]
            assert [one["bytes"] for one in records] == sorted(
                (one.brought for one in got.members), reverse=True
            )

    run(story())


def test_servers_share_what_came_from_servers() -> None:
    members = (MemberShare("this machine", 70, 0), MemberShare("elsewhere", 30, 10))
    course = FileCourse(Path("f"), 100, sources=(("mirror", 25), ("origin", 50)), members=members)
    assert [(one["kind"], one["address"], one["bytes"]) for one in course.source_records()] == [
        ("origin", "origin", 47),
        ("member", "elsewhere", 30),
        ("origin", "mirror", 23),
    ]


def test_the_sources_of_a_command_are_in_order_over_all_its_files_and_who_gave_nothing_is_none() -> None:
    whole = Course(Path())
    whole.files.append(FileCourse(Path("a"), 30, sources=(("first", 10), ("idle", 0), ("second", 20))))
    whole.files.append(FileCourse(Path("b"), 15, sources=(("third", 15),)))
    sources = [(one["address"], one["bytes"]) for one in whole.record()["sources"]]
    assert sources == [("second", 20), ("third", 15), ("first", 10)]
