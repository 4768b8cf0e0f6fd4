"""The code behind a plug-in of others: hashed, so that results of other code are told apart."""

from __future__ import annotations

import hashlib
import importlib.machinery
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

OURS = ("hmarl", "aggregator", "wholesale", "retail")
"""Their version and commit stand in the manifest; a change of them is no reason to refuse a run folder."""


@lru_cache(maxsize=64)
def digest(module: str) -> str | None:
    """Hash an imported module, or the whole package that it is part of; once, since imports happen once too.

    Parameters
    ----------
    module : str
        Its name; already imported.

    Returns
    -------
    str or None
        Hexadecimal SHA-256 of all source and extension files; None if it is ours, or of no file (a notebook).
    """
    parts = module.split(".")
    if parts[0] in OURS:
        return None
    for length in range(1, len(parts) + 1):  # outside in: the first with a file is no mere namespace
        spec = getattr(sys.modules.get(".".join(parts[:length])), "__spec__", None)
        if spec is not None and spec.has_location and spec.origin:
            folders = [Path(place) for place in spec.submodule_search_locations or ()]
            files = [found for folder in folders for found in _files(folder)] if folders else [("", Path(spec.origin))]
            found = hashlib.sha256()
            for name, path in files:
                found.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
            return found.hexdigest()
    return None


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """What Python could import from a package, in an order of its own; caches of it aside."""
    code = tuple(importlib.machinery.all_suffixes())
    paths = {path.relative_to(folder): path for path in folder.rglob("*") if path.name.endswith(code)}
    for name in sorted(name for name in paths if "__pycache__" not in name.parts):
        yield name.as_posix(), paths[name]
