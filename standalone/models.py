"""The commands `facepass-server models list | pull | info`."""

import argparse

from common.config import CommonSettings
from common.errors import PackUnavailable
from common.vision.onnx.packs import KNOWN_PACKS, PackFiles, PackListing, find_pack, list_packs
from common.vision.onnx.pull import pull
from standalone.config import read_settings

HELP = """\
Model packs for the engine `onnx`: folders of InsightFace's form with a detector and a recogniser.
FACEPASS_ENGINE__PACK names the one to use, by name or by folder."""


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add list, pull and info below `models`."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="show published packs and those that are here")
    listing.set_defaults(command=_list)
    pulling = commands.add_parser("pull", help="download a published pack")
    pulling.set_defaults(command=_pull)
    pulling.add_argument("pack", metavar="PACK", help=f"one of: {', '.join(KNOWN_PACKS)}")
    pulling.add_argument(
        "--accept-license",
        action="store_true",
        help="accept the pack's licence; those published by InsightFace are for non-commercial "
        "research only",
    )
    info = commands.add_parser("info", help="show everything about one pack")
    info.set_defaults(command=_info)
    info.add_argument(
        "pack",
        nargs="?",
        metavar="PACK",
        help="name or folder (default: that of FACEPASS_ENGINE__PACK)",
    )


def _list(_: argparse.Namespace) -> int:
    settings = read_settings(CommonSettings)
    for listing in list_packs(settings.engine):
        print(_line(listing))
    if settings.engine.pack:
        print(f"\nIn use (FACEPASS_ENGINE__PACK): {settings.engine.pack}")
    else:
        print("\nFACEPASS_ENGINE__PACK names none; the starter engine needs none.")
    return 0


def _line(listing: PackListing) -> str:
    state = str(listing.files.folder) if listing.files else listing.problem
    return f"{listing.name:14} {state}  [{listing.licence}]"


def _pull(options: argparse.Namespace) -> int:
    settings = read_settings(CommonSettings)
    accepted = options.accept_license or settings.engine.accept_license
    files = pull(options.pack, settings.engine, accepted)
    _describe(files)
    print(f"\nUse it with FACEPASS_ENGINE__PACK={files.name}")
    return 0


def _info(options: argparse.Namespace) -> int:
    overrides = {"engine": {"pack": options.pack}} if options.pack else {}
    engine = read_settings(CommonSettings, overrides).engine
    if not engine.pack:
        raise PackUnavailable("No pack is named: give one, or set FACEPASS_ENGINE__PACK.")
    _describe(find_pack(engine))
    return 0


def _describe(files: PackFiles) -> None:
    pack, strangers = files.pack, files.pack.calibration
    size = "x".join(map(str, files.detector_input)) if files.detector_input else "any size"
    for label, value in (
        ("Pack", pack.key),
        ("Folder", files.folder),
        ("Detector", f"{files.detector.name} ({size})"),
        ("Recogniser", f"{files.recogniser.name} ({pack.dimension} dimensions)"),
        ("Licence", pack.licence),
        ("Commercial", "allowed" if pack.commercial_use else "not allowed, as far as is known"),
        ("Possible", f"from similarity {pack.min_similarity:.2f}"),
        ("Confident", f"from similarity {pack.confident_similarity:.2f}"),
        ("Strangers", f"similarity {strangers.impostor_mean:.3g} ± {strangers.impostor_sd:.3g}"),
    ):
        print(f"{label + ':':12} {value}")
