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
from common.vision.picture import Picture
from common.vision.types import AnalyzeOptions, BgrImage, EmbeddingVector
from common.vision.workers import WorkerPool

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
BLOCK = 16


def guests() -> list[Image.Image]:
    face = portrait(SIDE)
    return [face, ImageOps.mirror(face), ImageEnhance.Brightness(face).enhance(1.3)]


def scenes() -> list[Image.Image]:
    """As large, and without any face."""
    return [Image.fromarray(make()).resize((SIDE, SIDE)).convert("RGB") for make in TEXTURES]


@dataclass(frozen=True)
class Pair:
    """A guest's photo, then a damaged one of a scene; `whole` is that before it was damaged."""

    guest: bytes
    damaged: bytes
    whole: bytes


def pairs(count: int, seed: int) -> Iterator[Pair]:
    """Of every format by turns, cut or changed."""
    choice = random.Random(seed)
    made = [
        Pair(encode(guest, kind, **how), b"", encode(scene, kind, **how))
        for guest, scene, (kind, how) in product(guests(), scenes(), FORMS)
    ]
    for number in range(count):
        pair = made[number % len(made)]
        cut = truncated(pair.whole, choice.randrange(20, 100))
        damaged = cut if number % 2 else mutant([pair.whole], choice)
        yield Pair(pair.guest, damaged, pair.whole)


def pixels(content: bytes) -> BgrImage:
    return Picture.open(content, ImageLimits(), max_bytes=1 << 24).view().pixels


def blocks_of(image: BgrImage, whole: BgrImage, guest: BgrImage) -> int:
    """How many blocks of an image are not its own and look like those of a guest's photo."""
    found = 0
    for y, x in product(range(0, SIDE, BLOCK), repeat=2):
        at = np.s_[y : y + BLOCK, x : x + BLOCK]
        mine, own, other = (each[at].astype(float).ravel() for each in (image, whole, guest))
        if np.abs(mine - own).mean() < 8 or min(mine.std(), other.std()) < 5:
            continue
        found += bool(np.corrcoef(mine, other)[0, 1] > 0.9)
    return found


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
    count, refused, strange = (1000 if long else 50), 0, 0
    most_alike = -1.0
    for number, pair in enumerate(pairs(count, seed=11)):
        guest = pixels(pair.guest)
        (face,) = await embeddings(worker, pair.guest)
        try:
            shown = pixels(pair.damaged)
        except InvalidImage:
            refused += 1
            with pytest.raises(InvalidImage):
                await embeddings(worker, pair.damaged)
            continue
        if shown.shape == guest.shape:
            strange += blocks_of(shown, pixels(pair.whole), guest)
        for other in await embeddings(worker, pair.damaged):
            most_alike = max(most_alike, float(face @ other))
            assert most_alike < ALIKE, number
    assert strange == 0
    assert 0 < refused < count
    assert worker.replaced == 0
    figure(
        "A damaged image after a guest's",
        done="Photos with a face, each followed by a cut or changed one in the same worker",
        pairs=count,
        refused=refused,
        blocks_of_the_guest_in_the_next=strange,
        faces_of_the_guest_in_the_next=0,
    )


async def test_what_is_looked_for_would_be_found(worker: WorkerPool) -> None:
    """Where a decoder does fill what is missing with the image before, both measures tell."""
    guest, scene = np.asarray(guests()[0]), np.asarray(scenes()[0])
    filled = np.concatenate([scene[: SIDE // 8], guest[SIDE // 8 :]])
    bgr = [np.ascontiguousarray(each[..., ::-1]) for each in (filled, scene, guest)]
    assert blocks_of(bgr[0], bgr[1], bgr[2]) > 50
    assert blocks_of(bgr[1], bgr[1], bgr[2]) == 0
    (face,) = await embeddings(worker, encode(Image.fromarray(guest), "PNG"))
    (seen,) = await embeddings(worker, encode(Image.fromarray(filled), "PNG"))
    assert float(face @ seen) > ALIKE
