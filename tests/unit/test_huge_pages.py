"""Memory that is read from end to end stands in large pages, and holds what it held."""

from pathlib import Path

import numpy as np
import pytest

from searcher.huge_pages import use_huge_pages

MIB = 1024 * 1024
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def huge_bytes(address: int) -> int:
    """How much of the mapping that holds an address stands in large pages."""
    here = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            start, end = (int(each, 16) for each in first.split("-"))
            here = start <= address < end
        elif here and first == "AnonHugePages:":
            return int(line.split()[1]) * 1024
    raise AssertionError("nothing is mapped there")


def test_memory_in_use_moves_to_large_pages() -> None:
    values = np.arange(16 * MIB, dtype=np.int32).astype(np.uint8)
    array = values.copy()
    middle = array.ctypes.data + array.nbytes // 2
    before = huge_bytes(middle)
    use_huge_pages(array)
    assert (array == values).all()
    if not ENABLED.exists() or "[never]" in ENABLED.read_text():
        pytest.skip("this kernel has no large pages")
    if huge_bytes(middle) == before:
        pytest.skip("this kernel moves memory when it finds the time, or has no large page left")
    assert huge_bytes(middle) >= 8 * MIB


@pytest.mark.parametrize("count", [0, 1, MIB])
def test_what_fills_no_large_page_stays_where_it_is(count: int) -> None:
    array = np.ones(count, dtype=np.uint8)
    use_huge_pages(array)
    assert (array == 1).all()
