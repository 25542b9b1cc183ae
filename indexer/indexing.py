"""Indexing one photo: bytes in, templates committed."""

import logging
from dataclasses import dataclass
from enum import Enum
from time import perf_counter

from common.audit.note import count
from common.errors import (
    EventNotFound,
    FacePassError,
    InvalidImage,
    PackMismatch,
    PhotoIdConflict,
)
from common.event import Event
from common.metrics import Metrics
from common.photo import Photo, PhotoState
from common.quotas.quotas import Quotas
from common.rpc.status import code_of
from common.traces.span import current, stage
from common.vision.types import Analysis, AnalyzeOptions, Timings, Vision
from indexer.pending import PendingPhotos
from indexer.repository import PhotoRepository
from indexer.space import Space
from indexer.uploads import Upload
from indexer.write_repository import PhotoWrite, Written, check_pack
from indexer.writer import PhotoWriter

log = logging.getLogger(__name__)


class PhotoResultState(Enum):
    """What became of a photo. Values are the wire's, less the prefix."""

    INDEXED = "INDEXED"
    DUPLICATE = "DUPLICATE"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class IndexJob:
    """The event that photos go into, and how."""

    event: Event
    options: AnalyzeOptions
    replace: bool = False


@dataclass(frozen=True, slots=True)
class PhotoOutcome:
    """What became of one photo; `photo` for INDEXED and DUPLICATE, `error` for REJECTED and
    FAILED."""

    upload: Upload
    state: PhotoResultState
    photo: Photo | None = None
    error: Exception | None = None
    timings: Timings | None = None
    commit_ms: float = 0.0


class PhotoIndexing:
    """The use case."""

    def __init__(
        self,
        vision: Vision,
        repository: PhotoRepository,
        writer: PhotoWriter,
        pending: PendingPhotos,
        space: Space,
        quotas: Quotas,
        metrics: Metrics,
    ) -> None:
        self._vision = vision
        self._repository = repository
        self._writer = writer
        self._pending = pending
        self._space = space
        self._quotas = quotas
        self._metrics = metrics
        for state in PhotoResultState:
            metrics.photos.labels(state.value)

    def check(self, event: Event) -> None:
        """Raises PackMismatch or TemplateKeyMissing when this server cannot index photos of the
        event, OutOfSpace when it takes none at all."""
        check_pack(event, self._vision.pack.key)
        event.space.require()
        self._space.require()

    async def index(self, job: IndexJob, upload: Upload) -> PhotoOutcome:
        """Index one photo, which its quota was charged with. Whatever is wrong with the photo, or
        fails on the way, is its outcome.

        Raises EventNotFound when the event is deleted meanwhile, PackMismatch when another pack's
        templates get there first.
        """
        started = perf_counter()
        async with self._pending.photo(job.event.name):
            try:
                outcome = await self._index(job, upload)
            except (EventNotFound, PackMismatch):
                raise
            except Exception as error:
                outcome = _failure(upload, error)
        self._observe(outcome)
        seconds = self._metrics.photo_seconds.labels(outcome.state.value)
        seconds.observe(perf_counter() - started)
        return outcome

    async def _index(self, job: IndexJob, upload: Upload) -> PhotoOutcome:
        if upload.error is not None and not isinstance(upload.error, InvalidImage):
            raise upload.error
        await self._quotas.arrived(upload.size_bytes)
        with stage("known"):
            known = await self._known(job, upload)
        if known is not None:
            await self._quotas.stored_already()
            return known
        self._space.require()
        found = upload.error or await self._analyze(job, upload)
        started = perf_counter()
        write = PhotoWrite(upload.info, upload.sha256, upload.size_bytes, found, job.replace)
        with stage("commit"):
            written = await self._writer.write(job.event, write)
        commit_ms = (perf_counter() - started) * 1000
        if not isinstance(written, Written):
            raise written
        if written.photo.state is PhotoState.REJECTED:
            assert isinstance(found, InvalidImage)
            return PhotoOutcome(upload, PhotoResultState.REJECTED, error=found)
        state = PhotoResultState.DUPLICATE if written.duplicate else PhotoResultState.INDEXED
        timings = None if isinstance(found, InvalidImage) else found.timings
        return PhotoOutcome(upload, state, written.photo, None, timings, commit_ms)

    async def _known(self, job: IndexJob, upload: Upload) -> PhotoOutcome | None:
        """The outcome of a photo whose id is stored already, so that its bytes need no work."""
        name = job.event.name.photo(upload.info.photo_id)
        digest = await self._repository.digest(job.event, name.photo)
        if digest is None or digest[1] is PhotoState.REJECTED:
            return None
        if digest[0] == upload.sha256:
            photo = await self._repository.get(name)
            return PhotoOutcome(upload, PhotoResultState.DUPLICATE, photo)
        if not job.replace:
            raise PhotoIdConflict(
                f"photo id {name.photo} is taken by a photo with other bytes",
                metadata={"photo": str(name)},
            )
        return None

    async def _analyze(self, job: IndexJob, upload: Upload) -> Analysis | InvalidImage:
        try:
            analysis = await self._vision.analyze(
                upload.content, job.options, owner=str(job.event.name)
            )
        except InvalidImage as error:
            return error
        await self._quotas.decoded(analysis.width * analysis.height)
        return analysis

    def _observe(self, outcome: PhotoOutcome) -> None:
        metrics, photo = self._metrics, outcome.photo
        faces = len(photo.faces) if photo is not None else 0
        if (span := current.get()) is not None:
            span.tell(state=outcome.state.value, bytes=outcome.upload.size_bytes, faces=faces)
        metrics.photos.labels(outcome.state.value).inc()
        count(photos=1, bytes=outcome.upload.size_bytes, **{outcome.state.value.lower(): 1})
        if outcome.state is PhotoResultState.INDEXED and photo is not None:
            metrics.faces.inc(len(photo.faces))
            count(faces=len(photo.faces))
            for face in photo.unindexed:
                for reason in face.reasons:
                    metrics.faces_unindexed.labels(reason.value).inc()
        if outcome.timings is not None:
            timings = outcome.timings
            for stage, ms in (
                ("queue", timings.queue_ms),
                ("decode", timings.decode_ms),
                ("detect", timings.detect_ms),
                ("embed", timings.embed_ms),
                ("commit", outcome.commit_ms),
            ):
                metrics.stage_seconds.labels(stage).observe(ms / 1000)
        log.info(
            "photo %s",
            outcome.state.value,
            extra={
                "action": "photo_answered",
                "state": outcome.state.value,
                "reason": getattr(outcome.error, "reason", ""),
                "bytes": outcome.upload.size_bytes,
                "faces": faces,
            },
        )


def _failure(upload: Upload, error: Exception) -> PhotoOutcome:
    """REJECTED for what sending again cannot help, FAILED for what it may."""
    if not isinstance(error, FacePassError):
        log.error("unexpected error", extra={"action": "unexpected_error"}, exc_info=error)
    caller_at_fault = code_of(error).name in ("INVALID_ARGUMENT", "ALREADY_EXISTS")
    state = PhotoResultState.REJECTED if caller_at_fault else PhotoResultState.FAILED
    return PhotoOutcome(upload, state, error=error)
