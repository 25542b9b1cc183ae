"""Keeps a device process running, and the workers connected with it."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from common.vision.workers.device_process import DeviceProcess
from common.vision.workers.messages import Setup
from common.vision.workers.persist import persist
from common.vision.workers.worker_process import WorkerProcess
from common.vision.workers.workload import DeviceLoad

logger = logging.getLogger(__name__)

LOAD_TIMEOUT_S = 1800.0
"""TensorRT builds its engines at the first start."""
STOP_GRACE_S = 5.0


class DeviceKeeper:
    """One device process after the other. Workers get lines to the one that runs."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._device: DeviceProcess | None = None
        self._ready = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._past = DeviceLoad()
        self._now = DeviceLoad()
        self.replaced = 0
        """Device processes that had to be replaced since the start."""

    @property
    def load(self) -> DeviceLoad:
        """What all device processes have done since the start."""
        return self._past + self._now

    @property
    def pid(self) -> int | None:
        """Of the process that runs; None while there is none."""
        return self._device.pid if self._device and self._ready.is_set() else None

    async def start(self) -> None:
        """Start the process, its models loaded. Raises PackUnavailable."""
        await self._start()
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """End the process."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._device:
            await asyncio.to_thread(self._device.stop, STOP_GRACE_S)
        await asyncio.to_thread(self._thread.shutdown)
        if self._device:
            self._device.close()
            self._device = None

    async def connect(self, worker: WorkerProcess) -> None:
        """See that a worker has a line to the process that runs, which is waited for."""
        if self._device and not self._device.alive:
            self._ready.clear()  # `_keep` is about to find out
        await self._ready.wait()
        device = self._device
        if device is None or worker.device is device:
            return
        # Whoever of the two has died meanwhile, asking the worker shows it.
        with suppress(OSError):
            await asyncio.to_thread(_connect, device, worker)

    async def _start(self) -> None:
        device = self._device = DeviceProcess(self._setup)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(LOAD_TIMEOUT_S, device.kill)
        try:
            await loop.run_in_executor(self._thread, device.load)
        finally:
            timer.cancel()
        self._ready.set()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            assert self._device is not None
            how = await loop.run_in_executor(self._thread, self._device.watch, self._told)
            logger.error("device process died", extra={"action": "device_died", "exit": how})
            self._ready.clear()
            self._past, self._now = self.load, DeviceLoad()
            self.replaced += 1
            await persist(self._restart, "device")

    async def _restart(self) -> None:
        if self._device:
            await asyncio.to_thread(self._device.close)
        await self._start()

    def _told(self, load: DeviceLoad) -> None:
        self._now = load


def _connect(device: DeviceProcess, worker: WorkerProcess) -> None:
    with device.open_line() as line:
        worker.send_line(line)
    worker.device = device
