"""What is missing of a damaged image is never filled with the one that was decoded before it."""

import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from malformed_images import encode, mutant, portrait, truncated
from PIL import Image, ImageEnhance, ImageOps
from skimage import data

from common.config import EngineSettings, ImageLimits
from common.errors import InvalidImage
from common.vision.images.picture import Picture
from common.vision.types import AnalyzeOptions, BgrImage, EmbeddingVector
from common.vision.workers.pool import WorkerPool

pytestmark = [pytest.mark.takes(100), pytest.mark.timeout(900)]
SIDE = 256
ALIKE = 0.2
"""Similarity of two faces from which on one may have come from the other."""
FORMS: list[tuple[str, dict[str, object]]] = [
    ("JPEG", {"quality": 92}),
    ("JPEG", {"quality": 92, "progressive": True}),
    ("JPEG", {"quality": 92, "restart_marker_blocks": 4}),
    ("PNG", {}),
    ("WEBP", {"quality": 90}),
    ("WEBP", {"lossless": True}),
]
TEXTURES = (data.brick, data.grass, data.gravel)


def guests() -> list[Image.Image]:
    face = portrait(SIDE)
    return [face, ImageOps.mirror(face), ImageEnhance.Brightness(face).enhance(1.3)]


def scenes() -> list[Image.Image]:
    """As large, and without any face."""
    return [Image.fromarray(make()).resize((SIDE, SIDE)).convert("RGB") for make in TEXTURES]


@dataclass(frozen=True)
class Pair:
    """A guest's photo, then a damaged one of a scene; `blank` is as large, and empty."""

    guest: bytes
    blank: bytes
    damaged: bytes


def pairs(count: int, seed: int) -> Iterator[Pair]:
    """Of every format by turns, cut or changed."""
    choice = random.Random(seed)
    kinds = list(product(guests(), scenes(), FORMS))
    for number in range(count):
        guest, scene, (kind, how) = kinds[number % len(kinds)]
        whole = encode(scene, kind, **how)
        cut = truncated(whole, choice.randrange(20, 100))
        damaged = cut if number % 2 else mutant([whole], choice)
        blank = Image.new("RGB", (SIDE, SIDE))
        yield Pair(encode(guest, kind, **how), encode(blank, kind, **how), damaged)


def pixels(content: bytes) -> BgrImage:
    return Picture.open(content, ImageLimits(), max_bytes=1 << 24).view().pixels


def after(before: bytes, content: bytes) -> BgrImage:
    """The pixels of an image; its memory, and whatever a decoder keeps, held those of another."""
    pixels(before)
    return pixels(content)


def foreign_pixels(one: BgrImage, other: BgrImage) -> int:
    """How many pixels of the same image depend on which image was decoded before it."""
    return int((one != other).any(axis=2).sum())


@pytest.fixture(scope="module")
async def worker(request: pytest.FixtureRequest) -> AsyncIterator[WorkerPool]:
    """One, with a real engine."""
    try:
        packs: Path = request.getfixturevalue("packs_dir")
        settings = EngineSettings(kind="onnx", pack=str(packs / "scrfd500m-mbf128"), workers=1)
    except pytest.skip.Exception:
        settings = EngineSettings(kind="starter", workers=1)
    pool = WorkerPool(settings, ImageLimits())
    await pool.start()
    yield pool
    await pool.close()


async def embeddings(worker: WorkerPool, content: bytes) -> list[EmbeddingVector]:
    analysis = await worker.analyze(content, AnalyzeOptions())
    return [face.embedding for face in analysis.faces if face.embedding is not None]


async def test_nothing_of_one_image_appears_in_the_next(
    worker: WorkerPool, long: bool, figure: Callable[..., None]
) -> None:
    count, refused, foreign = (1000 if long else 50), 0, 0
    most_alike = -1.0
    for number, pair in enumerate(pairs(count, seed=11)):
        (face,) = await embeddings(worker, pair.guest)
        try:
            shown = after(pair.guest, pair.damaged)
        except InvalidImage:
            refused += 1
            with pytest.raises(InvalidImage):
                await embeddings(worker, pair.damaged)
            continue
        foreign += foreign_pixels(shown, after(pair.blank, pair.damaged))
        for other in await embeddings(worker, pair.damaged):
            most_alike = max(most_alike, float(face @ other))
            assert most_alike < ALIKE, number
    assert foreign == 0
    assert 0 < refused < count
    assert worker.replaced == 0
    figure(
        "A damaged image after a guest's",
        done="Photos with a face, each followed by a cut or changed one in the same worker",
        pairs=count,
        refused=refused,
        pixels_of_the_guest_in_the_next=foreign,
        faces_of_the_guest_in_the_next=0,
    )


async def test_what_is_looked_for_would_be_found(worker: WorkerPool) -> None:
    """Where a decoder does fill what is missing with the image before, both measures tell."""
    guest, scene = np.asarray(guests()[0]), np.asarray(scenes()[0])
    filled = np.concatenate([scene[: SIDE // 8], guest[SIDE // 8 :]])
    emptied = np.concatenate([scene[: SIDE // 8], np.zeros_like(guest[SIDE // 8 :])])
    assert foreign_pixels(filled, emptied) > SIDE * SIDE // 2
    (face,) = await embeddings(worker, encode(Image.fromarray(guest), "PNG"))
    (seen,) = await embeddings(worker, encode(Image.fromarray(filled), "PNG"))
    assert float(face @ seen) > ALIKE
