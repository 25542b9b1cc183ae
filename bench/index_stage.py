"""Everything that the measurements of indexing share."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from bench import index_photos as photos
from bench.ground import Ground, Server, prepared
from bench.index_child import Child, child
from bench.index_client import STOP
from bench.index_photos import PhotoSet
from bench.stage import Progress
from bench.stage_report import StageReport, report, scrape

DATABASE = "indexing"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. scale: 1 takes some minutes; less is for trying it out."""

    scale: float

    def repeats(self, most: int) -> int:
        """Rounds of a measurement."""
        return most if self.scale >= 0.5 else 2

    def count(self, most: int, least: int = 2) -> int:
        """Photos, searches, of which there are fewer at a smaller scale."""
        return max(least, round(most * self.scale))

    @property
    def seconds_a_sample(self) -> float:
        """How long each side of a comparison works in one round."""
        return max(0.2, 4.0 * self.scale)


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of photos that were sent to an Indexer, from the first call to the last answer.

    cpu_s: of the server and its workers.
    """

    photos: int
    faces: int
    seconds: float
    cpu_s: float
    report: StageReport

    @property
    def per_s(self) -> float:
        return self.photos / self.seconds


class IndexStage:
    """Photos, a database, servers with real packs, and a process of clients."""

    def __init__(
        self, sizes: Sizes, packs: Path, real: Path | None, ground: Ground, stack: ExitStack
    ) -> None:
        self.sizes = sizes
        self.ground = ground
        self.stack = stack
        self.progress = Progress()
        self.pack, *self.other_packs = folders(packs)
        self.cores = cores()
        self.progress.say("making photos")
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="facepass-photos-")))
        self.real = photos.real(real, sizes.count(100)) if real else None
        self.demo = photos.demo(folder, sizes.count(60, least=4))
        self.camera = photos.camera(folder, sizes.count(16))
        self.two_megapixels = photos.two_megapixels(folder, self.camera)
        self.crowd = photos.crowd(folder)
        self.labelled = photos.labelled(folder, real, sizes.count(14)) if real else None
        self.progress.say("starting a database and clients")
        ground.create_database(DATABASE)
        self.client = stack.enter_context(started("bench.index_client"))
        self._events = 0

    @property
    def sets(self) -> list[PhotoSet]:
        """What is compared with B1."""
        return [*([self.real] if self.real else []), self.demo, self.camera]

    def new_event(self) -> str:
        """An event id that was not taken yet."""
        self._events += 1
        return f"bench-{self._events:04d}"

    def indexer(self, pack: Path | None = None, **settings: str) -> Server:
        """Start an Indexer with a worker a core."""
        return self.ground.serve("indexer", DATABASE, **(self.engine(pack) | settings))

    def engine(self, pack: Path | None = None) -> dict[str, str]:
        """Settings of a server with real models."""
        return {
            "FACEPASS_ENGINE__KIND": "onnx",
            "FACEPASS_ENGINE__PACK": str(pack or self.pack),
            "FACEPASS_ENGINE__PROVIDERS": '["CPUExecutionProvider"]',
            "FACEPASS_ENGINE__WORKERS": "0",
        }

    def alone(self, pack: Path | None = None) -> Child:
        """A worker's stages without servers."""
        return self.stack.enter_context(started("bench.index_alone", str(pack or self.pack)))

    def baseline(self, pack: Path | None = None) -> Child:
        """B1."""
        return self.stack.enter_context(started("bench.baselines.b1", str(pack or self.pack)))

    def send(
        self,
        server: Server,
        files: Sequence[str],
        *,
        repeats: int = 1,
        clients: int = 1,
        closely: bool = False,
        event: str = "",
    ) -> Sent:
        """Index photos in a new event. Raises RuntimeError when one is not indexed."""
        before, cpu_s = scrape(server.metrics_address), cpu_seconds(server.pid)
        self.client.send(
            address=server.address,
            event=event or self.new_event(),
            photos=list(files),
            repeats=repeats,
            clients=clients,
            closely=closely,
        )
        self.client.receive()
        sent = self.client.receive()
        cpu_s = cpu_seconds(server.pid) - cpu_s
        if sent["failed"]:
            raise RuntimeError(f"{sent['failed']} of {sent['photos']} photos were not indexed")
        told = report(before, scrape(server.metrics_address))
        return Sent(sent["photos"], sent["faces"], sent["seconds"], cpu_s, told)

    @contextmanager
    def sending(self, server: Server, files: Sequence[str]) -> Iterator[None]:
        """Index photos over and over for as long as the context lasts."""
        self.client.send(
            address=server.address, event=self.new_event(), photos=list(files), repeats=1_000_000
        )
        self.client.receive()
        try:
            yield
        finally:
            self.client.send(**{STOP: True})
            self.client.receive()


@contextmanager
def started(module: str, *arguments: str) -> Iterator[Child]:
    """A process that has said that it is ready."""
    with child(module, *arguments) as process:
        process.receive()
        yield process


@contextmanager
def staged(scale: float, packs: Path, real: Path | None) -> Iterator[IndexStage]:
    """A stage; all of it ends with the context."""
    with ExitStack() as stack:
        ground = stack.enter_context(prepared(small=True))
        yield IndexStage(Sizes(scale), packs, real, ground, stack)


def folders(packs: Path) -> list[Path]:
    """The packs in a folder, by name."""
    return sorted(path for path in packs.glob("*/") if any(path.glob("*.onnx")))


def cores() -> int:
    """Cores that this process, and so everything it starts, may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def family(pid: int) -> list[psutil.Process]:
    """A server's process and its workers."""
    server = psutil.Process(pid)
    return [server, *server.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """CPU time of a server and its workers so far."""
    times = [process.cpu_times() for process in family(pid)]
    return float(sum(each.user + each.system for each in times))
