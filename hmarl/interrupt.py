"""Ctrl-C ends the program within two seconds, also while a solver that knows nothing of Python is at work."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

PATIENCE = 1.2
"""Seconds that the orderly way out may take; files are written whole or not at all, so any moment is safe."""
CODE = 130
MESSAGE = "\nInterrupted. Finished seeds are kept; run the same command again to go on."


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """End this process soon after Ctrl-C, whatever the main thread is doing.

    Python hands Ctrl-C to the main thread, which hears it only between two steps of Python: a solver may compute for
    minutes without one. A thread of its own reads the signal from the operating system and waits a moment.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    ended = threading.Event()
    threading.Thread(target=_watch, args=(read, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        os.close(write)


def _watch(read: int, ended: threading.Event) -> None:
    with contextlib.closing(os.fdopen(read, "rb", buffering=0)) as pipe:
        while said := pipe.read(1):
            if said[0] == signal.SIGINT and not ended.wait(PATIENCE):
                shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar hides the cursor
                os.write(2, f"{shown}{MESSAGE}\n".encode())
                os._exit(CODE)
