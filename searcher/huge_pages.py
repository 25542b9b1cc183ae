"""Large pages for memory that every search reads from end to end: with small ones, finding each of
them takes up to a third of the time."""

import ctypes
import mmap

import numpy as np
from numpy.typing import NDArray

_PAGE = 2 * 1024 * 1024
_COLLAPSE = 25


def use_huge_pages(array: NDArray[np.uint8]) -> None:
    """Have the kernel hold what of an array fills pages of 2 MiB in such pages, now if it can
    (Linux 6.1), else as it finds the time. Where it does neither, nothing changes but the speed.

    Source: madvise(2), MADV_HUGEPAGE, MADV_COLLAPSE.
    """
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    start = -(-array.ctypes.data // _PAGE) * _PAGE
    length = (array.ctypes.data + array.nbytes) // _PAGE * _PAGE - start
    if madvise is None or not hasattr(mmap, "MADV_HUGEPAGE") or length <= 0:
        return
    for advice in (mmap.MADV_HUGEPAGE, _COLLAPSE):
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), advice)
