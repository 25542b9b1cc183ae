"""What the server and its child processes send each other."""

from dataclasses import dataclass, field

from common.config import EngineSettings, ImageLimits
from common.errors import InvalidImage
from common.vision.types import Analysis, AnalyzeOptions, Pack
from common.vision.workers.workload import DeviceLoad


@dataclass(frozen=True, slots=True)
class Setup:
    """First message to a child; answered by a Loaded or a Failure.

    shared: whether the models are in the device process. A worker is then sent a NewLine, too.
    nice: by how much a worker gives way to other processes, 0 to 19.
    """

    engine: EngineSettings
    limits: ImageLimits
    shared: bool = False
    nice: int = 0


@dataclass(frozen=True, slots=True)
class NewLine:
    """With it comes a descriptor: one end of a connection of a worker with the device process."""


@dataclass(frozen=True, slots=True)
class Task:
    """One image for a worker to analyse; answered by an Analysis, an InvalidImage, a Withdrawn or a
    Failure. Its content is sent behind it."""

    number: int
    content: bytes = field(repr=False)
    options: AnalyzeOptions
    max_bytes: int
    urgent: bool = False
    size: int = 0
    """Bytes of the content, where that is still to come."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits any more for the task of that number."""

    number: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """The models are there. provider: what they run on."""

    pack: Pack
    provider: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The task was given up on the way, as a Cancel asked for."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong inside the child: one line for people, and where."""

    message: str
    traceback: str


Message = Setup | NewLine | Task | Cancel | None
"""What a child is sent; None asks it to leave."""
Answer = Loaded | Analysis | InvalidImage | Withdrawn | Failure | DeviceLoad
"""What it sends; the device process a DeviceLoad now and then, unasked."""
