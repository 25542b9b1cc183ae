"""The pool of worker processes that the servers ask for faces."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

from common.config import EngineSettings, ImageLimits
from common.errors import FacePassError, PackUnavailable, ProcessingFailed, without_frames
from common.vision.types import Analysis, AnalyzeOptions, Pack
from common.vision.workers.device_keeper import DeviceKeeper
from common.vision.workers.lanes import CLOSED, Lanes
from common.vision.workers.messages import Loaded, Setup, Task, Withdrawn
from common.vision.workers.persist import persist
from common.vision.workers.self_tune import choose_crew, usable_cores
from common.vision.workers.worker_process import WorkerProcess
from common.vision.workers.workload import BusyTime, Workload

logger = logging.getLogger(__name__)

LOAD_TIMEOUT_S = 180.0
STOP_GRACE_S = 5.0
PHOTO_NICE = 10
"""By how much workers for photos give way to those for selfies, where there are such."""


@dataclass(eq=False, slots=True)
class _Job:
    """One image on its way through the pool."""

    task: Task
    answer: asyncio.Future[Analysis]
    arrived: float = field(default_factory=time.perf_counter)

    def resolve(self, outcome: Analysis | BaseException) -> None:
        """Answer the caller, unless it has gone."""
        if self.answer.done():
            return
        if isinstance(outcome, BaseException):
            self.answer.set_exception(without_frames(outcome))
        else:
            self.answer.set_result(outcome)


class WorkerPool:
    """`Vision` by worker processes, each with one image at a time, and with its own models or those
    of a device process.

    Images wait in two bounded lanes (see `Lanes`), so that selfies overtake photos. Workers for
    selfies alone, idle otherwise, spare these the wait for a photo to be finished. A worker that
    dies or takes longer than `image_timeout_s` is replaced and costs the one image it had; an image
    whose caller goes is given up between two of its stages.
    """

    def __init__(
        self,
        settings: EngineSettings,
        limits: ImageLimits,
        *,
        selfie_workers: int = 0,
        cores: int | None = None,
    ) -> None:
        """cores: how many it may use; by default all."""
        self._settings = settings
        self._limits = limits
        self._cores = cores or usable_cores()
        self._size = settings.workers or self._cores
        self._selfie_workers = selfie_workers
        self._lanes: Lanes[_Job] = Lanes(settings.queue_size)
        self._jobs: set[_Job] = set()
        self._processes: set[WorkerProcess] = set()
        self._serving: list[asyncio.Task[None]] = []
        self._threads = ThreadPoolExecutor(self._size + selfie_workers, thread_name_prefix="worker")
        self._loaded: Loaded | None = None
        self._image_s = 0.5
        self._busy = BusyTime()
        self._numbers = count(1)
        self._keeper: DeviceKeeper | None = None
        self.replaced = 0
        """Workers that had to be replaced since the start."""

    @property
    def pack(self) -> Pack:
        """The workers' pack, known once started."""
        return self._first.pack

    @property
    def provider(self) -> str:
        """What the workers' engines run on, known once started."""
        return self._first.provider

    @property
    def _first(self) -> Loaded:
        if self._loaded is None:
            raise PackUnavailable("The worker pool has not been started.")
        return self._loaded

    @property
    def waiting(self) -> int:
        """Images queued and not yet with a worker."""
        return len(self._lanes)

    @property
    def busy(self) -> int:
        """Images that a worker has right now, less those of workers for selfies."""
        return self._busy.busy

    @property
    def workload(self) -> Workload:
        """As Vision.workload."""
        return Workload(
            workers=self._size,
            busy=self._busy.busy,
            busy_s=self._busy.seconds,
            photos_waiting=self._lanes.patient,
            selfies_waiting=self._lanes.urgent,
            replaced=self.replaced,
            device=self._keeper.load if self._keeper else None,
            devices_replaced=self._keeper.replaced if self._keeper else 0,
        )

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [process.pid for process in self._processes]

    @property
    def device_pid(self) -> int | None:
        """Process id of the device process; None where there is none."""
        return self._keeper.pid if self._keeper else None

    async def start(self) -> None:
        """Start all workers, engines loaded. Raises PackUnavailable with the engine's message."""
        await self._choose_crew()
        processes: dict[WorkerProcess, bool] = {}
        try:
            if self._keeper:
                await self._keeper.start()
            for for_selfies in [False] * self._size + [True] * self._selfie_workers:
                processes[self._spawn(for_selfies)] = for_selfies
            loaded = await asyncio.gather(*(self._load(process) for process in processes))
        except BaseException:
            for process in processes:
                process.kill()
            await self.close()
            raise
        self._loaded = loaded[0]
        self._serving = [asyncio.create_task(self._serve(*each)) for each in processes.items()]

    async def _choose_crew(self) -> None:
        crew = await asyncio.to_thread(choose_crew, self._settings, self._cores)
        self._size = crew.workers
        self._settings = self._settings.model_copy(update={"threads": crew.threads})
        if crew.shared:
            self._keeper = DeviceKeeper(Setup(self._settings, self._limits))

    async def close(self) -> None:
        """Fail what still waits and end all workers."""
        self._lanes.close()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for job in list(self._jobs):
            job.resolve(ProcessingFailed(CLOSED))
        stops = [asyncio.to_thread(process.stop, STOP_GRACE_S) for process in self._processes]
        await asyncio.gather(*stops)
        if self._keeper:
            await self._keeper.close()
        await asyncio.to_thread(self._threads.shutdown)
        while self._processes:
            self._processes.pop().close()

    async def analyze(
        self, content: bytes, options: AnalyzeOptions, *, owner: str = "", urgent: bool = False
    ) -> Analysis:
        """As Vision.analyze; where the queue is full, urgent calls raise Overloaded, others
        wait."""
        limits = self._limits
        max_bytes = limits.max_probe_bytes if urgent else limits.max_photo_bytes
        answer: asyncio.Future[Analysis] = asyncio.get_running_loop().create_future()
        task = Task(next(self._numbers), content, options, max_bytes, urgent)
        job = _Job(task, answer)
        self._jobs.add(job)
        try:
            if urgent:
                self._lanes.put_urgent(owner, job, retry_after_s=self._retry_after_s())
            else:
                await self._lanes.put(owner, job)
            return await answer
        finally:
            self._lanes.discard(owner, job)
            self._jobs.discard(job)
            # An error holds this frame, and these the error.
            del job, answer

    def _retry_after_s(self) -> float:
        return max(1.0, self._settings.queue_size * self._image_s / self._size)

    def _spawn(self, for_selfies: bool) -> WorkerProcess:
        nice = PHOTO_NICE if self._selfie_workers and not for_selfies else 0
        setup = Setup(self._settings, self._limits, shared=self._keeper is not None, nice=nice)
        process = WorkerProcess(setup)
        self._processes.add(process)
        return process

    async def _load(self, process: WorkerProcess) -> Loaded:
        loop = asyncio.get_running_loop()
        await self._connect(process)
        timer = loop.call_later(LOAD_TIMEOUT_S, process.kill)
        try:
            return await loop.run_in_executor(self._threads, process.load)
        finally:
            timer.cancel()

    async def _serve(self, process: WorkerProcess, for_selfies: bool) -> None:
        """Work on one image after the other, for ever, in this process or its successors."""
        # Workers for selfies are not counted: they say nothing of how busy those for photos are.
        busy = BusyTime() if for_selfies else self._busy
        while True:
            process = await self._serve_one(process, for_selfies, busy)

    async def _serve_one(
        self, process: WorkerProcess, for_selfies: bool, busy: BusyTime
    ) -> WorkerProcess:
        """Work on the next image; returns the process for the one after it."""
        job = await self._lanes.take(only_urgent=for_selfies)
        # It may have been killed while it was idle; that must cost no image.
        if not process.alive:
            process = await self._replace(process, for_selfies)
        await self._connect(process)
        if not job.answer.done():
            busy.begin()
            try:
                await self._work(process, job)
            finally:
                busy.end()
        return process if process.alive else await self._replace(process, for_selfies)

    async def _connect(self, process: WorkerProcess) -> None:
        if self._keeper:
            await self._keeper.connect(process)

    async def _work(self, process: WorkerProcess, job: _Job) -> None:
        """Give one image to a worker and answer its caller."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._settings.image_timeout_s, process.kill)
        job.answer.add_done_callback(partial(_withdraw, process, job.task.number))
        started = time.perf_counter()
        try:
            analysis = await loop.run_in_executor(self._threads, process.analyze, job.task)
        except FacePassError as error:
            job.resolve(error)
        except Exception:
            # What state the connection is in is unknown, so the worker goes too.
            logger.exception("worker failed", extra={"action": "worker_failed"})
            process.kill()
            job.resolve(ProcessingFailed("FacePass failed on this image; nothing was stored."))
        else:
            if isinstance(analysis, Withdrawn):
                return
            queue_ms = (started - job.arrived) * 1000
            timings = replace(analysis.timings, queue_ms=queue_ms)
            job.resolve(replace(analysis, timings=timings))
            self._image_s += 0.1 * (time.perf_counter() - started - self._image_s)
        finally:
            timer.cancel()

    async def _replace(self, dead: WorkerProcess, for_selfies: bool) -> WorkerProcess:
        """A new worker with its engine loaded, tried for as long as it takes."""
        self._processes.discard(dead)
        await asyncio.to_thread(dead.close)
        self.replaced += 1
        return await persist(partial(self._start_one, for_selfies), "worker")

    async def _start_one(self, for_selfies: bool) -> WorkerProcess:
        process = self._spawn(for_selfies)
        try:
            await self._load(process)
        except PackUnavailable:
            self._processes.discard(process)
            await asyncio.to_thread(process.close)
            raise
        return process


def _withdraw(process: WorkerProcess, number: int, answer: asyncio.Future[Analysis]) -> None:
    """Where the caller has gone, have the worker give its image up."""
    if answer.cancelled():
        # In a thread, since a worker that is stuck may not be reading.
        asyncio.get_running_loop().run_in_executor(None, process.cancel, number)
