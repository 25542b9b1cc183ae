"""Comparing a journal with what the database holds and the servers answer."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from facepass import AsyncClient, FacePassError
from journal import Story, stories

_INDEXED = {
    "photo": ("event_id, photo_no", "event_id, photo_id"),
    "face": ("event_id, pack_id, face_no", "event_id, photo_no"),
}
_WAYS = {
    "Seq Scan": ("indexscan", "indexonlyscan", "bitmapscan"),
    "Index Scan": ("seqscan", "bitmapscan"),
}
_AT_A_TIME = 8


@dataclass
class Audit:
    """What is wrong with one event, in words, and what was looked at."""

    stories: Sequence[Story]
    acknowledged: int = 0
    unknown: int = 0
    lost: int = 0
    twice: int = 0
    orphans: int = 0
    missed_by_graph: int = 0
    wrong: list[str] = field(default_factory=list)

    @classmethod
    async def of(cls, journal: Path, owner_dsn: str, client: AsyncClient, event: str) -> "Audit":
        """Look, in the database as its owner and through both servers. Nobody else may write."""
        audit = cls(stories(journal))
        owner = await _connected(owner_dsn)
        try:
            rows = await audit._look_at_rows(owner, event)
            await audit._compare_indexes(owner, rows)
        finally:
            await owner.close()
        await audit._ask_the_servers(client, event)
        return audit

    @staticmethod
    def told(audits: "Sequence[Audit]") -> dict[str, int]:
        """What to tell of them."""
        return {
            "photos_acknowledged": sum(audit.acknowledged for audit in audits),
            "without_an_answer": sum(audit.unknown for audit in audits),
            "lost": sum(audit.lost for audit in audits),
            "twice": sum(audit.twice for audit in audits),
            "orphan_faces": sum(audit.orphans for audit in audits),
        }

    def assert_clean(self) -> None:
        """Nothing acknowledged is lost, nothing is there twice, and all that is told of it agrees.
        The graph, where there is one, may miss one photo in fifty; exact searches may not."""
        assert self.wrong == []
        assert self.missed_by_graph <= self.acknowledged // 50

    async def _look_at_rows(self, owner: asyncpg.Connection, name: str) -> asyncpg.Record:
        event = await owner.fetchrow("SELECT * FROM event WHERE name = $1", name)
        assert event is not None
        key = event["event_id"]
        photos = await owner.fetch("SELECT * FROM photo WHERE event_id = $1", key)
        shared = await owner.fetch("SELECT photo_no, face_no FROM face WHERE event_id = $1", key)
        faces = [row for row in shared if row["face_no"] >= event["relation_mark"]]
        own: list[asyncpg.Record] = []
        if event["relation"] is not None:
            own = await owner.fetch(f"SELECT photo_no, face_no FROM ev_{event['relation']}.face")
            faces += own
        numbers = {photo["photo_no"] for photo in photos}
        orphans = {row["face_no"] for row in [*shared, *own] if row["photo_no"] not in numbers}
        self.orphans = len(orphans)
        self._expect(f"orphan faces {orphans}", not orphans)
        twice = [no for no, times in Counter(row["face_no"] for row in faces).items() if times > 1]
        self._expect(f"faces {twice} are there twice", not twice)
        self._compare_stories(photos, Counter(row["photo_no"] for row in faces))
        self._compare_counters(event, photos, faces)
        return event

    def _compare_stories(self, photos: list[asyncpg.Record], faces: Counter[int]) -> None:
        found: dict[str, list[asyncpg.Record]] = {}
        for photo in photos:
            found.setdefault(photo["photo_id"], []).append(photo)
        for story in self.stories:
            photo_id, there = story.photo.photo_id, found.pop(story.photo.photo_id, [])
            self.acknowledged += story.must_be_there
            self.lost += story.must_be_there and not there
            self.twice += len(there) > 1
            self.unknown += not (story.must_be_there or story.must_be_gone)
            least, most = int(story.must_be_there), int(not story.must_be_gone)
            self._expect(f"{photo_id} is there {len(there)} times", least <= len(there) <= most)
            for row in there:
                whole = (row["sha256"].hex(), faces[row["photo_no"]])
                wanted = (story.photo.sha256, len(story.photo.people))
                self._expect(f"{photo_id} is {whole}, not {wanted}", whole == wanted)
        self._expect(f"photos {list(found)} came from nowhere", not found)

    def _compare_counters(
        self, event: asyncpg.Record, photos: list[asyncpg.Record], faces: list[asyncpg.Record]
    ) -> None:
        counted = (event["photos_indexed"], event["photos_rejected"], event["faces"])
        self._expect(f"counted {counted}", counted == (len(photos), 0, len(faces)))
        beyond = [row["photo_no"] for row in photos if row["photo_no"] >= event["next_photo_no"]]
        beyond += [row["face_no"] for row in faces if row["face_no"] >= event["next_face_no"]]
        beyond += [row["version"] for row in photos if row["version"] > event["version"]]
        self._expect(f"numbers {beyond} that the event never gave", not beyond)

    async def _compare_indexes(self, owner: asyncpg.Connection, event: asyncpg.Record) -> None:
        """Read every row by each index and without any: pages that do not fit together show, and so
        do those whose checksum is wrong."""
        await self._compare_table(owner, "photo", "photo")
        await self._compare_table(owner, "face", "face")
        for _ in range(5):
            relation = await owner.fetchval(
                "SELECT relation FROM event WHERE event_id = $1", event["event_id"]
            )
            try:
                if relation is not None:
                    await self._compare_table(owner, f"ev_{relation}.face", "face")
                return
            except asyncpg.UndefinedTableError:
                continue  # A new graph has replaced it.
        self._expect("the event's graph is replaced again and again", False)

    async def _compare_table(self, owner: asyncpg.Connection, table: str, kind: str) -> None:
        for columns in _INDEXED[kind]:
            query = f"SELECT ctid::text, {columns} FROM {table} ORDER BY {columns}, ctid"
            plain, by_index = await _both_ways(owner, query)
            self._expect(f"{table} and its index by {columns} differ", plain == by_index)

    async def _ask_the_servers(self, client: AsyncClient, event: str) -> None:
        ids = Counter([p.name.rpartition("/")[2] async for p in client.list_photos(event)])
        gate = asyncio.Semaphore(_AT_A_TIME)

        async def ask(story: Story) -> None:
            photo_id = story.photo.photo_id
            async with gate:
                if story.must_be_there:
                    self._expect(f"{photo_id} is listed {ids[photo_id]} times", ids[photo_id] == 1)
                    try:
                        await self._search(client, event, photo_id)
                    except FacePassError as error:
                        self.wrong.append(f"{photo_id} cannot be searched by: {error}")
                elif story.must_be_gone:
                    self._expect(f"{photo_id} is still listed", not ids[photo_id])

        await asyncio.gather(*map(ask, self.stories))

    async def _search(self, client: AsyncClient, event: str, photo_id: str) -> None:
        """Search by a face of the photo: it finds the photo, once, by the graph or exactly."""
        faces = (await client.get_photo(event, photo_id)).faces
        if not faces:
            return
        for exact in (False, True):
            answer = await client.search(event, faces[0].name, exact=exact)
            times = [match.photo.rpartition("/")[2] for match in answer.matches].count(photo_id)
            if times == 1:
                return
            self.missed_by_graph += 1
            if answer.exact:
                self.wrong.append(f"{photo_id} is found {times} times by its own face")
                return

    def _expect(self, otherwise: str, right: bool) -> None:
        if not right:
            self.wrong.append(otherwise)


async def _both_ways(
    owner: asyncpg.Connection, query: str
) -> tuple[list[asyncpg.Record], list[asyncpg.Record]]:
    """Rows by a sequential scan, and by the index that has their order."""
    answers = []
    # What was erased is overwritten in the background: both must see the same moment.
    async with owner.transaction(isolation="repeatable_read"):
        for way, disabled in _WAYS.items():
            for each in disabled:
                await owner.execute(f"SET LOCAL enable_{each} = off")
            plan = "\n".join(row[0] for row in await owner.fetch(f"EXPLAIN {query}"))
            assert way in plan, plan
            answers.append(await owner.fetch(query))
            for each in disabled:
                await owner.execute(f"SET LOCAL enable_{each} = on")
    return answers[0], answers[1]


async def _connected(dsn: str) -> asyncpg.Connection:
    """Once Postgres is there: it may have answered the servers and be ended only now."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await asyncpg.connect(dsn)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.1)
