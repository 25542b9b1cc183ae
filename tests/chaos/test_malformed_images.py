"""Whatever is sent as a photo or a selfie is answered, and no process dies of it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import grpc
import psutil
import pytest
import simplejpeg
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2, types_pb2
from facepass.v1.events_pb2_grpc import EventsStub
from facepass.v1.indexer_pb2_grpc import IndexerStub
from facepass.v1.searcher_pb2_grpc import SearcherStub
from google.rpc import error_details_pb2
from grpc_status import rpc_status  # type: ignore[import-untyped]
from malformed_images import encode, malformed, originals, portrait

from common.config import MIB, EngineSettings, ImageLimits
from common.errors import InvalidImage
from common.vision.images.picture import Picture

pytestmark = [pytest.mark.takes(200), pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "standalone", "standalone"]
WORKERS = 2
MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")
START_S = 90
SERVICE_GROWTH = 200 * MIB
TIMEOUT_S = 20
"""After which a worker is replaced: a third of what is usual, and none may be."""
FINE = "fine"


class Service:
    """The standalone in a process of its own, with a real engine."""

    def __init__(self, folder: Path, pack: Path | None) -> None:
        engine = {"KIND": "onnx", "PACK": str(pack)} if pack else {"KIND": "starter"}
        engine |= {"WORKERS": str(WORKERS), "SELFIE_WORKERS": "0"}
        engine["IMAGE_TIMEOUT_S"] = str(TIMEOUT_S)
        ports = [
            f"--{server}-{listen}=127.0.0.1:0"
            for server in ("indexer", "searcher")
            for listen in ("listen", "metrics-listen")
        ]
        ready, self.log = folder / "ready.json", folder / "log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *ports, f"--data-dir={folder / 'data'}", f"--ready-file={ready}"],
                cwd=ROOT,
                env=os.environ | {f"FACEPASS_ENGINE__{name}": engine[name] for name in engine},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_S
        while not ready.exists():
            assert self.alive and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        told = json.loads(ready.read_text())
        self._channels = [grpc.insecure_channel(told[name]) for name in ("indexer", "searcher")]
        self.indexer = IndexerStub(self._channels[0])
        self.searcher = SearcherStub(self._channels[1])
        EventsStub(self._channels[0]).CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def rss(self) -> int:
        """Bytes of the service's own process."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def workers(self) -> list[int]:
        children = psutil.Process(self._process.pid).children()
        return sorted(
            c.pid for c in children if "common.vision.workers.worker" in " ".join(c.cmdline())
        )

    def worker_peak(self) -> int:
        """Bytes that the largest worker ever had."""
        lines = [
            line
            for pid in self.workers()
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmHWM")
        ]
        return max(int(line.split()[1]) for line in lines) * 1024

    def close(self) -> None:
        for channel in self._channels:
            channel.close()
        self._process.terminate()
        self._process.wait(60)


@pytest.fixture(scope="module")
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    folder = Path(tempfile.mkdtemp(prefix="facepass-test-"))
    folder.chmod(0o711)
    try:
        packs: Path = request.getfixturevalue("packs_dir")
        pack: Path | None = packs / "scrfd500m-mbf128"
    except pytest.skip.Exception:
        pack = None
    running = Service(folder, pack)
    yield running
    running.close()
    shutil.rmtree(folder)


@dataclass
class Decoders:
    """How often each real decoder was called, and whether with what is not its own."""

    calls: int = 0
    foreign: list[bytes] = field(default_factory=list)

    def watch(self, module: Any, name: str, magics: Sequence[bytes], patch: Any) -> None:
        decode = getattr(module, name)

        def watched(content: Any, *arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if not bytes(content[:8]).startswith(tuple(magics)):
                self.foreign.append(bytes(content[:8]))
            return decode(content, *arguments, **options)

        patch.setattr(module, name, watched)


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> Decoders:
    watched = Decoders()
    watched.watch(simplejpeg, "decode_jpeg", MAGIC[:1], monkeypatch)
    watched.watch(cv2, "imdecode", MAGIC[1:], monkeypatch)
    return watched


def expected(content: bytes, decoders: Decoders) -> str:
    """What is to be said of an image, by decoding it here."""
    before = decoders.calls
    try:
        Picture.open(content, ImageLimits(), max_bytes=16 * MIB).view()
    except InvalidImage as error:
        reason = error.reason
    else:
        reason = FINE
    assert decoders.calls == before or content.startswith(MAGIC)
    return reason


def reason_of(details: Any) -> str:
    for detail in details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return "no reason"


def as_photo(service: Service, number: int, content: bytes) -> str:
    result = service.indexer.IndexPhoto(
        indexer_pb2.IndexPhotoRequest(
            config=indexer_pb2.IndexPhotosConfig(event="events/gala"),
            photo=indexer_pb2.PhotoHeader(photo_id=f"photo-{number}"),
            content=content,
        )
    ).result
    if result.state == types_pb2.PHOTO_STATE_INDEXED:
        return FINE
    assert result.state == types_pb2.PHOTO_STATE_REJECTED, result
    return reason_of(result.status.details)


def as_selfie(service: Service, content: bytes) -> str:
    try:
        service.searcher.EvaluateSelfie(searcher_pb2.EvaluateSelfieRequest(image=content))
    except grpc.RpcError as error:
        # Without any bytes it is the field that is wrong.
        reason = reason_of(rpc_status.from_call(error).details)
        return "IMAGE_EMPTY" if reason == "INVALID_ARGUMENT" else reason
    return FINE


def send(service: Service, number: int, content: bytes) -> tuple[str, float]:
    """What is said of an image, and after how many seconds."""
    started = time.perf_counter()
    as_one = as_selfie if number % 4 == 0 else lambda s, c: as_photo(s, number, c)
    return as_one(service, content), time.perf_counter() - started


def test_malformed_images(
    service: Service,
    decoders: Decoders,
    request: pytest.FixtureRequest,
    long: bool,
    figure: Callable[..., None],
) -> None:
    inputs, seed = (10_000, 7) if long else (300, 8)
    good = originals()
    for number, content in enumerate(good):
        assert send(service, -number, content)[0] == FINE
    workers, before, loaded = service.workers(), service.rss, service.worker_peak()
    if long:
        good += photos(request)
    answers: Counter[str] = Counter()
    slowest, largest = 0.0, before

    with ThreadPoolExecutor(WORKERS) as callers:
        todo = malformed(good, inputs, seed)
        number = 1
        while some := [content for _, content in zip(range(50), todo, strict=False)]:
            numbers = range(number, number + len(some))
            told = list(callers.map(lambda n, c: send(service, n, c), numbers, some))
            for n, content, (reason, seconds) in zip(numbers, some, told, strict=True):
                assert reason == expected(content, decoders), (seed, n)
                answers[reason] += 1
                slowest = max(slowest, seconds)
            largest = max(largest, service.rss)
            number += len(some)
    for content in enormous() if long else ():
        reason, seconds = send(service, number + 1, content)
        assert reason == FINE
        answers[reason] += 1
        slowest, number = max(slowest, seconds), number + 2

    assert service.alive
    assert service.workers() == workers, service.log.read_text()[-3000:]
    assert decoders.foreign == [] and decoders.calls > answers[FINE]
    assert largest - before <= SERVICE_GROWTH
    assert service.worker_peak() - loaded <= EngineSettings().worker_memory_bytes
    refused = answers.total() - answers[FINE]
    figure(
        "Malformed images",
        done="Files of every kind, cut, changed and spliced ones sent as photos and as selfies",
        sent=answers.total(),
        refused_with_the_reason=refused,
        whole_after_all=answers[FINE],
        exits_of_processes=0,
        other_files_at_a_decoder=len(decoders.foreign),
        slowest_answer=f"{slowest:.1f} s",
        service_grew_by=f"{(largest - before) / MIB:.0f} MiB",
        worker_grew_by=f"{(service.worker_peak() - loaded) / MIB:.0f} MiB",
    )


def photos(request: pytest.FixtureRequest) -> list[bytes]:
    """Real ones, where they are at hand."""
    try:
        folder: Path = request.getfixturevalue("photos_dir")
    except pytest.skip.Exception:
        return []
    files = sorted((*folder.glob("*.jpg"), *folder.glob("*.png")))
    return [content for path in files if len(content := path.read_bytes()) < 2 * MIB]


def enormous() -> Iterator[bytes]:
    """As many pixels as are let through: the memory and the time that an image may cost."""
    image = portrait(10_000)
    yield encode(image, "JPEG", progressive=True, subsampling=0)
    yield encode(image, "WEBP", quality=50, method=0)
