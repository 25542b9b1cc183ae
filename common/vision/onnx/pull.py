"""Download of published model packs, by InsightFace's own code."""

import contextlib
import fcntl
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.onnx.packs import (
    KNOWN_PACKS,
    PackFiles,
    find_pack,
    models_folder,
    pack_folder,
    read_pack,
    ways_to_provide,
)


def provide_pack(settings: EngineSettings) -> PackFiles:
    """Find the settings' pack; pull it where it is a published one and its licence was accepted.

    Raises PackUnavailable, which says how to provide the pack.
    """
    folder = pack_folder(settings)
    if settings.accept_license and settings.pack in KNOWN_PACKS and not folder.exists():
        return pull(settings.pack, settings, accepted=True)
    return find_pack(settings)


def pull(name: str, settings: EngineSettings, accepted: bool) -> PackFiles:
    """Download a published pack into the model root; one that is there already is left as it is.

    The pack appears in one step, after it was unpacked and found to hold both models. Progress is
    written to standard error. Raises PackUnavailable.
    """
    card = KNOWN_PACKS.get(name)
    if card is None:
        known = ", ".join(KNOWN_PACKS)
        raise PackUnavailable(f"{name!r} is not a published model pack. Known ones: {known}.")
    target = models_folder(settings) / name
    if target.exists():
        return _present(target)
    if not accepted:
        raise PackUnavailable(
            f"The model pack {name} is under this licence: {card.licence}. "
            f"To accept it, run `facepass-server models pull {name} --accept-license`."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            _one_at_a_time(target.parent),
            tempfile.TemporaryDirectory(prefix=".pull-", dir=target.parent) as workplace,
        ):
            if not target.exists():
                unpacked = _download(name, Path(workplace))
                read_pack(unpacked).folder.rename(target)
    except OSError as error:
        raise PackUnavailable(f"{target} cannot be written: {error}.") from error
    return read_pack(target)


def _present(target: Path) -> PackFiles:
    try:
        return read_pack(target)
    except PackUnavailable as error:
        raise PackUnavailable(
            f"{error.message} Remove {target} and pull it again, or name another folder."
        ) from error


def _download(name: str, root: Path) -> Path:
    """Download and unpack below `root`; returns the folder."""
    # Both bring onnxruntime or the network stack along, which nothing else here needs.
    import requests
    from insightface.utils import storage

    try:
        with contextlib.redirect_stdout(sys.stderr):
            return Path(storage.download("models", name, root=str(root)))
    except (requests.RequestException, RuntimeError) as error:
        raise PackUnavailable(
            f"The model pack {name} could not be downloaded ({error}). {ways_to_provide(name)}"
        ) from error
    except zipfile.BadZipFile as error:
        raise PackUnavailable(
            f"What was downloaded as the model pack {name} is damaged ({error}). Pull it again."
        ) from error


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait for other processes that pull into this folder: workers start side by side."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
