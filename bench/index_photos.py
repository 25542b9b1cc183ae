"""The photos that indexing is measured with; JPEGs unless they are real ones as they came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.index_camera import HEIGHT, WIDTH, camera_photos, composed, cycles
from demo.album import encode, read_labels
from demo.event import develop_photo, plan
from demo.people import AT_TABLE, source_of
from demo.selfies import take_selfies

CROWD = 400
"""Faces of the crowd's one photo."""
_COLUMNS, _CELL = 20, (200, 150)
_TWO_MEGAPIXELS = 2_000_000
_FEW_TO_MANY = ((1, 1), (2, 1), (3, 2), (4, 3), (6, 4), (8, 6), (12, 9))
_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """Photos that are measured together."""

    name: str
    label: str
    files: Sequence[str]


@dataclass(frozen=True, slots=True)
class Cells:
    """What one photo was put together of. sources: file names, row by row."""

    columns: int
    sources: Sequence[str]

    def source_at(self, x: float, y: float) -> str:
        """The source of the cell at a place in pixels."""
        rows = len(self.sources) // self.columns
        column = min(max(int(x * self.columns / WIDTH), 0), self.columns - 1)
        row = min(max(int(y * rows / HEIGHT), 0), rows - 1)
        return self.sources[row * self.columns + column]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Photos of known people. cells: by file; people: who is in a source, by its file name."""

    photos: PhotoSet
    cells: Mapping[str, Cells]
    people: Mapping[str, str]


def real(folder: Path, most: int) -> PhotoSet:
    """Real photos of people."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    files = [str(path) for path in found[:most]]
    return PhotoSet("real", f"{len(files)} real photos", files)


def demo(folder: Path, most: int) -> PhotoSet:
    """The demo's event."""
    files = []
    for take in plan()[:most]:
        content = encode(develop_photo(take))
        files.append(_saved(folder / "demo" / take.file_name, content))
    return PhotoSet("demo", f"the demo's event, {len(files)} photos of 1 MP", files)


def camera(folder: Path, count: int) -> PhotoSet:
    """Photos as cameras write them."""
    (folder / "camera").mkdir(parents=True, exist_ok=True)
    files = [str(path) for path in camera_photos(folder / "camera", count)]
    return PhotoSet("camera", f"{len(files)} camera-like photos of 12 MP", files)


def labelled(folder: Path, real: Path, count: int) -> Labelled:
    """Real photos of one known person each, as cells of photos of 12 MP, few to many in each."""
    people = read_labels(real / "labels.csv")
    alone = sorted(photo for photo, shown in people.items() if len(shown) == 1)
    images = [np.asarray(cv2.imread(str(real / photo)), np.uint8) for photo in alone]
    grids = cycles(_FEW_TO_MANY, count)
    (folder / "labelled").mkdir(parents=True, exist_ok=True)
    files = [str(path) for path in composed(folder / "labelled", cycle(images), grids)]
    sources, cells = cycle(alone), {}
    for file, (columns, rows) in zip(files, grids, strict=True):
        cells[file] = Cells(columns, [next(sources) for _ in range(columns * rows)])
    photos = PhotoSet("labelled", f"{count} photos of 12 MP made of labelled ones", files)
    return Labelled(photos, cells, {photo: next(iter(people[photo])) for photo in alone})


def two_megapixels(folder: Path, photos: PhotoSet) -> PhotoSet:
    """The same photos, smaller."""
    files = []
    for file in photos.files:
        image = np.asarray(cv2.imread(file), np.uint8)
        factor = (_TWO_MEGAPIXELS / (image.shape[0] * image.shape[1])) ** 0.5
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        files.append(_saved(folder / "two" / Path(file).name, _jpeg(small)))
    return PhotoSet("two_mp", f"{len(files)} photos of 2 MP", files)


def crowd(folder: Path) -> PhotoSet:
    """One photo of 12 MP with CROWD faces, pasted in rows."""
    width, height = _CELL
    heads = [_head(guest, height) for guest in AT_TABLE]
    rows = CROWD // _COLUMNS
    canvas = np.full((rows * height, _COLUMNS * width, 3), 128, dtype=np.uint8)
    for number in range(CROWD):
        row, column = divmod(number, _COLUMNS)
        head = heads[number % len(heads)][:, :width]
        top, left = row * height, column * width
        canvas[top : top + head.shape[0], left : left + head.shape[1]] = head
    return PhotoSet("crowd", "one photo", [_saved(folder / "crowd.jpg", _jpeg(canvas))])


def selfies() -> list[bytes]:
    """The demo's guests, as they would search."""
    return [_jpeg(selfie.image) for selfie in take_selfies()]


def _head(guest: str, height: int) -> NDArray[np.uint8]:
    """A guest's head, `height` pixels high."""
    source = source_of(guest)
    head = source.figure(guest).head.grown(1.2)
    top, left = max(0, round(head.top)), max(0, round(head.left))
    cut = source.image[top : round(head.bottom), left : round(head.right)]
    size = (round(cut.shape[1] * height / cut.shape[0]), height)
    return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(image: NDArray[np.uint8], quality: int = 92) -> bytes:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(encoded.tobytes())


def _saved(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)
