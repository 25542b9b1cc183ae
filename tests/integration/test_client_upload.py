"""The photo stream: in bounds, complete, and resumed when it breaks."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from facepass import AsyncClient, FacePassError, NotFound, PhotoSource, UploadLimits, folder
from facepass.v1 import types_pb2
from pydantic import SecretStr

from common.config import DatabaseSettings
from common.db.migrate import migrate
from common.vision.fake.photos import Command, fake_photo
from standalone.embedded import EmbeddedPostgres

QUICK = UploadLimits(first_wait_s=0.05, longest_wait_s=0.5, patience_s=60)


@pytest.fixture
async def client(servers: Any) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(indexer=servers.indexer_address) as made:
        await made.create_event("party")
        yield made


def photo(number: int) -> PhotoSource:
    return PhotoSource(f"p{number}", fake_photo([number], shot=number % 12))


async def stored(client: AsyncClient) -> list[str]:
    return sorted([each.name.rpartition("/")[2] async for each in client.list_photos("party")])


async def test_a_folder_arrives_whole(client: AsyncClient, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(fake_photo([number], size=(1600, 1200)))
    (tmp_path / "broken.jpg").write_bytes(fake_photo([1])[:2000])
    (tmp_path / "empty.jpg").touch()
    results = {
        result.photo_id: result
        async for result in client.index_photos("party", folder(tmp_path), max_faces=1)
    }
    assert len(results) == 7
    bad = {"broken.jpg", "empty.jpg"}
    for photo_id, result in results.items():
        rejected = result.state == types_pb2.PHOTO_STATE_REJECTED
        assert rejected == (photo_id in bad), result
    one = await client.get_photo("party", "3.jpg")
    assert one.source_uri == (tmp_path / "3.jpg").as_uri()
    assert one.size_bytes == (tmp_path / "3.jpg").stat().st_size


async def test_no_more_is_taken_than_may_be_under_way(client: AsyncClient) -> None:
    taken = answered = most = 0

    def source() -> Iterator[PhotoSource]:
        nonlocal taken, most
        for number in range(12):
            taken += 1
            most = max(most, taken - answered)
            yield photo(number)

    limits = UploadLimits(photos=3)
    async for _ in client.index_photos("party", source(), limits=limits):
        answered += 1
    assert (taken, answered) == (12, 12)
    # The answer that makes room is taken in before this loop counts it.
    assert most <= limits.photos + 1


async def test_a_caller_that_does_not_listen_is_not_read_on(client: AsyncClient) -> None:
    taken = 0

    async def source() -> AsyncIterator[PhotoSource]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield photo(number)

    stream = client.index_photos("party", source(), limits=UploadLimits(photos=4))
    assert isinstance(stream, AsyncIterator)
    await anext(stream)
    await asyncio.sleep(0.5)
    assert taken <= 6
    async with aclosing(stream):  # type: ignore[type-var]
        pass


async def test_a_photo_as_large_as_the_whole_window_goes_through(client: AsyncClient) -> None:
    limits = UploadLimits(size_bytes=10)
    results = [r async for r in client.index_photos("party", map(photo, range(3)), limits=limits)]
    assert [result.state for result in results] == [types_pb2.PHOTO_STATE_INDEXED] * 3


async def test_what_the_callers_iterable_raises_comes_after_what_was_sent(
    client: AsyncClient,
) -> None:
    def source() -> Iterator[PhotoSource]:
        yield photo(0)
        yield photo(1)
        raise LookupError("the camera was unplugged")

    results = []
    with pytest.raises(LookupError, match="unplugged"):
        async for result in client.index_photos("party", source()):
            results.append(result.photo_id)
    assert sorted(results) == await stored(client) == ["p0", "p1"]


async def test_a_file_that_cannot_be_read_fails_alone(client: AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(fake_photo([1]))
    gone = PhotoSource("gone", tmp_path / "gone.jpg", file_name="gone.jpg")
    photos = [gone, PhotoSource.from_file(tmp_path / "a.jpg"), gone]
    results = [result async for result in client.index_photos("party", photos)]
    states = sorted((result.photo_id, result.state) for result in results)
    failed = ("gone", types_pb2.PHOTO_STATE_FAILED)
    assert states == [("a.jpg", types_pb2.PHOTO_STATE_INDEXED), failed, failed]
    assert any("gone.jpg" in result.status.message for result in results)


async def test_a_file_that_shrinks_on_the_way_is_rejected_and_the_next_arrives(
    client: AsyncClient, tmp_path: Path
) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(fake_photo([1]))
    changed = PhotoSource("changed", file, sha256=PhotoSource("x", b"other").hashed().sha256)
    results = {r.photo_id: r async for r in client.index_photos("party", [changed, photo(2)])}
    assert results["changed"].state == types_pb2.PHOTO_STATE_REJECTED
    assert results["p2"].state == types_pb2.PHOTO_STATE_INDEXED


async def test_no_photos_are_no_results(client: AsyncClient) -> None:
    assert [result async for result in client.index_photos("party", [])] == []


async def test_a_stream_into_no_event_is_not_tried_again(client: AsyncClient) -> None:
    with pytest.raises(NotFound) as error:
        async for _ in client.index_photos("absent", map(photo, range(3))):
            pass
    assert error.value.reason == "EVENT_NOT_FOUND"


async def test_a_server_that_stays_away_is_given_up(client: AsyncClient) -> None:
    limits = UploadLimits(patience_s=0.1, first_wait_s=0.01)
    async with AsyncClient(indexer="127.0.0.1:1") as nobody:
        with pytest.raises(FacePassError) as error:
            async for _ in nobody.index_photos("party", [photo(0)], limits=limits):
                pass
    assert error.value.reason == "UNAVAILABLE"


async def test_a_stream_survives_the_databases_restart(serving: Any, vision: Any) -> None:
    folder = tempfile.mkdtemp(prefix="facepass-restart-")
    os.chmod(folder, 0o711)
    postgres = EmbeddedPostgres(Path(folder, "data"))
    slow = [
        PhotoSource(f"p{n:02}", fake_photo([n], shot=1, command=Command.SLOW)) for n in range(12)
    ]
    results = []
    try:
        await asyncio.to_thread(postgres.start)
        await migrate(postgres.owner_dsn)
        settings = DatabaseSettings(dsn=SecretStr(postgres.server_dsn), acquire_timeout_s=1.0)
        async with (
            serving(settings, vision) as servers,
            AsyncClient(indexer=servers.indexer_address) as client,
        ):
            await client.create_event("party")
            async for result in client.index_photos("party", slow, limits=QUICK):
                results.append(result)
                if len(results) == 2:
                    await asyncio.to_thread(postgres.stop)
                    restart = asyncio.create_task(asyncio.to_thread(postgres.start))
            await restart
            assert sorted(result.photo_id for result in results) == await stored(client)
    finally:
        await asyncio.to_thread(postgres.stop)
        shutil.rmtree(folder, ignore_errors=True)
    assert len(results) == len(slow)
    good = {types_pb2.PHOTO_STATE_INDEXED, types_pb2.PHOTO_STATE_DUPLICATE}
    assert {result.state for result in results} <= good
