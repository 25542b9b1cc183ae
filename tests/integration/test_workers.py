"""The worker pool with real processes and the fake engine."""

import asyncio
import io
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from patience import until
from PIL import Image

from common.config import EngineSettings, ImageLimits
from common.errors import (
    ImageEmpty,
    ImageTooLarge,
    ImageTruncated,
    ImageUnsupported,
    Overloaded,
    PackUnavailable,
    ProcessingFailed,
)
from common.vision.fake.engine import SLOW_S, FakeEngine
from common.vision.fake.photos import Command, fake_photo
from common.vision.types import Analysis, AnalyzeOptions
from common.vision.workers.pool import PHOTO_NICE, WorkerPool

pytestmark = pytest.mark.takes(18)

OPTIONS = AnalyzeOptions()
SLOW = fake_photo([1], command=Command.SLOW)


def settings(**changes: object) -> EngineSettings:
    return EngineSettings.model_validate({"kind": "fake", "workers": 1, **changes})


@asynccontextmanager
async def running(
    limits: ImageLimits | None = None, *, selfie_workers: int = 0, **changes: object
) -> AsyncIterator[WorkerPool]:
    limits = limits or ImageLimits()
    pool = WorkerPool(settings(**changes), limits, selfie_workers=selfie_workers)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def shows(analysis: Analysis, person: int) -> bool:
    face = analysis.faces[0]
    expected = FakeEngine().embedding(person)
    return face.embedding is not None and float(face.embedding @ expected) > 0.99


async def test_each_caller_gets_the_answer_to_its_own_image() -> None:
    async with running(workers=2, queue_size=3) as pool:
        assert pool.pack == FakeEngine().pack
        people = range(40)
        analyses = await asyncio.gather(
            *(pool.analyze(fake_photo([p]), OPTIONS, urgent=p % 20 == 0) for p in people)
        )
        assert all(shows(a, p) for a, p in zip(analyses, people, strict=True))
        timings = analyses[0].timings
        assert min(timings.queue_ms, timings.decode_ms, timings.detect_ms, timings.embed_ms) > 0


async def test_options_reach_the_engine() -> None:
    async with running() as pool:
        analysis = await pool.analyze(fake_photo([1, 2]), AnalyzeOptions(max_faces=1))
        assert [face.embedding is None for face in analysis.faces] == [False, True]


async def test_selfies_overtake_photos() -> None:
    order: list[str] = []

    async def note(name: str, call: Awaitable[Analysis]) -> None:
        await call
        order.append(name)

    async with running(queue_size=8) as pool, asyncio.TaskGroup() as calls:
        calls.create_task(note("first", pool.analyze(SLOW, OPTIONS)))
        await until(lambda: pool.busy == 1)
        for name in ("photo 1", "photo 2"):
            calls.create_task(note(name, pool.analyze(fake_photo([2]), OPTIONS)))
        await until(lambda: pool.waiting == 2)
        for name in ("selfie 1", "selfie 2"):
            calls.create_task(note(name, pool.analyze(fake_photo([3]), OPTIONS, urgent=True)))
    assert order == ["first", "selfie 1", "selfie 2", "photo 1", "photo 2"]


async def test_selfies_do_not_wait_for_photos_where_a_worker_is_theirs_alone() -> None:
    async with running(selfie_workers=1) as pool:
        photos = [asyncio.create_task(pool.analyze(SLOW, OPTIONS)) for _ in range(6)]
        await until(lambda: pool.busy == 1)
        for person in range(5):
            selfie = await pool.analyze(fake_photo([person]), OPTIONS, urgent=True)
            assert shows(selfie, person)
        assert not photos[1].done()
        # Nor does it help with photos, which would make selfies wait again.
        assert pool.busy == 1
        await asyncio.gather(*photos)


async def test_workers_for_selfies_go_first_and_are_replaced() -> None:
    async with running(selfie_workers=1) as pool:
        workers = {psutil.Process(pid).nice(): pid for pid in pool.pids}
        ours = psutil.Process().nice()
        assert set(workers) == {ours, ours + PHOTO_NICE}
        os.kill(workers[ours], signal.SIGKILL)
        await asyncio.to_thread(os.waitid, os.P_PID, workers[ours], os.WEXITED | os.WNOWAIT)
        blocked = asyncio.create_task(pool.analyze(SLOW, OPTIONS))
        await until(lambda: pool.busy == 1)
        assert shows(await pool.analyze(fake_photo([4]), OPTIONS, urgent=True), 4)
        await blocked
        await until(lambda: len(pool.pids) == 2)
        assert {psutil.Process(pid).nice() for pid in pool.pids} == set(workers)


async def test_a_full_queue_holds_photos_back_and_refuses_selfies() -> None:
    async with running(queue_size=2) as pool:
        photos = [asyncio.create_task(pool.analyze(SLOW, OPTIONS)) for _ in range(8)]
        await until(lambda: pool.waiting == 2)
        selfies = [
            asyncio.create_task(pool.analyze(fake_photo([1]), OPTIONS, urgent=True))
            for _ in range(2)
        ]
        await until(lambda: pool.waiting == 4)
        with pytest.raises(Overloaded) as refused:
            await pool.analyze(fake_photo([1]), OPTIONS, urgent=True)
        assert refused.value.retry_after_s > 0
        most = 0
        while not all(photo.done() for photo in photos):
            most = max(most, pool.waiting)
            await asyncio.sleep(0.01)
        assert most <= 4
        await asyncio.gather(*photos, *selfies)


async def test_cancelled_callers_leave_an_empty_queue() -> None:
    async with running(queue_size=16) as pool:
        calls = [
            asyncio.create_task(pool.analyze(SLOW, OPTIONS, urgent=number % 30 == 0))
            for number in range(400)
        ]
        await until(lambda: pool.waiting > 16)
        for call in calls:
            call.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert pool.waiting == 0
        # The worker finishes the one image it had and takes the next caller's; nobody is mixed up.
        assert shows(await pool.analyze(fake_photo([9]), OPTIONS), 9)
        assert pool.replaced == 0


async def test_an_image_that_nobody_waits_for_is_given_up() -> None:
    """By the worker that has it, too, so that its place is free for the next."""
    many = 20
    async with running() as pool:
        call = asyncio.create_task(pool.analyze(slow_photo(many), OPTIONS))
        await until(lambda: pool.busy == 1)
        started = time.perf_counter()
        call.cancel()
        await until(lambda: pool.busy == 0)
        assert time.perf_counter() - started < many * SLOW_S / 2
        assert shows(await pool.analyze(fake_photo([9]), OPTIONS), 9)
        assert pool.replaced == 0


def slow_photo(times: int) -> bytes:
    """A photo that takes that many times as long as SLOW."""
    canvas = np.full((480, 640, 3), 90, np.uint8)
    for n in range(times):
        canvas[20 * n + 10 : 20 * n + 18, 100:300] = Command.SLOW.value
    encoded = io.BytesIO()
    Image.fromarray(canvas).save(encoded, "PNG")
    return encoded.getvalue()


@pytest.mark.parametrize(("command", "timeout_s"), [(Command.CRASH, 60), (Command.HANG, 4)])
async def test_a_crash_or_a_hang_costs_one_image(command: Command, timeout_s: float) -> None:
    async with running(workers=2, image_timeout_s=timeout_s) as pool:
        bad = asyncio.create_task(pool.analyze(fake_photo([1], command=command), OPTIONS))
        good = [asyncio.create_task(pool.analyze(fake_photo([p]), OPTIONS)) for p in range(20)]
        with pytest.raises(ProcessingFailed, match="crash, or took too much time"):
            await bad
        assert all(shows(a, p) for p, a in enumerate(await asyncio.gather(*good)))
        await until(lambda: pool.replaced == 1 and len(pool.pids) == 2)
        assert shows(await pool.analyze(fake_photo([5]), OPTIONS, urgent=True), 5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts memory")
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
async def test_an_image_that_needs_too_much_memory_costs_its_worker(image_format: str) -> None:
    """And is answered as what it is, not as a damaged one."""
    out = io.BytesIO()
    Image.new("RGB", (6000, 5000)).save(out, image_format, progressive=True, lossless=True)
    async with running(worker_memory_bytes=100 << 20) as pool:
        assert shows(await pool.analyze(fake_photo([4]), OPTIONS), 4)
        with pytest.raises(ProcessingFailed, match="memory"):
            await pool.analyze(out.getvalue(), OPTIONS)
        assert shows(await pool.analyze(fake_photo([5]), OPTIONS), 5)
        assert pool.replaced == 1


async def test_a_worker_killed_while_idle_costs_nothing() -> None:
    async with running() as pool:
        (worker,) = pool.pids
        os.kill(worker, signal.SIGKILL)
        # Its threads may outlive its first one for a moment; this waits for all, without reaping.
        await asyncio.to_thread(os.waitid, os.P_PID, worker, os.WEXITED | os.WNOWAIT)
        assert shows(await pool.analyze(fake_photo([4]), OPTIONS), 4)
        assert pool.replaced == 1


async def test_workers_outlive_the_signals_that_are_meant_for_the_server() -> None:
    async with running() as pool:
        (worker,) = pool.pids
        os.kill(worker, signal.SIGINT)
        os.kill(worker, signal.SIGTERM)
        assert shows(await pool.analyze(fake_photo([4]), OPTIONS), 4)
        assert pool.pids == [worker]


async def test_an_engine_error_costs_one_image_and_tells_no_internals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as pool:
        workers = pool.pids
        with pytest.raises(ProcessingFailed) as failed:
            await pool.analyze(fake_photo([1], command=Command.FAIL), OPTIONS)
        assert "asked the fake engine" not in failed.value.message
        assert "asked the fake engine" in caplog.text
        assert shows(await pool.analyze(fake_photo([4]), OPTIONS), 4)
        assert pool.pids == workers


async def test_invalid_images_are_refused_by_their_own_error() -> None:
    limits = ImageLimits(max_photo_bytes=100_000, max_probe_bytes=50_000)
    photo = fake_photo([1, 2])
    cases: list[tuple[bytes, type[Exception]]] = [
        (b"", ImageEmpty),
        (b"GIF89a" + bytes(200), ImageUnsupported),
        (photo[: len(photo) // 2], ImageTruncated),
        (photo + bytes(100_000), ImageTooLarge),
    ]
    async with running(limits) as pool:
        for content, error in cases:
            with pytest.raises(error) as refused:
                await pool.analyze(content, OPTIONS)
            assert type(refused.value) is error
            assert str(refused.value)
        with pytest.raises(ImageTooLarge):
            await pool.analyze(photo + bytes(50_000), OPTIONS, urgent=True)
        assert pool.replaced == 0


async def test_a_pack_that_cannot_be_loaded_is_said_at_start(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    pool = WorkerPool(settings(pack="none", workers=2), ImageLimits())
    with pytest.raises(PackUnavailable, match="There is no fake pack 'none'"):
        await pool.start()
    assert set(psutil.Process().children(recursive=True)) <= before
    with pytest.raises(PackUnavailable):
        _ = pool.pack


async def test_closing_fails_the_waiting_and_leaves_no_process() -> None:
    pool = WorkerPool(settings(queue_size=2), ImageLimits())
    await pool.start()
    workers = [psutil.Process(pid) for pid in pool.pids]
    calls = [asyncio.create_task(pool.analyze(SLOW, OPTIONS)) for _ in range(6)]
    await until(lambda: pool.waiting == 2)
    await pool.close()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, ProcessingFailed) for outcome in outcomes)
    assert not any(worker.is_running() for worker in workers)
    with pytest.raises(ProcessingFailed):
        await pool.analyze(SLOW, OPTIONS)
    await pool.close()


SERVER = """
import asyncio
from common.config import EngineSettings, ImageLimits
from common.vision.fake.photos import Command, fake_photo
from common.vision.types import AnalyzeOptions
from common.vision.workers.pool import WorkerPool

async def main():
    pool = WorkerPool(EngineSettings(kind="fake", workers=2), ImageLimits())
    await pool.start()
    hang = pool.analyze(fake_photo([1], command=Command.HANG), AnalyzeOptions())
    task = asyncio.create_task(hang)
    await asyncio.sleep(0.2)
    print(*pool.pids, flush=True)
    await task

asyncio.run(main())
"""


async def test_workers_go_when_the_server_is_killed() -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    workers = [psutil.Process(int(pid)) for pid in (await server.stdout.readline()).split()]
    assert len(workers) == 2
    server.kill()
    await server.wait()
    await until(lambda: not any(worker.is_running() for worker in workers))
