"""The execution providers that are used are those that work, and batches follow from them."""

from pathlib import Path

import pytest

from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.onnx.session import CPU, CUDA, TENSORRT, Runtime, choose_providers, why_not


def test_the_cpu_is_used_where_there_is_nothing_else() -> None:
    assert choose_providers([])[-1] == CPU
    assert choose_providers([CPU]) == [CPU]
    assert why_not(CPU) is None


def test_a_provider_that_does_not_work_is_told_with_the_reason() -> None:
    for name in (TENSORRT, CUDA):
        if name not in choose_providers([]):
            assert why_not(name)


def test_a_provider_that_is_wanted_and_absent_is_an_error() -> None:
    with pytest.raises(PackUnavailable, match="NoSuchExecutionProvider"):
        choose_providers([CPU, "NoSuchExecutionProvider"])


def test_batches_follow_from_the_provider_unless_they_are_set() -> None:
    on_cpu = Runtime.of(EngineSettings(providers=[CPU]), threads=2)
    assert (on_cpu.on_cpu, on_cpu.threads, on_cpu.name) == (True, 2, "CPU")
    assert list(on_cpu.embed_sizes) == list(range(1, on_cpu.embed_batch + 1))
    chosen = Runtime.of(EngineSettings(providers=[CPU], detect_batch=3, embed_batch=5))
    assert (list(chosen.detect_sizes), max(chosen.embed_sizes)) == ([1, 3], 5)


def test_a_device_gets_few_sizes_and_a_folder_for_its_engines(tmp_path: Path) -> None:
    device = Runtime((TENSORRT, CPU), detect_batch=16, embed_batch=64, cache_dir=tmp_path)
    assert (device.on_cpu, device.name) == (False, "Tensorrt")
    assert list(device.embed_sizes) == [1, 4, 16, 64]
    assert list(device.detect_sizes) == [1, 4, 16]
    assert list(Runtime((CUDA,), embed_batch=4).embed_sizes) == [1, 4]
