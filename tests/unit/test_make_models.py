"""The models with random weights have the shapes, the layouts and the cost of buffalo_l's."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from bench.make_models import IResNetShape, Layout, ScrfdShape, gigamacs, iresnet, scrfd, write_pack
from common.vision.onnx.packs import read_pack

SMALL = ScrfdShape((8, 8, 8, 8), (1, 1, 1, 1), neck=8, tower=8, convs=1)


def test_cost_is_that_of_the_papers() -> None:
    # SCRFD-10G: 9.98 at 640 x 480, hence 13.3 at 640 x 640. ResNet-50 of ArcFace: 6.3.
    assert gigamacs(scrfd(layout=Layout.BAKED)) == pytest.approx(13.3, rel=0.05)
    assert gigamacs(iresnet(), **{"None": 1}) == pytest.approx(6.3, rel=0.05)


@pytest.mark.parametrize("layout", Layout)
def test_heads_of_each_layout(layout: Layout) -> None:
    graph = scrfd(SMALL, layout, 64)
    onnx.checker.check_model(graph)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    heads = session.run(None, {"input.1": np.zeros((1, 3, 64, 64), np.float32)})
    rows = [(cells * cells * 2, k) for k in (1, 4, 10) for cells in (8, 4, 2)]
    front = () if layout is Layout.OFFICIAL else (1,)
    assert [head.shape for head in heads] == [(*front, *each) for each in rows]
    assert max(head.max() for head in heads[:3]) < 0.5


def test_a_pack_of_them_is_a_pack(tmp_path: Path) -> None:
    write_pack(tmp_path, SMALL, IResNetShape((8, 8, 8, 8), (1, 1, 1, 1), dimension=32))
    files = read_pack(tmp_path)
    assert (files.name, files.pack.dimension) == ("random-l", 32)
    assert files.detector_input is None
