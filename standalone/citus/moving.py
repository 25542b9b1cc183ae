"""Moving events to other nodes while they are searched and written to."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from common.errors import SetupError
from common.names import EventName
from standalone.citus.repository import Address, CitusRepository

Say = Callable[[str], None]
_LOOK_S = 1.0
_ENDED = ("finished", "failed", "cancelled")


class Moving:
    """Does one thing at a time. watch: asks while `citus` is at work."""

    def __init__(self, citus: CitusRepository, watch: CitusRepository, say: Say) -> None:
        self._citus = citus
        self._watch = watch
        self._say = say

    async def move(self, event: EventName, to: Address, *, alone: bool) -> None:
        """Move an event's own table, where it has one, and the shard with its rows; nothing where
        they are there already. alone: take its rows out of that shard first. Raises
        SetupError."""
        nodes = [node.address for node in await self._citus.nodes() if node.takes_shards]
        if to not in nodes:
            known = ", ".join(map(str, nodes))
            raise SetupError(f"{to} is no node that takes shards; those are {known}")
        found = await self._citus.event(event.key)
        if found is None or found[0] != event.event:
            raise SetupError(f"there is no event {event}")
        if found[1] is not None:
            await self._move_schema(found[1], to)
        await self._move_rows(event, to, alone=alone)

    async def _move_schema(self, schema: str, to: Address) -> None:
        if (await self._citus.place_of_schema(schema)).address == to:
            self._say(f"{schema} is on {to} already")
            return
        self._say(f"moving {schema} to {to}")
        await self._watched(self._citus.move_schema(schema, to))

    async def _move_rows(self, event: EventName, to: Address, *, alone: bool) -> None:
        place = await self._citus.place_of_event(event.key)
        if place.address == to:
            self._say(f"the rows of {event} are on {to} already")
            return
        if alone and not place.alone:
            self._say(f"giving {event} shards of its own; who writes to its present ones waits")
            await self._citus.isolate(event.key)
            place = await self._citus.place_of_event(event.key)
        others = await self._citus.events_in(place) - 1
        along = f", and {others} others in its shard," if others else ""
        self._say(f"moving {event}{along} from {place.address} to {to}")
        await self._watched(self._citus.move_shard(place, to))

    async def rebalance(self) -> None:
        """Spread shards until the nodes have about as much each; returns once that is done. Raises
        SetupError where it fails."""
        await self._citus.rebalance()
        told = ""
        while True:
            state, details = await self._citus.rebalancing()
            if (said := f"{state} {details}".strip()) != told:
                told = said
                self._say(said or "nothing to move")
            if state in ("", *_ENDED):
                break
            await asyncio.sleep(_LOOK_S)
        if state in _ENDED[1:]:
            raise SetupError(f"rebalancing {state}: {details}")

    async def _watched(self, work: Awaitable[None]) -> None:
        """Say how far it is until it is done."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=_LOOK_S)
                if not task.done():
                    arrived, every = await self._watch.arrived()
                    self._say(f"  {arrived / 1e6:.1f} of {every / 1e6:.1f} MB")
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await task
