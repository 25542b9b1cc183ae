"""An engine that cannot be had says what to do."""

import subprocess
import sys

import pytest

from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.engines import load_engine

WITHOUT = """
import sys
sys.modules[{library!r}] = None
from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.engines import load_engine
try:
    load_engine(EngineSettings(kind={kind!r}, pack={pack!r}))
except PackUnavailable as error:
    print(error.message)
"""


@pytest.mark.parametrize(
    "kind, pack, library, extra",
    [
        ("onnx", "/nowhere", "onnxruntime", "`cpu`"),
        ("starter", "", "_dlib_pybind11", "`starter`"),
    ],
)
def test_a_missing_library_names_what_to_install(
    kind: str, pack: str, library: str, extra: str
) -> None:
    script = WITHOUT.format(kind=kind, pack=pack, library=library)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert extra in run.stdout
    assert library in run.stdout


def test_only_the_chosen_engine_is_imported() -> None:
    script = (
        "import sys; from common.config import EngineSettings;"
        "from common.vision.engines import load_engine;"
        "load_engine(EngineSettings(kind='fake'));"
        "sys.exit(bool({'onnxruntime', '_dlib_pybind11'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_worker_that_shares_models_imports_no_runtime() -> None:
    script = (
        "import sys; import common.vision.workers.worker, common.vision.onnx.engine;"
        "import common.vision.workers.remote_models;"
        "sys.exit(bool({'onnxruntime', 'onnx', 'insightface.model_zoo'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_naming_a_pack_chooses_the_onnx_engine() -> None:
    with pytest.raises(PackUnavailable, match="no model pack in /nowhere"):
        load_engine(EngineSettings(kind="auto", pack="/nowhere"))


def test_without_a_pack_the_starter_engine_is_chosen() -> None:
    assert load_engine(EngineSettings()).pack.engine == "starter"
