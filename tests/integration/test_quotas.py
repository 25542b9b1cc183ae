"""Who has used up a quota is refused with when to try again; whoever has not is served."""

import asyncio
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from authority import ISSUER, Signer, jwks
from facepass import AsyncClient, PhotoSource, ResourceExhausted
from facepass.v1 import events_pb2, searcher_pb2, types_pb2
from facepass.v1 import indexer_pb2 as pb
from google.rpc import error_details_pb2, status_pb2
from record import in_file, until

from common.config import AuditSettings, AuthSettings, QuotaSettings
from common.db.opening import open_database
from common.quotas.buckets import Charge
from common.quotas.repository import SharedBuckets
from common.vision.fake.photos import fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings
from searcher.config import SearcherServerSettings, SearcherSettings

GALA = "events/gala"


def settings(file: Path, **quota: Any) -> dict[str, Any]:
    free: dict[str, Any] = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0"}
    blocks: dict[str, Any] = {
        "audit": AuditSettings(file=str(file)), "quota": QuotaSettings(**quota)
    }  # fmt: skip
    return {
        "indexer_settings": IndexerSettings(indexer=IndexerServerSettings(**free), **blocks),
        "searcher_settings": SearcherSettings(searcher=SearcherServerSettings(**free), **blocks),
    }


@pytest.fixture
def quoted(database: Any, vision: Any, serving: Any, tmp_path: Path) -> Any:
    """Servers with quotas."""

    @asynccontextmanager
    async def serve(auth: AuthSettings | None = None, **quota: Any) -> AsyncIterator[Any]:
        asked = {
            which: each.model_copy(update={"auth": auth or AuthSettings()})
            for which, each in settings(tmp_path / "audit.jsonl", **quota).items()
        }
        async with serving(database.settings, vision, **asked) as servers:
            yield servers

    return serve


async def create(servers: Any, *names: str) -> None:
    for name in names:
        await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=name))


def shown(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")] if token else []


async def search(
    servers: Any, *people: int, event: str = GALA, token: str = ""
) -> searcher_pb2.SearchResponse:
    probes = [searcher_pb2.Probe(image=fake_photo([person])) for person in people]
    request = searcher_pb2.SearchRequest(event=event, probes=probes)
    answer: searcher_pb2.SearchResponse = await servers.searcher.Search(
        request, metadata=shown(token)
    )
    return answer


async def refusal(call: Any) -> tuple[str, float]:
    """The limit, and seconds to wait, of a refusal as any client in any language sees it."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = dict(refused.value.trailing_metadata() or ())
    return told(status_pb2.Status.FromString(trailers["grpc-status-details-bin"]))


def told(status: status_pb2.Status) -> tuple[str, float]:
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    quota = error_details_pb2.QuotaFailure()
    for detail, message in zip(status.details, (info, retry, quota), strict=True):
        assert detail.Unpack(message)
    assert info.reason == "QUOTA_EXCEEDED"
    assert quota.violations[0].subject == info.metadata["limit"]
    return info.metadata["limit"], retry.retry_delay.ToTimedelta().total_seconds()


async def counted(port: int, quota: str) -> float:
    def get() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            return str(response.read().decode())

    name = f'facepass_quota_refusals_total{{quota="{quota}"}} '
    lines = (await asyncio.to_thread(get)).splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


async def photo(servers: Any, photo_id: str, content: bytes, event: str = GALA) -> pb.PhotoResult:
    request = pb.IndexPhotoRequest(
        config=pb.IndexPhotosConfig(event=event),
        photo=pb.PhotoHeader(photo_id=photo_id),
        content=content,
    )
    result: pb.PhotoResult = (await servers.indexer.IndexPhoto(request)).result
    return result


async def test_searches_of_a_subject(quoted: Any, tmp_path: Path) -> None:
    async with quoted(searches_per_minute=3) as servers:
        await create(servers, "gala", "ball")
        await search(servers, 1)
        await search(servers, 1, event="events/ball")
        selfie = searcher_pb2.EvaluateSelfieRequest(image=fake_photo([1]))
        await servers.searcher.EvaluateSelfie(selfie)
        limit, wait_s = await refusal(search(servers, 1))
        assert limit == "searches"
        assert 0 < wait_s <= 20
        assert (await refusal(servers.searcher.EvaluateSelfie(selfie)))[0] == "searches"
        assert await counted(servers.searcher_server.metrics_port, "searches") == 2
    refused = [line for line in in_file(tmp_path / "audit.jsonl") if line["decision"] == "refused"]
    assert [(line["reason"], line["limit"], line["events"]) for line in refused] == [
        ("QUOTA_EXCEEDED", "searches", ["gala"]),
        ("QUOTA_EXCEEDED", "searches", []),
    ]


async def test_searches_of_an_event_leave_others_alone(quoted: Any) -> None:
    async with quoted(event_searches_per_minute=2) as servers:
        await create(servers, "gala", "ball")
        await search(servers, 1)
        await search(servers, 1)
        assert (await refusal(search(servers, 1)))[0] == "event_searches"
        await search(servers, 1, event="events/ball")


async def test_subjects_are_apart_and_servers_together(quoted: Any, tmp_path: Path) -> None:
    signer = Signer.new("key")
    (tmp_path / "jwks.json").write_bytes(jwks(signer))
    auth = AuthSettings(jwks=str(tmp_path / "jwks.json"), issuer=ISSUER)
    one, another = (signer.token(sub=subject) for subject in ("one", "another"))
    async with quoted(auth, searches_per_minute=2, shared=True) as servers:
        gala = events_pb2.CreateEventRequest(event_id="gala")
        await servers.events.CreateEvent(gala, metadata=shown(one))
        await search(servers, 1, token=one)
        async with quoted(auth, searches_per_minute=2, shared=True) as beside:
            await search(beside, 1, token=one)
            assert (await refusal(search(beside, 1, token=one)))[0] == "searches"
            await search(beside, 1, token=another)
        assert (await refusal(search(servers, 1, token=one)))[0] == "searches"


async def test_photos_bytes_and_pixels(quoted: Any) -> None:
    picture = fake_photo([1], size=(1000, 500))
    async with quoted(photos_per_minute=3, event_megapixels_per_minute=0.9) as servers:
        await create(servers, "gala", "ball")
        assert (await photo(servers, "a", picture)).state == types_pb2.PHOTO_STATE_INDEXED
        assert (await photo(servers, "a", picture)).state == types_pb2.PHOTO_STATE_DUPLICATE
        assert (await photo(servers, "b", picture)).state == types_pb2.PHOTO_STATE_INDEXED
        limit, wait_s = await refusal(photo(servers, "c", picture))
        assert limit == "event_megapixels" and 0 < wait_s < 60
        # What was refused is not charged, and neither is what was stored already.
        other = await photo(servers, "a", picture, "events/ball")
        assert other.state == types_pb2.PHOTO_STATE_INDEXED
        assert (await refusal(photo(servers, "b", picture, "events/ball")))[0] == "photos"
        assert await counted(servers.indexer_server.metrics_port, "photos") == 1
    async with quoted(megabytes_per_minute=len(picture) / 2e6) as servers:
        assert (await photo(servers, "d", picture)).state == types_pb2.PHOTO_STATE_INDEXED
        assert (await refusal(photo(servers, "e", picture)))[0] == "megabytes"


async def test_the_client_is_slowed_down_to_its_quota(quoted: Any) -> None:
    """In an upload by the server, which reads no further; in searches by itself, as it is told."""
    quota = {"photos_per_minute": 240, "searches_per_minute": 120, "burst_s": 1}
    async with quoted(**quota) as servers:
        addresses = {"indexer": servers.indexer_address, "searcher": servers.searcher_address}
        async with AsyncClient(**addresses) as client:
            await client.create_event("gala")
            sources = [PhotoSource(f"p{n}", fake_photo([n])) for n in range(10)]
            started = time.monotonic()
            results = [result.state async for result in client.index_photos("gala", sources)]
            assert time.monotonic() - started >= 1.4  # four come at once, then four a second
            started = time.monotonic()
            for _ in range(5):
                await client.search("gala", fake_photo([1]))
            assert time.monotonic() - started >= 1.4  # two, then two a second
        refused = await counted(servers.indexer_server.metrics_port, "photos")
        searches = await counted(servers.searcher_server.metrics_port, "searches")
    assert results == [types_pb2.PHOTO_STATE_INDEXED] * 10
    assert refused > 0 and searches > 0


async def test_a_people_finder_is_stopped(quoted: Any, tmp_path: Path) -> None:
    async with quoted(people_per_day=2) as servers:
        await create(servers, "gala")
        await photo(servers, "a", fake_photo([1, 2, 3]))
        for _ in range(3):
            assert (await search(servers, 1)).total_matches == 1
        assert (await search(servers, 2, 2)).total_matches == 1
        limit, wait_s = await refusal(search(servers, 3))
        assert limit == "people" and 86_000 < wait_s <= 86_400
        face = (await servers.indexer.GetPhoto(pb.GetPhotoRequest(name=f"{GALA}/photos/a"))).photo
        probes = [searcher_pb2.Probe(face=each.name) for each in face.faces]
        everybody = searcher_pb2.SearchRequest(event=GALA, probes=probes)
        assert (await refusal(servers.searcher.Search(everybody)))[0] == "people"
        assert (await search(servers, 1)).total_matches == 1
        assert await counted(servers.searcher_server.metrics_port, "people") == 2
        # The client neither waits a day by itself, nor keeps when that would help.
        async with AsyncClient(
            indexer=servers.indexer_address, searcher=servers.searcher_address
        ) as client:
            async with asyncio.timeout(30):
                with pytest.raises(ResourceExhausted) as refused:
                    await client.search("gala", fake_photo([3]))
            assert refused.value.reason == "QUOTA_EXCEEDED"
            assert (refused.value.retry_after_s or 0) > 80_000
        lines = await until(lambda: in_file(tmp_path / "audit.jsonl"), 11)
    over = [line for line in lines if line["limit"] == "people"]
    assert len(over) == 3 and {line["decision"] for line in over} == {"refused"}


async def test_shared_buckets_give_each_amount_once(database: Any) -> None:
    """Many at once, on two pools, in both orders of the buckets: none waits for ever, and what is
    given is what there was."""
    charge = [Charge(name, 50, 0.001, 1) for name in ("b", "a")]
    async with open_database(database.settings) as one, open_database(database.settings) as other:
        pools = [SharedBuckets(one), SharedBuckets(other)]
        takes = [pools[n % 2].take(charge[:: 1 if n % 3 else -1]) for n in range(80)]
        shortages = [short for short in await asyncio.gather(*takes) if short is not None]
        assert len(shortages) == 30
        assert all(0 < short.wait_s <= 1000 for short in shortages)
        await pools[0].owe([Charge("a", 50, 10, 5)])
        short = await pools[1].take([Charge("a", 50, 10, 0)])
        assert short is not None and 0.1 < short.wait_s <= 0.5
        await asyncio.sleep(short.wait_s)
        assert await pools[1].take([Charge("a", 50, 10, 0)]) is None
