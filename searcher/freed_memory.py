"""Memory that is given back: templates pass through buffers of the database's driver, which nobody
but the allocator can overwrite."""

import ctypes

_M_PERTURB = -6
_BYTE = 0xA5


def overwrite_freed_memory() -> None:
    """Have the C library overwrite larger pieces of memory when they are freed, in this process
    from now on. Only glibc can.

    Source: mallopt(3), M_PERTURB.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_PERTURB, _BYTE)
