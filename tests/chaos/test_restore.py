"""The disk of a standalone is lost: it is restored from its backups, to the last change or to a
time, and whoever was erased since stays erased."""

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from audit import Audit
from burst import struck_midway
from disaster import KEPT, BackedUp
from facepass import AsyncClient, NotFound, PhotoSource
from facepass.v1 import types_pb2
from journal import Journal, Kind
from seeded_client import SeededClient

from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import fake_photo
from standalone.cli import run
from standalone.embedded import EmbeddedPostgres

pytestmark = pytest.mark.takes(93)

PEOPLE, SHOTS = range(10, 18), range(3)
ERASED, FACE_DELETED, STAYS = 10, 12, 16
PROBE_SHOTS, PROBE_SHOTS_LONG = range(3, 4), range(3, 128)
Answers = dict[tuple[int, int], list[tuple[str, float]]]


async def answers_of(client: AsyncClient, shots: range) -> Answers:
    """Photos of everybody in the event `ball`, by probes that are none of them."""
    engine, answers = FakeEngine(), Answers()
    for person in PEOPLE:
        for shot in shots:
            vector = engine.embedding(person, shot)
            probe = types_pb2.Embedding(values=vector.tolist(), pack=engine.pack.key)
            answer = await client.search("ball", probe)
            matches = [(match.photo, round(match.similarity, 3)) for match in answer.matches]
            answers[person, shot] = sorted(matches)
    return answers


async def fill(client: AsyncClient) -> None:
    await client.create_event("fair")
    await client.create_event("ball")
    photos = [
        PhotoSource(f"{p}-{s}", fake_photo([p, p + 1], shot=s)) for p in PEOPLE for s in SHOTS
    ]
    async for result in client.index_photos("ball", photos):
        assert result.state == types_pb2.PHOTO_STATE_INDEXED


async def erase_some(client: AsyncClient) -> int:
    """Erase in all ways but the one that is kept for the last moment; returns how often."""
    await client.erase_person("ball", fake_photo([ERASED], shot=5))
    for face in (await client.get_photo("ball", f"{FACE_DELETED}-0")).faces:
        await client.delete_face(face.name)
    await client.delete_event("fair")
    return 4


def as_of(journal: Path, lines: int, to: Path) -> Path:
    """The journal as its first lines tell, and what was deleted later."""
    told = journal.read_text().splitlines()
    later = [json.loads(line) for line in told[lines:]]
    deleted = {each["begin"] for each in later if each.get("kind") == Kind.DELETE.value}
    kept = [each for each in later if {each.get("begin"), each.get("end")} & deleted]
    to.write_text("\n".join([*told[:lines], *map(json.dumps, kept)]) + "\n")
    return to


async def restored(lost: BackedUp, to: Path, *more: object) -> int:
    keys = ("--template-keys", lost.template_keys)
    return await command("restore", lost.backups, "--to", to, *keys, *more)


async def command(*arguments: object) -> int:
    return await asyncio.to_thread(run, [str(each) for each in arguments])


async def assert_restored(
    lost: BackedUp, data: Path, journal: Path, expected: Answers, shots: range
) -> Audit:
    """What was acknowledged is there, and nothing that was erased."""
    server = lost.on(data, {"BACKUP__FOLDER": ""})
    standalone = server.start()
    try:
        await standalone.ready()
        async with AsyncClient(indexer=server.indexer, searcher=server.searcher) as client:
            postgres = EmbeddedPostgres(data)
            postgres.attach()
            audit = await Audit.of(journal, postgres.owner_dsn, client, "gala")
            audit.assert_clean()
            assert await answers_of(client, shots) == expected
            assert expected[STAYS, shots[0]] and not expected[ERASED, shots[0]]
            receipts = [receipt.kind async for receipt in client.list_erasures("ball")]
            assert len(receipts) == 4
            with pytest.raises(NotFound):
                await client.get_event("fair")
            return audit
    finally:
        server.end()


async def lost_again(lost: BackedUp, data: Path, journal: Path, seed: int) -> Audit:
    """The restored one goes on with the backups, is lost in its turn and restored once more."""
    lost.data, lost.server = data, lost.on(data)
    standalone = lost.server.start()
    more = Journal(lost.folder / "more.jsonl", seed)
    try:
        await standalone.ready()
        await lost.first_backup()
        async with AsyncClient(
            indexer=lost.server.indexer, searcher=lost.server.searcher
        ) as client:
            await client.create_event("more")
            seeded = SeededClient(client, "more", more, seed)
            for _ in range(3):
                await seeded.burst(40, lambda _: None)
            await lost.archived()
        await asyncio.to_thread(lost.lose, standalone.kill)
    finally:
        lost.server.end()
    assert await restored(lost, data) == 0
    server = lost.on(data, {"BACKUP__FOLDER": ""})
    try:
        await server.start().ready()
        async with AsyncClient(indexer=server.indexer, searcher=server.searcher) as client:
            postgres = EmbeddedPostgres(data)
            postgres.attach()
            for event, path in (("gala", journal), ("more", more.path)):
                audit = await Audit.of(path, postgres.owner_dsn, client, event)
                audit.assert_clean()
            return audit
    finally:
        server.end()


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


async def flips_found(lost: BackedUp, choice: random.Random, times: int, capsys: Any) -> int:
    """Change one byte of some file, once each, and have it found."""
    assert await command("verify", lost.backups) == 0
    files = sorted(p for p in lost.backups.glob("series-*/*/**/*") if p.is_file())
    files = [path for path in files if path.stat().st_size]
    for _ in range(times):
        path = choice.choice(files)
        place = choice.randrange(path.stat().st_size)
        capsys.readouterr()
        flip(path, place)
        assert await command("verify", lost.backups) == 1
        assert str(path) in capsys.readouterr().out
        flip(path, place)
    return times


@pytest.mark.timeout(900)
async def test_the_disk_is_lost(
    long: bool, seed: int, figure: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any,
    evidence: Callable[[], AbstractContextManager[Path]],
) -> None:  # fmt: skip
    choice, bursts = random.Random(seed), 10 if long else 1
    shots = PROBE_SHOTS_LONG if long else PROBE_SHOTS
    with evidence() as folder:
        lost = BackedUp(folder)
        for name, value in {**KEPT, "FACEPASS_BACKUP__FOLDER": str(lost.backups)}.items():
            monkeypatch.setenv(name, value)
        standalone = lost.server.start()
        journal = Journal(folder / "gala.jsonl", seed)
        try:
            await standalone.ready()
            await lost.first_backup()
            async with AsyncClient(
                indexer=lost.server.indexer, searcher=lost.server.searcher
            ) as client:
                await fill(client)
                await client.create_event("gala")
                seeded = SeededClient(client, "gala", journal, seed)

                async def nothing() -> None:
                    pass

                async def back_up() -> None:
                    assert await command("backup", "--data-dir", lost.data) == 0

                for number in range(bursts):
                    # A short run has the one that the standalone made by itself.
                    strike = back_up if long and number % 5 == 0 else nothing
                    await struck_midway(seeded, choice, strike)
                point, lines = datetime.now(UTC), len(journal.path.read_text().splitlines())
                for _ in range(bursts):
                    await seeded.burst(40, lambda _: None)
                erasures = await erase_some(client)
                answers = await answers_of(client, shots)
                await lost.archived()
                # Acknowledged a moment before all is lost, and archived nowhere.
                await client.delete_photo("ball", f"{STAYS}-0")
                name = f"events/ball/photos/{STAYS}-0"
                expected = {
                    probe: [match for match in matches if match[0] != name]
                    for probe, matches in answers.items()
                }
            await asyncio.to_thread(lost.lose, standalone.kill)
        finally:
            lost.server.end()
        flips = await flips_found(lost, choice, 30 if long else 1, capsys)
        to_time = folder / "point"
        until = point.isoformat()
        assert await restored(lost, to_time, "--until", until) == 0
        told = as_of(journal.path, lines, folder / "told.jsonl")
        deleted = len(told.read_text().splitlines()) - lines
        again = f"{erasures + 1 + deleted // 2} erasures were missing and were made again"
        assert again in capsys.readouterr().out
        audits = [await assert_restored(lost, to_time, told, expected, shots)]
        if long:
            latest = folder / "latest"
            assert await restored(lost, latest) == 0
            audits.append(await assert_restored(lost, latest, journal.path, expected, shots))
            audits.append(await lost_again(lost, latest, journal.path, seed))
    figure(
        "Disk of the data lost",
        done="backups and archive while photos came and went; everything killed and the data "
        "removed; restored to a time and to the last change",
        restored=len(audits),
        **Audit.told(audits),
        searches_answered_as_before=len(expected) * len(audits),
        erasures_made_again=erasures + 1 + deleted // 2,
        erased_and_found_again=0,
        bytes_flipped_in_backups=flips,
        of_these_detected=flips,
    )
