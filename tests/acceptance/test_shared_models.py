"""Real packs, shared by workers: each photo gets what it gets of an engine of its own."""

from asyncio import gather
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from bench.index_photos import CROWD, crowd
from common.config import EngineSettings, ImageLimits
from common.vision.types import Analysis, AnalyzeOptions, Detail, QualityFilter
from common.vision.workers.pool import WorkerPool

PACKS = ["scrfd25g-mbf128", "scrfd500m-mbf128"]
EVERY_FACE = AnalyzeOptions(quality_filter=QualityFilter.NONE, max_faces=CROWD)
CLOSELY = AnalyzeOptions(Detail.HIGH, QualityFilter.NONE, max_faces=CROWD)


@pytest.fixture(params=[pytest.param(PACKS[0], marks=pytest.mark.slow), PACKS[1]])
def pack(request: pytest.FixtureRequest, packs_dir: Path) -> Path:
    folder = packs_dir / str(request.param)
    if not folder.is_dir():
        pytest.skip(f"needs the pack {folder}")
    return folder


async def analyses(
    pack: Path, contents: Mapping[str, bytes], *, shared: str, close: str = ""
) -> tuple[dict[str, Analysis], WorkerPool]:
    """Of photos at once, one of them looked at closely; and the pool, closed."""
    settings = EngineSettings.model_validate(
        {
            "pack": str(pack),
            "providers": ["CPUExecutionProvider"],
            "shared_models": shared,
            "workers": 4,
            "threads": 1,
            "detect_batch": 2,
        }
    )
    pool = WorkerPool(settings, ImageLimits())
    await pool.start()
    try:
        found = await gather(
            *(
                pool.analyze(content, CLOSELY if name == close else EVERY_FACE)
                for name, content in contents.items()
            )
        )
    finally:
        await pool.close()
    return dict(zip(contents, found, strict=True)), pool


def assert_same(one: Analysis, other: Analysis) -> None:
    assert len(one.faces) == len(other.faces)
    for face, twin in zip(one.faces, other.faces, strict=True):
        box, same = face.detection.box, twin.detection.box
        sides = [box.x - same.x, box.y - same.y, box.width - same.width, box.height - same.height]
        assert np.abs(sides).max() < 0.01 * box.width
        assert face.reasons == twin.reasons
        if face.embedding is not None and twin.embedding is not None:
            assert float(face.embedding @ twin.embedding) > 0.9999


@pytest.fixture
def labelled(photos_dir: Path) -> dict[str, bytes]:
    """Real photos by their names."""
    return {path.name: path.read_bytes() for path in sorted(photos_dir.glob("*.jpg"))}


@pytest.fixture
def crowded(tmp_path: Path) -> bytes:
    """A photo with CROWD faces."""
    (file,) = crowd(tmp_path).files
    return Path(file).read_bytes()


async def test_labelled_photos(pack: Path, labelled: dict[str, bytes]) -> None:
    own, _ = await analyses(pack, labelled, shared="no")
    assert sum(len(each.faces) for each in own.values()) >= len(labelled)
    for order in (list(labelled), list(labelled)[::-1]):
        shared, pool = await analyses(pack, {n: labelled[n] for n in order}, shared="yes")
        for name, analysis in shared.items():
            assert_same(analysis, own[name])
        load = pool.workload.device
        assert load is not None
        detector, recogniser = load.models["detector"], load.models["recogniser"]
        # Each photo asks for one canvas: a batch of them is a batch over photos.
        assert sum(detector.runs.values()) < detector.items
        assert sum(recogniser.runs.values()) < recogniser.items


@pytest.mark.slow
@pytest.mark.parametrize("pack", PACKS[1:], indirect=True)
async def test_a_crowd_beside_others(
    pack: Path, labelled: dict[str, bytes], crowded: bytes
) -> None:
    contents = {"crowd": crowded, **dict(list(labelled.items())[:8])}
    own, _ = await analyses(pack, contents, shared="no", close="crowd")
    shared, pool = await analyses(pack, contents, shared="yes", close="crowd")
    assert len(own["crowd"].faces) > 0.9 * CROWD
    for name, analysis in shared.items():
        assert_same(analysis, own[name])
    assert pool.replaced == 0
