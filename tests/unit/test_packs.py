"""Model packs are told apart, described and identified by what is in their files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from common.calibration import Calibration
from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.onnx import packs
from common.vision.onnx.packs import (
    KNOWN_PACKS,
    default_calibration,
    default_thresholds,
    find_pack,
    list_packs,
    read_pack,
)

Shape = list[int | str]


def write_model(
    path: Path, inputs: list[Shape], outputs: list[Shape], *, weight: float = 1
) -> None:
    """A model that nobody could run: only its graph's face is looked at."""
    graph = helper.make_graph(
        nodes=[],
        name="graph",
        inputs=[_value(f"in{n}", shape) for n, shape in enumerate(inputs)],
        outputs=[_value(f"out{n}", shape) for n, shape in enumerate(outputs)],
        initializer=[numpy_helper.from_array(np.array([weight], np.float32), "weight")],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph), str(path))


def _value(name: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def write_detector(path: Path, side: int | str = 640) -> None:
    write_model(path, [[1, 3, side, side]], [[1, "n", k] for k in (1, 1, 1, 4, 4, 4, 10, 10, 10)])


def write_recogniser(path: Path, dimension: int | str = 96, *, weight: float = 1) -> None:
    write_model(path, [["None", 3, 112, 112]], [["None", dimension]], weight=weight)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pack as InsightFace publishes them, with the models that FacePass has no use for."""
    folder = tmp_path / "mine"
    write_model(folder / "1k3d68.onnx", [["None", 3, 192, 192]], [["None", 3309]])
    write_model(folder / "2d106det.onnx", [["None", 3, 192, 192]], [["None", 212]])
    write_model(folder / "genderage.onnx", [["None", 3, 96, 96]], [["None", 3]])
    write_model(folder / "inswapper.onnx", [[1, 3, 128, 128], [1, 512]], [[1, 3, 128, 128]])
    write_detector(folder / "det_10g.onnx", "?")
    write_recogniser(folder / "w600k_r50.onnx")
    return folder


def test_detector_and_recogniser_are_found_among_other_models(folder: Path) -> None:
    found = read_pack(folder)
    assert found.detector.name == "det_10g.onnx"
    assert found.recogniser.name == "w600k_r50.onnx"
    assert found.detector_input is None
    assert found.pack.engine == "onnx"
    assert found.pack.key.startswith("mine@")


@pytest.mark.parametrize("dimension", [32, 128, 512, 1024])
def test_the_dimension_is_the_graphs(folder: Path, dimension: int) -> None:
    write_recogniser(folder / "w600k_r50.onnx", dimension)
    assert read_pack(folder).pack.dimension == dimension


def test_a_dimension_that_only_the_nodes_know(tmp_path: Path) -> None:
    write_detector(tmp_path / "det.onnx")
    graph = helper.make_graph(
        nodes=[
            helper.make_node("Flatten", ["in"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["out"]),
        ],
        name="graph",
        inputs=[_value("in", [1, 3, 112, 112])],
        outputs=[helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        initializer=[
            helper.make_tensor("weight", TensorProto.FLOAT, [37632, 2], bytes(37632 * 8), raw=True)
        ],
    )
    onnx.save(helper.make_model(graph), str(tmp_path / "rec.onnx"))
    assert read_pack(tmp_path).pack.dimension == 2


def test_a_dimension_that_nobody_knows(folder: Path) -> None:
    write_recogniser(folder / "w600k_r50.onnx", "D")
    with pytest.raises(PackUnavailable, match="how long"):
        read_pack(folder)


def test_a_fixed_detector_input_is_told(folder: Path) -> None:
    write_detector(folder / "det_10g.onnx", 320)
    assert read_pack(folder).detector_input == (320, 320)


def test_weights_listed_as_inputs_are_no_inputs(folder: Path) -> None:
    """Old exporters list every weight among the inputs."""
    model = onnx.load(str(folder / "w600k_r50.onnx"))
    model.graph.input.insert(0, _value("weight", [1]))
    onnx.save(model, str(folder / "w600k_r50.onnx"))
    assert read_pack(folder).recogniser.name == "w600k_r50.onnx"


def test_of_two_alike_the_first_by_name_is_used(folder: Path) -> None:
    """As InsightFace does."""
    write_recogniser(folder / "a_first.onnx", 64)
    write_detector(folder / "z_last.onnx", 320)
    found = read_pack(folder)
    assert found.pack.dimension == 64
    assert found.detector.name == "det_10g.onnx"


def test_the_key_follows_name_and_recogniser_only(folder: Path, tmp_path: Path) -> None:
    key = read_pack(folder).pack.key
    copy = tmp_path / "elsewhere" / "mine"
    write_detector(copy / "another_detector.onnx", 320)
    (copy / "renamed.onnx").write_bytes((folder / "w600k_r50.onnx").read_bytes())
    assert read_pack(copy).pack.key == key
    renamed = copy.rename(tmp_path / "yours")
    assert read_pack(renamed).pack.key == key.replace("mine@", "yours@")
    write_recogniser(renamed / "renamed.onnx", weight=2)
    assert read_pack(renamed).pack.key.split("@")[1] != key.split("@")[1]


@pytest.mark.parametrize("step", ["ALIGNMENT", "NORMALISATION"])
def test_templates_of_another_alignment_or_normalisation_are_not_comparable(
    folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = read_pack(folder).pack.key
    monkeypatch.setattr(packs, step, "another way")
    assert read_pack(folder).pack.key != key


@pytest.mark.parametrize("missing", ["det_10g.onnx", "w600k_r50.onnx"])
def test_a_folder_with_one_model_is_no_pack(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(PackUnavailable, match=r"has no (detector|recogniser)"):
        read_pack(folder)


def test_a_file_that_is_no_model(folder: Path) -> None:
    (folder / "broken.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(PackUnavailable, match=r"broken\.onnx"):
        read_pack(folder)


def test_weights_in_another_file_are_refused(folder: Path) -> None:
    """The key would not change with them."""
    model = onnx.load(str(folder / "w600k_r50.onnx"))
    onnx.save(model, str(folder / "w600k_r50.onnx"), save_as_external_data=True, size_threshold=0)
    with pytest.raises(PackUnavailable, match="another file"):
        read_pack(folder)


def test_without_a_card_the_licence_is_unknown(folder: Path) -> None:
    pack = read_pack(folder).pack
    assert pack.licence.startswith("unknown")
    assert not pack.commercial_use
    assert (pack.min_similarity, pack.confident_similarity) == default_thresholds(pack.dimension)


def test_fewer_dimensions_need_a_higher_threshold() -> None:
    # At 128 dimensions 0.33 to 0.48 separate 300 pairs without error; genuine ones reach 0.59.
    narrow, wide = default_thresholds(128), default_thresholds(512)
    assert 0.33 < wide[0] < narrow[0] < 0.48
    assert narrow[0] < narrow[1] < 0.59 and wide[0] < wide[1] < 0.59


def test_one_stated_figure_leaves_the_other_by_dimension(folder: Path) -> None:
    pack = read_pack(folder).pack
    default = default_calibration(pack.dimension)
    assert pack.calibration == default
    (folder / "facepass.json").write_text('{"impostor_sd": 0.05}')
    assert read_pack(folder).pack.calibration == replace(default, impostor_sd=0.05)


def test_one_stated_threshold_keeps_the_order(folder: Path) -> None:
    (folder / "facepass.json").write_text('{"confident_similarity": 0.3}')
    assert (read_pack(folder).pack.min_similarity, read_pack(folder).pack.confident_similarity) == (
        0.3,
        0.3,
    )
    (folder / "facepass.json").write_text('{"min_similarity": 0.7}')
    assert read_pack(folder).pack.confident_similarity == 0.7


def test_the_card_states_name_licence_and_thresholds(folder: Path) -> None:
    card = {
        "name": "house-pack.2",
        "licence": "Apache-2.0",
        "commercial_use": True,
        "min_similarity": 0.3,
        "confident_similarity": 0.45,
        "impostor_mean": 0.02,
        "impostor_sd": 0.06,
    }
    (folder / "facepass.json").write_text(json.dumps(card))
    pack = read_pack(folder).pack
    assert pack.key.startswith("house-pack.2@")
    assert (pack.licence, pack.commercial_use) == ("Apache-2.0", True)
    assert (pack.min_similarity, pack.confident_similarity) == (0.3, 0.45)
    assert pack.calibration == Calibration(0.02, 0.06)


@pytest.mark.parametrize(
    ("card", "what"),
    [
        ('{"min_similarity": 1.5}', "min_similarity"),
        ('{"min_similarity": "high"}', "min_similarity"),
        ('{"min_similarity": 0.6, "confident_similarity": 0.5}', "below"),
        ('{"impostor_sd": 0}', "impostor_sd"),
        ('{"impostor_mean": 2}', "impostor_mean"),
        ('{"licence": ""}', "licence"),
        ('{"license": "MIT"}', "license"),
        ('{"name": "two words"}', "name"),
        ("[]", "facepass.json"),
        ("{", "JSON"),
    ],
)
def test_a_wrong_card_is_named(folder: Path, card: str, what: str) -> None:
    (folder / "facepass.json").write_text(card)
    with pytest.raises(PackUnavailable, match=what):
        read_pack(folder)


def test_a_folder_name_becomes_a_fit_name(folder: Path, tmp_path: Path) -> None:
    assert read_pack(folder.rename(tmp_path / "My pack (2)")).name == "My-pack-2"


def test_a_pack_is_found_by_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    by_path = find_pack(EngineSettings(pack=str(folder)))
    by_relative_path = find_pack(EngineSettings(pack="./mine"))
    assert by_path.pack == by_relative_path.pack


@pytest.mark.parametrize("inner", ["", "antelopev2"])
def test_a_pack_is_found_by_name_below_the_model_root(
    folder: Path, tmp_path: Path, inner: str
) -> None:
    home = tmp_path / "root" / "models" / "antelopev2" / inner
    home.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(home)
    found = find_pack(EngineSettings(pack="antelopev2", model_root=tmp_path / "root"))
    assert found.name == "antelopev2"
    assert found.detector.parent == home
    assert "non-commercial" in found.pack.licence
    assert not found.pack.commercial_use


def test_an_absent_pack_says_the_three_ways(tmp_path: Path) -> None:
    with pytest.raises(PackUnavailable) as caught:
        find_pack(EngineSettings(pack="buffalo_l", model_root=tmp_path))
    for way in (
        "models pull buffalo_l --accept-license",
        "FACEPASS_ENGINE__PACK=",
        "FACEPASS_ENGINE__KIND=starter",
    ):
        assert way in caught.value.message


def test_no_pack_named() -> None:
    with pytest.raises(PackUnavailable, match="No model pack is named"):
        find_pack(EngineSettings())


def test_the_list_has_published_present_and_configured_packs(folder: Path, tmp_path: Path) -> None:
    models = tmp_path / "root" / "models"
    write_detector(models / "buffalo_s" / "det_500m.onnx")
    write_recogniser(models / "buffalo_s" / "w600k_mbf.onnx", 512)
    (models / "half").mkdir()
    (models / ".pull-x1").mkdir()
    settings = EngineSettings(pack=str(folder), model_root=tmp_path / "root")
    listed = {listing.name: listing for listing in list_packs(settings)}
    assert set(listed) == {*KNOWN_PACKS, "half", "mine"}
    assert listed["buffalo_s"].files is not None
    assert listed["buffalo_s"].files.pack.dimension == 512
    assert listed["buffalo_l"].files is None
    assert "non-commercial" in listed["buffalo_l"].licence
    assert "no detector" in listed["half"].problem
    assert listed["mine"].files is not None


def test_the_list_of_a_machine_without_packs(tmp_path: Path) -> None:
    listed = list_packs(EngineSettings(model_root=tmp_path / "nowhere"))
    assert [listing.name for listing in listed] == sorted(KNOWN_PACKS)
    assert all(listing.files is None and listing.problem for listing in listed)


@pytest.mark.photos
def test_real_packs(packs_dir: Path) -> None:
    found = read_pack(packs_dir / "scrfd25g-mbf128")
    assert found.detector.name == "det_2.5g.onnx"
    assert found.detector_input == (640, 640)
    assert found.pack.dimension == 128
    same_weights = read_pack(packs_dir / "scrfd500m-mbf128")
    assert found.pack.key.split("@")[1] == same_weights.pack.key.split("@")[1]
