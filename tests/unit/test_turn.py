"""Whose turn it is, and who is ended for doing nothing."""

import asyncio

import pytest

from common.errors import CallerIdle
from indexer.turn import Turn, taking_turns

IDLE_S = 0.1


async def test_a_caller_who_does_nothing_is_ended() -> None:
    with pytest.raises(CallerIdle):
        async with taking_turns(IDLE_S):
            await asyncio.sleep(60)


async def test_it_is_not_the_callers_turn_while_something_is_owed() -> None:
    with pytest.raises(CallerIdle):
        async with taking_turns(IDLE_S) as turn:
            turn.begin()
            with turn.ours():
                await asyncio.sleep(2 * IDLE_S)
            await asyncio.sleep(2 * IDLE_S)
            turn.end()
            await asyncio.sleep(60)


@pytest.mark.parametrize(("size", "kept"), [(1, False), (64 * 1024, True)])
async def test_only_so_much_at_a_time_keeps_a_stream(size: int, kept: bool) -> None:
    async def bring() -> None:
        async with taking_turns(IDLE_S) as turn:
            for _ in range(30):
                turn.brought(size)
                await asyncio.sleep(IDLE_S / 10)

    if kept:
        await bring()
    else:
        with pytest.raises(CallerIdle):
            await bring()


async def test_what_ends_late_disturbs_nobody() -> None:
    held: list[Turn] = []
    with pytest.raises(CallerIdle):
        async with taking_turns(IDLE_S) as turn:
            held.append(turn)
            try:
                await asyncio.sleep(60)
            finally:
                turn.begin()
                turn.end()


async def test_another_time_out_is_not_taken_for_idling() -> None:
    with pytest.raises(TimeoutError, match="the database"):
        async with taking_turns(60):
            raise TimeoutError("the database")
