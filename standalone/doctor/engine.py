"""The doctor's look at the engine: packages, packs, providers."""

from collections.abc import Iterator
from importlib import metadata

from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.engines import load_engine
from common.vision.onnx.packs import KNOWN_PACKS, pack_folder
from common.vision.workers.self_tune import choose_crew, usable_cores
from standalone.doctor.finding import Finding, fail, ok, warn

RIVALS = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "opencv": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
}
"""Packages that write the same files, by what they are: one of each must be installed."""


def installed_packages() -> set[str]:
    """Names of all installed distributions, in their normal form."""
    names = (each.metadata["Name"] for each in metadata.distributions())
    return {name.lower().replace("_", "-") for name in names if name}


def check_packages(installed: set[str]) -> Iterator[Finding]:
    """That exactly one of each group of rivals is installed."""
    for subject, rivals in RIVALS.items():
        found = [name for name in rivals if name in installed]
        if len(found) == 1:
            yield ok("packages", f"{found[0]} {metadata.version(found[0])}")
        elif found:
            yield fail(
                "packages",
                f"{' and '.join(found)} overwrite each other's files",
                f"pip uninstall {' '.join(found)}, then install the one that you want",
            )
        else:
            yield fail("packages", f"no {subject} is installed", f"pip install {rivals[0]}")


def check_engine(settings: EngineSettings) -> Finding:
    """Load the engine as a worker would, except that nothing is downloaded."""
    if settings.kind == "fake":
        return warn(
            "engine",
            "fake: finds no real faces",
            "for more than tests, set FACEPASS_ENGINE__KIND=auto",
        )
    if _would_download(settings):
        return warn(
            "engine",
            f"pack {settings.pack} is not here yet; the first start downloads it",
            f"facepass-server models pull {settings.pack} --accept-license",
        )
    try:
        pack = load_engine(settings).pack
    except (PackUnavailable, ImportError) as error:
        return fail("engine", str(error), "docs/engines.md says more")
    text = f"{pack.engine}, pack {pack.key}, {pack.dimension} dimensions, licence: {pack.licence}"
    if not pack.commercial_use:
        return warn("engine", text, "for commercial use, take a pack whose licence allows it")
    return ok("engine", text)


def check_crew(settings: EngineSettings) -> Finding:
    """How many workers the servers would start, of how many threads, and why."""
    return ok("workers", str(choose_crew(settings, usable_cores())))


def check_providers(settings: EngineSettings) -> Finding:
    """That onnxruntime has the execution providers that are asked for."""
    try:
        from common.vision.onnx.session import choose_providers

        return ok("providers", ", ".join(choose_providers(settings.providers)))
    except (PackUnavailable, ImportError) as error:
        return fail(
            "providers",
            str(error),
            "change FACEPASS_ENGINE__PROVIDERS, or install onnxruntime-gpu instead of onnxruntime; "
            "docs/engines.md says more",
        )


def _would_download(settings: EngineSettings) -> bool:
    named = settings.kind in ("auto", "onnx") and settings.pack in KNOWN_PACKS
    return named and settings.accept_license and not pack_folder(settings).exists()
