"""Packs are downloaded whole or not at all, and only after their licence was accepted."""

import functools
import http.server
import io
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from insightface.utils import storage
from onnx import TensorProto, helper

from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.onnx.packs import find_pack
from common.vision.onnx.pull import provide_pack, pull


def model(input_shape: list[int], outputs: list[list[int]]) -> bytes:
    values = [
        helper.make_tensor_value_info(f"out{n}", TensorProto.FLOAT, shape)
        for n, shape in enumerate(outputs)
    ]
    source = helper.make_tensor_value_info("in", TensorProto.FLOAT, input_shape)
    serialised: bytes = helper.make_model(
        helper.make_graph([], "graph", [source], values)
    ).SerializeToString()
    return serialised


DETECTOR = model([1, 3, 640, 640], [[1, 800, k] for k in (1, 1, 1, 4, 4, 4)])
RECOGNISER = model([1, 3, 112, 112], [[1, 512]])


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


class Site(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; a file that ends in `.cut` is announced longer than it is."""

    requested: list[str]

    @staticmethod
    def before_answer() -> None:
        """What happens elsewhere while a download is under way."""

    def log_message(self, format: str, *args: object) -> None:
        self.requested.append(self.path)

    def do_GET(self) -> None:
        self.before_answer()
        cut = Path(self.translate_path(self.path + ".cut"))
        if not cut.exists():
            super().do_GET()
            return
        self.log_request()
        self.send_response_only(200)
        self.send_header("Content-Length", str(cut.stat().st_size * 2))
        self.end_headers()
        self.wfile.write(cut.read_bytes())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served where InsightFace's downloads come from."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(Site, "requested", [], raising=False)
    handler = functools.partial(Site, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(storage, "MODEL_ZOO_RELEASE_DOWNLOAD_URL", address)
        for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(proxy, raising=False)
        yield folder
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(tmp_path: Path) -> EngineSettings:
    return EngineSettings(pack="buffalo_s", model_root=tmp_path / "root")


def left_behind(settings: EngineSettings) -> list[str]:
    models = settings.model_root / "models"
    return sorted(path.name for path in models.iterdir()) if models.exists() else []


def test_a_pulled_pack_is_found_by_name(site: Path, settings: EngineSettings) -> None:
    (site / "buffalo_s.zip").write_bytes(zipped({"det.onnx": DETECTOR, "rec.onnx": RECOGNISER}))
    pulled = pull("buffalo_s", settings, accepted=True)
    assert pulled == find_pack(settings)
    assert pulled.pack.dimension == 512
    assert left_behind(settings) == ["buffalo_s"]


def test_a_pack_that_unzips_into_a_folder_of_its_own(site: Path, settings: EngineSettings) -> None:
    inside = {"antelopev2/det.onnx": DETECTOR, "antelopev2/rec.onnx": RECOGNISER}
    (site / "antelopev2.zip").write_bytes(zipped(inside))
    pulled = pull("antelopev2", settings, accepted=True)
    assert pulled.detector == settings.model_root / "models" / "antelopev2" / "det.onnx"
    assert pulled.name == "antelopev2"


def test_a_second_pull_asks_for_nothing(site: Path, settings: EngineSettings) -> None:
    (site / "buffalo_s.zip").write_bytes(zipped({"det.onnx": DETECTOR, "rec.onnx": RECOGNISER}))
    first = pull("buffalo_s", settings, accepted=True)
    assert len(Site.requested) == 1
    assert pull("buffalo_s", settings, accepted=False) == first
    assert len(Site.requested) == 1


def test_nothing_is_downloaded_before_the_licence_is_accepted(
    site: Path, settings: EngineSettings
) -> None:
    (site / "buffalo_s.zip").write_bytes(zipped({"det.onnx": DETECTOR, "rec.onnx": RECOGNISER}))
    with pytest.raises(PackUnavailable) as caught:
        pull("buffalo_s", settings, accepted=False)
    assert "non-commercial" in caught.value.message
    assert "--accept-license" in caught.value.message
    assert Site.requested == []


def test_a_pack_that_nobody_publishes(site: Path, settings: EngineSettings) -> None:
    with pytest.raises(PackUnavailable, match="buffalo_l"):
        pull("../evil", settings, accepted=True)
    assert Site.requested == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"<html>please log in</html>", id="no zip"),
        pytest.param(
            zipped({"det.onnx": DETECTOR * 50, "rec.onnx": RECOGNISER})[:900], id="cut zip"
        ),
        pytest.param(
            zipped({"det.onnx": DETECTOR}).replace(DETECTOR[:40], b"x" * 40), id="damaged zip"
        ),
        pytest.param(zipped({"det.onnx": DETECTOR}), id="no recogniser"),
        pytest.param(zipped({"det.onnx": b"\xff", "rec.onnx": RECOGNISER}), id="no model"),
        pytest.param(zipped({}), id="empty"),
    ],
)
def test_a_broken_download_leaves_nothing(
    site: Path, settings: EngineSettings, content: bytes
) -> None:
    (site / "buffalo_s.zip").write_bytes(content)
    with pytest.raises(PackUnavailable):
        pull("buffalo_s", settings, accepted=True)
    assert left_behind(settings) == []


def test_a_download_that_breaks_off_leaves_nothing(site: Path, settings: EngineSettings) -> None:
    content = zipped({"det.onnx": DETECTOR, "rec.onnx": RECOGNISER})
    (site / "buffalo_s.zip.cut").write_bytes(content)
    with pytest.raises(PackUnavailable, match="Three ways"):
        pull("buffalo_s", settings, accepted=True)
    assert left_behind(settings) == []


def test_a_missing_file_says_the_three_ways(site: Path, settings: EngineSettings) -> None:
    with pytest.raises(PackUnavailable, match="Three ways"):
        pull("buffalo_s", settings, accepted=True)
    assert set(Site.requested) == {"/buffalo_s.zip"}
    assert left_behind(settings) == []


def test_without_a_network_the_three_ways_are_said(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    address = f"http://127.0.0.1:{unused_tcp_port}/"
    monkeypatch.setattr(storage, "MODEL_ZOO_RELEASE_DOWNLOAD_URL", address)
    with pytest.raises(PackUnavailable) as caught:
        pull("buffalo_s", settings, accepted=True)
    for way in (
        "models pull buffalo_s --accept-license",
        "FACEPASS_ENGINE__PACK=",
        "FACEPASS_ENGINE__KIND=starter",
    ):
        assert way in caught.value.message
    assert left_behind(settings) == []


def test_a_folder_that_is_no_pack_is_not_overwritten(site: Path, settings: EngineSettings) -> None:
    (site / "buffalo_s.zip").write_bytes(zipped({"det.onnx": DETECTOR, "rec.onnx": RECOGNISER}))
    mine = settings.model_root / "models" / "buffalo_s"
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(PackUnavailable, match="Remove"):
        pull("buffalo_s", settings, accepted=True)
    assert (mine / "notes.txt").read_text() == "mine"


def test_a_model_root_that_cannot_be_written(site: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PackUnavailable, match="cannot be written"):
        pull("buffalo_s", EngineSettings(model_root=tmp_path / "file"), accepted=True)


def test_a_server_pulls_its_pack_only_with_the_licence_accepted(
    site: Path, settings: EngineSettings
) -> None:
    (site / "buffalo_s.zip").write_bytes(zipped({"det.onnx": DETECTOR, "rec.onnx": RECOGNISER}))
    with pytest.raises(PackUnavailable, match="Three ways"):
        provide_pack(settings)
    assert Site.requested == []
    provided = provide_pack(settings.model_copy(update={"accept_license": True}))
    assert provided == find_pack(settings)


def test_pulls_side_by_side_download_once(
    site: Path, settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "buffalo_s.zip").write_bytes(zipped({"det.onnx": DETECTOR, "rec.onnx": RECOGNISER}))
    downloads: list[float] = []

    def count() -> None:
        downloads.append(time.monotonic())
        time.sleep(0.2)

    monkeypatch.setattr(Site, "before_answer", staticmethod(count))
    with ThreadPoolExecutor(4) as workers:
        found = list(workers.map(lambda _: pull("buffalo_s", settings, True), range(4)))
    assert len(downloads) == 1
    assert {files.folder for files in found} == {settings.model_root / "models" / "buffalo_s"}
    assert left_behind(settings) == ["buffalo_s"]
