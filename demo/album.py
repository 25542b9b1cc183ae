"""Photos and selfies on disk: staged by the demo and kept for the next run, or the user's own."""

import csv
import hashlib
import io
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import facepass
from PIL import Image

from demo.darkroom import BgrImage
from demo.event import Photo, Take, develop_photo, plan
from demo.selfies import take_selfies

EVENING = datetime(2024, 6, 22, 19, 0)
LABELS = ("photo", "people", "scene", "effects", "tilts_deg", "orientation")
_STAGED = "staged"
_MADE_BY = ("album", "darkroom", "event", "frame", "people", "scenes", "selfies")
_MADE_WITH = ("insightface", "numpy", "opencv-python-headless", "pillow", "scikit-image")
# What a camera does to the pixels for each EXIF orientation, so that viewers turn them upright.
_HELD = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


class NothingToShow(Exception):
    """What the user gave cannot be used; the message says what and why."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Someone to search for.

    shown_in: file names of the photos that show the guest; None where nobody knows.
    """

    name: str
    selfie: Path
    shown_in: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Album:
    """Photos of one event, and the guests' selfies."""

    photos: Path
    guests: tuple[Guest, ...]


def own_album(photos: Path, selfies: Sequence[Path]) -> Album:
    """The user's own photos and selfies; a folder of selfies is one guest a file.

    Raises NothingToShow.
    """
    if not photos.is_dir():
        raise NothingToShow(f"PHOTOS: {photos} is not a folder")
    files: list[Path] = []
    for path in selfies:
        if not path.exists():
            raise NothingToShow(f"SELFIE: there is no file {path}")
        within = sorted(path.iterdir()) if path.is_dir() else [path]
        files += [file for file in within if file.suffix.lower() in facepass.photos.SUFFIXES]
    if not files:
        raise NothingToShow("SELFIE: give a photo of somebody to look for, or a folder of them")
    return Album(photos, tuple(Guest(file.stem, file, None) for file in files))


def staged_album(folder: Path) -> Album:
    """The demo's own event below `folder`; made anew only when what makes it has changed."""
    key = _key()
    stamp = folder / _STAGED
    if not stamp.exists() or stamp.read_text() != key:
        stamp.unlink(missing_ok=True)
        _stage(folder)
        stamp.write_text(key)
    truth = read_labels(folder / "labels.csv")
    guests = []
    for file in sorted((folder / "selfies").iterdir()):
        name = file.stem.capitalize()
        shown_in = frozenset(photo for photo, people in truth.items() if name in people)
        guests.append(Guest(name, file, shown_in))
    return Album(folder / "photos", tuple(guests))


def read_labels(path: Path) -> Mapping[str, frozenset[str]]:
    """Who is in each photo, by its file name."""
    with path.open(newline="", encoding="utf-8") as file:
        return {
            row["photo"]: frozenset(filter(None, row["people"].split(";")))
            for row in csv.DictReader(file)
        }


def _key() -> str:
    """Changes with the code and the packages that the photos are made by."""
    digest = hashlib.sha256()
    for module in _MADE_BY:
        digest.update(Path(__file__).with_name(f"{module}.py").read_bytes())
    return " ".join([digest.hexdigest(), *(f"{name}={version(name)}" for name in _MADE_WITH)])


def _stage(folder: Path) -> None:
    for name in ("photos", "selfies"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    # OpenCV and the JPEG encoder let go of the interpreter's lock.
    with ThreadPoolExecutor(2) as pool:
        labels = list(pool.map(lambda take: _save_photo(take, folder / "photos"), plan()))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LABELS)
        writer.writerows(labels)
    for selfie in take_selfies():
        _as_pillow(selfie.image).save(folder / "selfies" / selfie.file_name, quality=90)


def _save_photo(take: Take, folder: Path) -> tuple[object, ...]:
    """Develop and save one photo; returns its line of the labels."""
    photo = develop_photo(take)
    (folder / take.file_name).write_bytes(encode(photo))
    tilts = " ".join(f"{tilt:.1f}" for tilt in photo.tilts_deg)
    people, effects = ";".join(take.guests), " ".join(photo.look.effects)
    return take.file_name, people, take.scene, effects, tilts, take.orientation


def encode(photo: Photo) -> bytes:
    """The photo as a camera writes it: JPEG with time and orientation in its EXIF."""
    image = _as_pillow(photo.image)
    held = _HELD.get(photo.take.orientation)
    exif = Image.Exif()
    exif[0x0110] = "FacePass demo"
    exif[0x0112] = photo.take.orientation
    taken = EVENING + timedelta(minutes=3 * photo.take.number)
    exif.get_ifd(0x8769)[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")
    content = io.BytesIO()
    (image if held is None else image.transpose(held)).save(
        content, "JPEG", quality=photo.look.quality, exif=exif
    )
    return content.getvalue()


def _as_pillow(image: BgrImage) -> Image.Image:
    return Image.fromarray(image[..., ::-1].copy())
