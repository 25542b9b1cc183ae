"""Model packs in InsightFace's form: a folder with a detector and a recogniser as ONNX files."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.calibration import Calibration
from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.onnx.pack_graph import DetectorGraph, RecogniserGraph, read_graph
from common.vision.types import Pack

ALIGNMENT = "arcface-112"
"""How faces are warped for the recogniser. Part of every key: change it with the alignment."""

NORMALISATION = "l2"
"""What is done to the recogniser's output. Part of every key: change it with the normalisation."""

CARD = "facepass.json"
"""File in a pack's folder that may state what its models do not."""

_RESEARCH_ONLY = "InsightFace model zoo: non-commercial research only"
_UNKNOWN = "unknown: see the pack's author"
_WIDE = 256
"""Dimensions from which on strangers stay clearly below 0.40."""
_UNFIT_FOR_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class PackCard(BaseModel):
    """What is stated about a pack: by `facepass.json` in its folder, or by `KNOWN_PACKS`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    """Name of the pack. Default: its folder's."""
    licence: Annotated[str, Field(min_length=1, max_length=500)] = _UNKNOWN
    """Licence of the weights."""
    commercial_use: bool = False
    """Whether the licence allows commercial use."""
    min_similarity: Annotated[float | None, Field(ge=-1, le=1)] = None
    """Cosine from which on a match is POSSIBLE. Default: by the dimension."""
    confident_similarity: Annotated[float | None, Field(ge=-1, le=1)] = None
    """Cosine from which on a match is CONFIDENT. Default: by the dimension."""
    impostor_mean: Annotated[float | None, Field(ge=-1, le=1)] = None
    """Mean of strangers' cosines. Default: by the dimension."""
    impostor_sd: Annotated[float | None, Field(ge=0.001, le=1)] = None
    """Standard deviation of strangers' cosines, in the upper tail. Default: by the dimension."""


KNOWN_PACKS: Mapping[str, PackCard] = MappingProxyType(
    {
        name: PackCard(name=name, licence=_RESEARCH_ONLY)
        for name in ("buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc", "antelopev2")
    }
)
"""The packs that InsightFace publishes, by name."""


@dataclass(frozen=True, slots=True)
class PackFiles:
    """A pack that is there: its two models, and what belongs to them.

    detector_input: (width, height) pixels where the detector's graph fixes it, else None.
    """

    name: str
    folder: Path
    detector: Path
    detector_input: tuple[int, int] | None
    recogniser: Path
    pack: Pack


@dataclass(frozen=True, slots=True)
class PackListing:
    """One line of `models list`: a published pack, or a folder below the model root.

    files: None where the pack is not there or cannot be used; `problem` says which.
    """

    name: str
    licence: str
    commercial_use: bool
    files: PackFiles | None
    problem: str


def find_pack(settings: EngineSettings) -> PackFiles:
    """Find the pack that the settings name. Raises PackUnavailable, saying how to provide it."""
    folder = pack_folder(settings)
    if not folder.is_dir():
        raise PackUnavailable(
            f"There is no model pack in {folder}. {ways_to_provide(settings.pack)}"
        )
    return read_pack(folder)


def pack_folder(settings: EngineSettings) -> Path:
    """Where the named pack is, or would be after a pull: a path is taken as it stands."""
    if not settings.pack:
        raise PackUnavailable(f"No model pack is named. {ways_to_provide('buffalo_s')}")
    named = Path(settings.pack).expanduser()
    if named.parent != Path() or settings.pack.startswith("."):
        return named
    return models_folder(settings) / named


def models_folder(settings: EngineSettings) -> Path:
    """The folder that named packs are kept in."""
    return settings.model_root.expanduser() / "models"


def read_pack(folder: Path) -> PackFiles:
    """Read the pack in a folder, or in the only folder within it that has models (antelopev2).

    Raises PackUnavailable if a model is missing or unreadable, or `facepass.json` is wrong.
    """
    models = _with_models(folder)
    card = _read_card(models, folder)
    name = card.name or _UNFIT_FOR_NAME.sub("-", folder.resolve().name)[:64].strip("-._") or "pack"
    detector: tuple[Path, DetectorGraph] | None = None
    recogniser: tuple[Path, RecogniserGraph] | None = None
    for path in sorted(models.glob("*.onnx")):
        graph = read_graph(path)
        if isinstance(graph, DetectorGraph):
            detector = detector or (path, graph)
        elif isinstance(graph, RecogniserGraph):
            recogniser = recogniser or (path, graph)
    if detector is None or recogniser is None:
        missing = "detector" if detector is None else "recogniser (112 x 112 input)"
        raise PackUnavailable(f"The model pack in {folder} has no {missing} among its ONNX files.")
    return PackFiles(
        name=name,
        folder=models,
        detector=detector[0],
        detector_input=detector[1].input_size,
        recogniser=recogniser[0],
        pack=_describe(name, card, *recogniser),
    )


def list_packs(settings: EngineSettings) -> list[PackListing]:
    """The published packs and those that are there, by name."""
    root = models_folder(settings)
    present = (
        {path.name: path for path in root.iterdir() if _may_be_pack(path)} if root.is_dir() else {}
    )
    names = sorted({*KNOWN_PACKS, *present})
    listings = [_listing(name, present.get(name)) for name in names]
    if settings.pack and (folder := pack_folder(settings)).parent != root:
        listings.append(_listing(folder.name, folder))
    return listings


def ways_to_provide(pack: str) -> str:
    """What a person can do who has no model pack."""
    name = pack if pack in KNOWN_PACKS else "buffalo_s"
    return (
        f"Three ways to go on: (1) where there is a network, run "
        f"`facepass-server models pull {name} --accept-license`; "
        f"(2) copy a pack's folder here and name it by FACEPASS_ENGINE__PACK=/path/to/folder; "
        f"(3) use the starter engine, which needs no pack: FACEPASS_ENGINE__KIND=starter."
    )


def _listing(name: str, folder: Path | None) -> PackListing:
    card = KNOWN_PACKS.get(name, PackCard())
    problem, files = "not there", None
    if folder is not None:
        try:
            files = read_pack(folder)
            problem = ""
        except PackUnavailable as error:
            problem = error.message
    if files is None:
        return PackListing(name, card.licence, card.commercial_use, None, problem)
    pack = files.pack
    return PackListing(files.name, pack.licence, pack.commercial_use, files, problem)


def _may_be_pack(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _with_models(folder: Path) -> Path:
    if any(folder.glob("*.onnx")):
        return folder
    nested = [path for path in folder.glob("*/") if any(path.glob("*.onnx"))]
    return nested[0] if len(nested) == 1 else folder


def _read_card(models: Path, folder: Path) -> PackCard:
    path = next((path for path in (folder / CARD, models / CARD) if path.is_file()), None)
    if path is None:
        return KNOWN_PACKS.get(folder.resolve().name, PackCard())
    try:
        card = PackCard.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PackUnavailable(f"{path}: {where}: {first['msg']}.") from error
    except ValueError as error:
        raise PackUnavailable(f"{path} is not JSON: {error}") from error
    lowest, confident = card.min_similarity, card.confident_similarity
    if lowest is not None and confident is not None and confident < lowest:
        raise PackUnavailable(f"{path}: confident_similarity must not be below min_similarity.")
    return card


def default_thresholds(dimension: int) -> tuple[float, float]:
    """(min_similarity, confident_similarity) of an ArcFace pack that states none.

    The fewer dimensions, the further strangers' similarities spread around 0.
    """
    return (0.40, 0.50) if dimension >= _WIDE else (0.46, 0.52)


def default_calibration(dimension: int) -> Calibration:
    """The calibration of an ArcFace pack that states none."""
    return Calibration(0.0, 0.07) if dimension >= _WIDE else Calibration(0.01, 0.12)


def _describe(name: str, card: PackCard, recogniser: Path, graph: RecogniserGraph) -> Pack:
    lowest, confident = default_thresholds(graph.dimension)
    if card.min_similarity is not None:
        lowest = card.min_similarity
    if card.confident_similarity is not None:
        confident = card.confident_similarity
        lowest = min(lowest, confident)
    return Pack(
        key=f"{name}@{_identity(recogniser)}",
        engine="onnx",
        dimension=graph.dimension,
        licence=card.licence,
        commercial_use=card.commercial_use,
        min_similarity=lowest,
        confident_similarity=max(lowest, confident),
        calibration=_calibration(card, graph.dimension),
    )


def _calibration(card: PackCard, dimension: int) -> Calibration:
    """What the card states, else the default."""
    default = default_calibration(dimension)
    return Calibration(
        default.impostor_mean if card.impostor_mean is None else card.impostor_mean,
        default.impostor_sd if card.impostor_sd is None else card.impostor_sd,
    )


def _identity(recogniser: Path) -> str:
    """8 hex digits of what decides whether two templates are comparable."""
    with recogniser.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(ALIGNMENT.encode())
    digest.update(NORMALISATION.encode())
    return digest.hexdigest()[:8]
