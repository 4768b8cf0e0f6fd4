"""Memory that was freed stays with the process for the next tables, instead of going back to the system each time.

A learner makes and drops tables of many MB at every update. glibc maps each of them anew, and the system then fills it
with zeros page by page: 8 of 22 CPU seconds of a training of 300 homes. Nothing that is computed changes.
"""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""Parameters of glibc's mallopt(3)."""


def keep_freed_memory() -> None:
    """Tell the allocator of this process to keep what is freed; on systems without glibc, nothing is done."""
    library = _glibc()
    if library is not None:
        library.mallopt(MMAP_MAX, 0)
        library.mallopt(TRIM_THRESHOLD, -1)
        library.mallopt(TOP_PAD, 64 << 20)


def give_back_memory() -> None:
    """Return what is free to the system, once the work is done."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, where it is glibc: others have neither mallopt nor malloc_trim."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
