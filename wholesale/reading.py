"""Reading case files: gzipped or plain bytes, and one sentence for whatever is wrong in them."""

from __future__ import annotations

import contextlib
import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wholesale.mistakes import SystemInvalid

MOST_BYTES = 1 << 30
"""Of an unpacked file; a small packed one can stand for a disk full of zeros."""


def content(path: Path) -> bytes:
    """Read a file, unpacked if its name ends in ``.gz``.

    Parameters
    ----------
    path : Path
        Plain or gzipped.

    Returns
    -------
    bytes
        Of the plain file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is damaged, or more than 1 GiB when unpacked.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No case file {str(path)!r}; check the path.")
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            found = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name} cannot be unpacked ({error}); get an undamaged file.") from None
    if len(found) > MOST_BYTES:
        raise ValueError(f"{path.name} is more than {MOST_BYTES >> 20} MiB when unpacked; no case is that large.")
    return found


@contextlib.contextmanager
def reading(name: str, form: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a sentence that names the file.

    Parameters
    ----------
    name : str
        Of the file or folder.
    form : str
        What it should be, e.g. ``MATPOWER case``.

    Raises
    ------
    ValueError
        Instead of errors of lookup, conversion and decoding; sentences that name the file, and those on the system in
        it (`SystemInvalid`), pass as they are.
    """
    try:
        # what overflows is found as not finite when the system is checked
        with np.errstate(all="ignore"):
            yield
    except (SystemInvalid, FileNotFoundError):
        raise
    except (LookupError, OSError, TypeError, ValueError, ArithmeticError, AttributeError, csv.Error) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        if type(error) is ValueError and name in said:
            raise
        raise ValueError(f"{name} cannot be read as a {form}: {said}.") from error


__all__ = ["MOST_BYTES", "content", "reading"]
