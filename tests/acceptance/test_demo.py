"""`make demo`: its event is what it claims to be, and FacePass finds the guests in it."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image, ImageOps

from demo.album import Album, encode, read_labels, staged_album
from demo.darkroom import DETAIL, LIGHT, MAX_TILT_DEG
from demo.event import Photo, develop_photo, plan
from demo.people import AT_TABLE, GUESTS

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.takes(75), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo writes: staged once, as a second `make demo` finds it."""
    folder = tmp_path_factory.mktemp("demo")
    staged_album(folder)
    return folder


@pytest.fixture(scope="module")
def album(out: Path) -> Album:
    return staged_album(out)


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    return [develop_photo(take) for take in plan()]


def test_event_is_made_alike_each_time(out: Path, photos: list[Photo]) -> None:
    for photo in photos[:25]:
        assert (out / "photos" / photo.take.file_name).read_bytes() == encode(photo)


def test_event_has_the_variety_of_an_event(photos: list[Photo]) -> None:
    assert len(photos) >= 60
    scenes = Counter(photo.take.scene for photo in photos)
    assert min(scenes[scene] for scene in ("alone", "together", "group", "prints")) >= 5
    assert sum(not photo.take.guests for photo in photos) >= 5
    effects = Counter(effect for photo in photos for effect in photo.look.effects)
    assert min(effects[effect] for effect in (*LIGHT, *DETAIL)) >= 3
    tilts = np.abs([tilt for photo in photos for tilt in photo.tilts_deg])
    assert MAX_TILT_DEG * 0.9 < tilts.max() <= MAX_TILT_DEG
    assert np.count_nonzero(tilts > 5) >= 15
    assert {photo.take.orientation for photo in photos} == {1, 3, 6, 8}


def test_effects_are_as_strong_as_they_are_called(photos: list[Photo]) -> None:
    def looks(effect: str) -> list[Any]:
        return [photo.look for photo in photos if effect in photo.look.effects]

    assert all(look.stops <= -1 for look in looks("dark"))
    assert all(look.blur_px >= 0.9 for look in looks("blurred"))
    assert all(look.shake_px >= 5 for look in looks("shaken"))
    assert all(look.noise >= 7 for look in looks("noisy"))
    assert all(look.quality < 40 for look in looks("compressed"))
    dark, bright = (
        np.mean([photo.image.mean() for photo in photos if effect in photo.look.effects])
        for effect in ("dark", "bright")
    )
    assert dark < 90 < 130 < bright


def test_labels_say_who_is_shown(out: Path, album: Album, photos: list[Photo]) -> None:
    truth = read_labels(out / "labels.csv")
    assert truth == {photo.take.file_name: frozenset(photo.take.guests) for photo in photos}
    assert set(truth) == {file.name for file in album.photos.iterdir()}
    assert {guest.name for guest in album.guests} == set(GUESTS)
    groups = [photo.take for photo in photos if photo.take.scene == "group"]
    assert all(take.guests == AT_TABLE for take in groups)
    assert all(guest.shown_in and len(guest.shown_in) >= 5 for guest in album.guests)


def test_stored_photos_turn_upright(out: Path, photos: list[Photo]) -> None:
    turned = [photo for photo in photos if photo.take.orientation != 1]
    for photo in turned:
        content = (out / "photos" / photo.take.file_name).read_bytes()
        with Image.open(io.BytesIO(content)) as stored:
            upright = np.asarray(ImageOps.exif_transpose(stored))[..., ::-1]
        assert upright.shape == photo.image.shape
        assert np.abs(upright.astype(int) - photo.image).mean() < 12


@dataclass(frozen=True, slots=True)
class Run:
    """One finished demo."""

    code: int
    said: str
    summary: Mapping[str, Any]


class Demo:
    """Runs the demo in an environment whose remains can be told apart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *arguments: str | Path, **settings: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "demo", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(self.folder), **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str | Path, **settings: str) -> Run:
        with self.start(*arguments, **settings) as process:
            said, complaints = process.communicate()
        lines = said.splitlines() or [""]
        summary = json.loads(lines[-1]) if process.returncode == 0 else {}
        return Run(process.returncode, said + complaints, summary)

    def remains(self) -> list[str]:
        """Processes and files that it has left."""
        return [*self._processes(), *(str(path) for path in self.folder.iterdir())]

    def _processes(self) -> Iterator[str]:
        for process in psutil.process_iter(["cmdline", "environ"]):
            told = [*(process.info["cmdline"] or []), *(process.info["environ"] or {}).values()]
            if process.pid != os.getpid() and any(str(self.folder) in each for each in told):
                yield f"{process.pid}: {process.info['cmdline']}"


@pytest.fixture
def demo() -> Iterator[Demo]:
    # Not pytest's own folder: as root, Postgres' user must be able to pass through.
    folder = Path(tempfile.mkdtemp(prefix="facepass-demo-test-"))
    folder.chmod(0o711)
    yield Demo(folder)
    shutil.rmtree(folder)


def require_shown(run: Run, out: Path, album: Album) -> None:
    """Every guest, with selfie and photos, is on the page; what it links to is there."""
    page = (out / "index.html").read_text()
    for guest in album.guests:
        assert f"selfies/{guest.selfie.name}" in page
        assert f"\n{guest.name}" in run.said
    assert page.count('src="photos/') >= run.summary["found"]
    links = {link.partition('"')[0] for link in page.split('src="')[1:]}
    assert all((out / link).is_file() for link in links)


def test_starter_engine_finds_the_guests(demo: Demo, out: Path, album: Album) -> None:
    run = demo.run("--out", out)
    assert run.code == 0, run.said
    summary = run.summary
    assert summary["photos"] == len(plan()) and summary["guests"] == len(GUESTS)
    assert summary["engine"].startswith("starter")
    assert summary["wrong"] == 0, run.said
    assert summary["found"] >= 0.85 * summary["expected"], run.said
    assert summary["expected"] == sum(len(take.guests) for take in plan())
    require_shown(run, out, album)
    assert demo.remains() == []


@pytest.mark.slow
@pytest.mark.photos
def test_pack_finds_the_guests(demo: Demo, out: Path, album: Album, packs_dir: Path) -> None:
    run = demo.run("--out", out, FACEPASS_ENGINE__PACK=str(packs_dir / "scrfd25g-mbf128"))
    assert run.code == 0, run.said
    assert run.summary["engine"].startswith("onnx scrfd25g-mbf128@")
    assert run.summary["wrong"] == 0, run.said
    assert run.summary["found"] >= 0.98 * run.summary["expected"], run.said
    require_shown(run, out, album)
    assert demo.remains() == []


def test_own_photos_are_searched(demo: Demo, album: Album, tmp_path: Path) -> None:
    fay = next(guest for guest in album.guests if guest.name == "Fay")
    shown = [
        take for take in plan() if take.guests and take.scene == "alone" and take.orientation == 1
    ]
    (tmp_path / "mine" / "day one").mkdir(parents=True)
    for take in [t for t in shown if t.guests == ("Fay",)] + shown[:2]:
        shutil.copy(album.photos / take.file_name, tmp_path / "mine" / "day one" / take.file_name)
    (tmp_path / "mine" / "notes.jpg").write_bytes(b"not a photo")
    fays = sum("Fay" in take.guests for take in shown)
    run = demo.run("--photos", tmp_path / "mine", "--selfie", fay.selfie, "--out", tmp_path / "out")
    assert run.code == 0, run.said
    assert "Not indexed" in run.said and "notes.jpg" in run.said
    assert run.summary["expected"] is None and run.summary["wrong"] is None
    assert 1 <= run.summary["found"] <= fays
    page = (tmp_path / "out" / "index.html").read_text()
    assert "../mine/day%20one/IMG_" in page
    assert demo.remains() == []


def test_interrupted_demo_leaves_nothing(demo: Demo, out: Path) -> None:
    with demo.start("--out", out, FACEPASS_ENGINE__KIND="fake") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("Running with"):
                break
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert demo.remains() == []


def test_failing_server_is_told(demo: Demo, out: Path) -> None:
    run = demo.run("--out", out, FACEPASS_ENGINE__PACK=str(demo.folder / "no-such-pack"))
    assert run.code == 1
    assert "no-such-pack" in run.said and "Traceback" not in run.said
    assert demo.remains() == []


def test_selfie_without_photos_is_told(demo: Demo, tmp_path: Path) -> None:
    run = demo.run("--selfie", "me.jpg", "--out", tmp_path)
    assert run.code == 1 and "PHOTOS" in run.said
