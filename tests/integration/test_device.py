"""Workers that share models in a device process, with a tiny pack: photos get what they get of an
engine of their own, and no death costs more than what was under way."""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from patience import until
from prometheus_client import generate_latest
from square_pack import squares, write_square_pack

from common.config import EngineSettings, ImageLimits
from common.errors import FacePassError, ProcessingFailed
from common.metrics import Metrics
from common.pool_metrics import observe_workload
from common.vision.engine import Engine
from common.vision.engines import load_engine
from common.vision.images.picture import Picture
from common.vision.types import Analysis, AnalyzeOptions, BgrImage, QualityFilter
from common.vision.workers.device import TELL_S
from common.vision.workers.pool import WorkerPool, _Job
from common.vision.workers.workload import DeviceLoad

pytestmark = pytest.mark.takes(26)

EVERYTHING = AnalyzeOptions(quality_filter=QualityFilter.NONE, max_faces=1000)
WORKERS = 4


def settings(folder: Path, **changes: object) -> EngineSettings:
    return EngineSettings.model_validate(
        {
            "pack": str(folder),
            "providers": ["CPUExecutionProvider"],
            "shared_models": "yes",
            "workers": WORKERS,
            "threads": 1,
            "detect_batch": 2,
            **changes,
        }
    )


@asynccontextmanager
async def running(wanted: EngineSettings, *, selfie_workers: int = 0) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(wanted, ImageLimits(), selfie_workers=selfie_workers)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_square_pack(tmp_path_factory.mktemp("packs") / "squares")


@pytest.fixture(scope="module")
def local(pack: Path) -> Engine:
    """An engine with models of its own."""
    return load_engine(settings(pack))


@pytest.fixture(scope="module")
async def pool(pack: Path) -> AsyncIterator[WorkerPool]:
    async with running(settings(pack)) as started:
        yield started


def photo(image: BgrImage) -> bytes:
    """As a PNG, which keeps each pixel."""
    _, encoded = cv2.imencode(".png", image)
    return bytes(encoded.tobytes())


IMAGES = [
    squares(*[(3 + 2 * n, (5 * n + k) % 16 + 2) for n in range(k % 5)])[:, : 640 - 80 * (k % 4)]
    for k in range(24)
]
POISON: BgrImage = np.full((640, 640, 3), 255, np.uint8)
"""Faces of which the recogniser makes no numbers."""


def assert_same(one: Analysis, other: Analysis) -> None:
    assert (one.width, one.height, len(one.faces)) == (other.width, other.height, len(other.faces))
    for face, twin in zip(one.faces, other.faces, strict=True):
        assert face.detection.box == twin.detection.box
        assert face.embedding is not None and twin.embedding is not None
        np.testing.assert_allclose(face.embedding, twin.embedding, atol=1e-5)


async def analyze_all(pool: WorkerPool, photos: Sequence[bytes]) -> list[Analysis | BaseException]:
    calls = (pool.analyze(each, EVERYTHING) for each in photos)
    return await asyncio.gather(*calls, return_exceptions=True)


def good(outcomes: Sequence[Analysis | BaseException]) -> list[Analysis]:
    """All of them, none of which failed."""
    assert [each for each in outcomes if isinstance(each, BaseException)] == []
    return [each for each in outcomes if isinstance(each, Analysis)]


def told(pool: WorkerPool) -> DeviceLoad:
    load = pool.workload.device
    assert load is not None
    return load


async def device_load(pool: WorkerPool) -> DeviceLoad:
    """What an idle device has done, once it has told everything."""
    before = told(pool)
    await asyncio.sleep(4 * TELL_S)
    after = told(pool)
    return after if after == before else await device_load(pool)


async def test_photos_get_what_an_engine_of_their_own_gives(
    pool: WorkerPool, local: Engine
) -> None:
    assert (pool.pack, pool.provider) == (local.pack, local.provider)
    expected = [local.analyze(Picture.of(image), EVERYTHING) for image in IMAGES]
    assert sum(len(each.faces) for each in expected) > 20
    for order in (range(24), range(23, -1, -1), [(7 * n) % 24 for n in range(24)]):
        found = good(await analyze_all(pool, [photo(IMAGES[i]) for i in order]))
        for i, analysis in zip(order, found, strict=True):
            assert_same(analysis, expected[i])


async def test_a_worker_for_selfies_shares_the_models(pack: Path, local: Engine) -> None:
    async with running(settings(pack, workers=1), selfie_workers=1) as pool:
        nice = {pid: psutil.Process(pid).nice() for pid in pool.pids}
        for_photos = max(nice, key=lambda pid: nice[pid])
        os.kill(for_photos, signal.SIGSTOP)
        waiting = asyncio.create_task(pool.analyze(photo(IMAGES[4]), EVERYTHING))
        await until(lambda: pool.busy == 1)
        selfie = await pool.analyze(photo(IMAGES[3]), EVERYTHING, urgent=True)
        assert_same(selfie, local.analyze(Picture.of(IMAGES[3]), EVERYTHING))
        assert not waiting.done()
        os.kill(for_photos, signal.SIGCONT)
        assert_same(await waiting, local.analyze(Picture.of(IMAGES[4]), EVERYTHING))


async def test_batches_form_over_photos(pool: WorkerPool) -> None:
    before = (await device_load(pool)).models
    good(await analyze_all(pool, [photo(squares((3, 4)))] * 60))
    after = (await device_load(pool)).models
    assert {name: after[name].items - before[name].items for name in after} == {
        "detector": 60,
        "close_detector": 60,
        "recogniser": 60,
    }
    # The whole canvases take longest, so that others wait meanwhile.
    runs = sum(after["detector"].runs.values()) - sum(before["detector"].runs.values())
    assert runs < 60
    assert max(after["detector"].runs) == 2


async def test_only_the_device_process_has_models(pool: WorkerPool) -> None:
    def has_runtime(pid: int) -> bool:
        return any("onnxruntime" in each.path for each in psutil.Process(pid).memory_maps())

    assert pool.device_pid is not None
    assert has_runtime(pool.device_pid)
    assert not any(has_runtime(pid) for pid in pool.pids)


async def test_a_photo_that_gives_no_numbers_fails_alone(pool: WorkerPool, local: Engine) -> None:
    pids, device = set(pool.pids), pool.device_pid
    photos = [photo(image) for image in IMAGES]
    photos[5] = photos[11] = photo(POISON)
    outcomes = await analyze_all(pool, photos)
    for i, outcome in enumerate(outcomes):
        if i in (5, 11):
            assert isinstance(outcome, ProcessingFailed)
        else:
            assert isinstance(outcome, Analysis)
            assert_same(outcome, local.analyze(Picture.of(IMAGES[i]), EVERYTHING))
    assert (set(pool.pids), pool.device_pid) == (pids, device)


async def test_a_killed_worker_costs_one_photo(pool: WorkerPool) -> None:
    device, replaced = pool.device_pid, pool.replaced
    calls = asyncio.ensure_future(analyze_all(pool, [photo(IMAGES[4])] * 60))
    await until(lambda: pool.busy == WORKERS)
    os.kill(pool.pids[0], signal.SIGKILL)
    failed = [each for each in await calls if isinstance(each, BaseException)]
    assert len(failed) <= 1 and all(isinstance(each, ProcessingFailed) for each in failed)
    await until(lambda: pool.replaced == replaced + 1 and len(pool.pids) == WORKERS)
    assert pool.device_pid == device
    good(await analyze_all(pool, [photo(IMAGES[4])] * 8))


async def test_a_killed_device_costs_what_was_under_way(pool: WorkerPool, local: Engine) -> None:
    workers, before = set(pool.pids), await device_load(pool)
    replaced = pool.workload.devices_replaced
    calls = asyncio.ensure_future(analyze_all(pool, [photo(IMAGES[4])] * 60))
    await until(lambda: pool.busy == WORKERS)
    assert pool.device_pid is not None
    os.kill(pool.device_pid, signal.SIGKILL)
    outcomes = await calls
    failed = [each for each in outcomes if isinstance(each, BaseException)]
    assert all(isinstance(each, ProcessingFailed) for each in failed)
    # Those that the workers had, and at most one more each before the death was noticed.
    assert len(failed) <= 2 * WORKERS
    for outcome in outcomes:
        if isinstance(outcome, Analysis):
            assert_same(outcome, local.analyze(Picture.of(IMAGES[4]), EVERYTHING))
    assert pool.workload.devices_replaced == replaced + 1
    assert set(pool.pids) == workers
    after = await device_load(pool)
    assert after.busy_s >= before.busy_s
    assert all(after.models[name].items >= each.items for name, each in before.models.items())


@pytest.mark.parametrize("shared_models", ["yes", "no"])
async def test_a_thousand_cancelled_photos_leave_nothing(pack: Path, shared_models: str) -> None:
    wanted = settings(pack, shared_models=shared_models, workers=2, queue_size=8)
    async with running(wanted) as pool:
        await churn(pool, 500)
        before = resident_bytes()
        await churn(pool, 500)
        assert pool.waiting == 0
        await until(lambda: pool.busy == 0)
        assert resident_bytes() < 1.1 * before
        good(await analyze_all(pool, [photo(IMAGES[4])] * 4))
        assert (pool.replaced, pool.workload.devices_replaced) == (0, 0)
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is _Job]


async def churn(pool: WorkerPool, count: int) -> None:
    """Ask for photos, ten at a time, and go away while they wait or are worked on."""
    content, rng = photo(IMAGES[4]), np.random.default_rng(count)
    for _ in range(count // 10):
        calls = [
            asyncio.create_task(pool.analyze(content, EVERYTHING, urgent=n % 5 == 0))
            for n in range(10)
        ]
        await asyncio.sleep(float(rng.uniform(0, 0.05)))
        for call in calls:
            call.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(each, Analysis | asyncio.CancelledError) for each in outcomes)


def resident_bytes() -> int:
    """Of this process and all below it."""
    server = psutil.Process()
    family = [server, *server.children(recursive=True)]
    return sum(process.memory_info().rss for process in family)


async def test_metrics_tell_how_full_batches_are(pool: WorkerPool) -> None:
    await analyze_all(pool, [photo(squares((3, 4)))] * 20)
    model = (await device_load(pool)).models["detector"]
    metrics = Metrics()
    observe_workload(metrics, pool)
    text = generate_latest(metrics.registry).decode()
    assert 'facepass_device_batch_items_bucket{le="4.0",model="detector"}' in text
    assert f'engine="onnx",pack="{pool.pack.key}",provider="CPU"' in text
    assert f'facepass_device_batch_items_sum{{model="detector"}} {float(model.items)}' in text
    assert f'facepass_device_batch_places_total{{model="detector"}} {float(model.places)}' in text


async def test_a_pack_that_cannot_be_loaded_is_said_at_start(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    pool = WorkerPool(settings(tmp_path / "nowhere"), ImageLimits())
    with pytest.raises(FacePassError, match="nowhere"):
        await pool.start()
    assert set(psutil.Process().children(recursive=True)) <= before


async def test_nothing_stays_behind(pack: Path) -> None:
    async with running(settings(pack, workers=2)) as pool:
        assert pool.device_pid is not None
        processes = [psutil.Process(pid) for pid in (*pool.pids, pool.device_pid)]
        calls = asyncio.ensure_future(analyze_all(pool, [photo(IMAGES[4])] * 20))
        await until(lambda: pool.busy == 2)
    assert not any(process.is_running() for process in processes)
    outcomes = await calls
    assert all(isinstance(each, Analysis | ProcessingFailed) for each in outcomes)
    assert any(isinstance(each, ProcessingFailed) for each in outcomes)
    assert pool.device_pid is None
