"""The code behind a plug-in: a class of a module, or of a file that a study names; imported, and hashed if of others.

``FILE.py:Class`` runs that file, as ``python FILE.py`` would: whoever runs a study of others reads such files first.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

OURS = ("hmarl", "aggregator", "wholesale", "retail")
"""Their version and commit stand in the manifest; a change of them is no reason to refuse a run folder."""


_PREFIX = "hmarl_file_"
_FILE = re.compile(r"(?P<path>[^\0\n]+?\.py)(?P<rest>(?::.*)?)")


class NotThere(ImportError):
    """No such file or class; the message is half a sentence."""


def file_of(target: str) -> Path | None:
    """Find the file of a target.

    Parameters
    ----------
    target : str
        ``FILE.py:Class``, ``module:Class``, or the name of a plug-in.

    Returns
    -------
    Path or None
        As written, there or not; None if no file is named.
    """
    match = _FILE.fullmatch(target)
    return Path(match["path"]) if match else None


def anchored(target: str, folder: Path) -> str:
    """Make a target independent of where it is read.

    Parameters
    ----------
    target : str
        As for `file_of`.
    folder : Path
        What the path of a file starts from.

    Returns
    -------
    str
        With the absolute path of a file; else as it was.
    """
    match = _FILE.fullmatch(target)
    return os.path.normpath(folder.absolute() / match["path"]) + match["rest"] if match else target


def imported(target: str) -> Any:
    """Import what a target leads to, and run its code the first time.

    Parameters
    ----------
    target : str
        ``module:Class``, or ``FILE.py:Class``; an edited file is run anew.

    Returns
    -------
    object
        The class, if it is one.

    Raises
    ------
    NotThere
        If there is no such file or class.
    Exception
        Whatever the code raises.
    """
    match = _FILE.fullmatch(target)
    if match:
        module, attribute = _of_file(Path(match["path"])), match["rest"].removeprefix(":")
    else:
        name, _, attribute = target.partition(":")
        module = importlib.import_module(name)
    if not attribute:
        raise NotThere("no class is named")
    if not hasattr(module, attribute):
        raise NotThere(f"it has no class {attribute}")
    return getattr(module, attribute)


def code_of(target: str, found: type) -> str | None:
    """Tell the code of others from what it was before.

    Parameters
    ----------
    target : str
        As for `imported`.
    found : type
        What it leads to.

    Returns
    -------
    str or None
        Hash of the file; or of the module or package that is named and of the one that the class comes from. None for
        ours.
    """
    path = file_of(target)
    if path is not None:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    modules = (target.partition(":")[0], found.__module__)
    return "+".join(dict.fromkeys(known for module in modules if (known := digest(module)))) or None


class LoadedFiles:
    """Goes to another process ahead of things of files: it is unpickled first, and imports those files there."""

    def __reduce__(self) -> tuple[Any, ...]:
        loaded = {str(module.__file__) for name, module in sys.modules.items() if name.startswith(_PREFIX)}
        return _with_files, (sorted(loaded),)


def _with_files(paths: list[str]) -> LoadedFiles:
    for path in map(Path, paths):
        if path.is_file():  # what is gone may not be needed; if it is, unpickling names it
            _of_file(path)
    return LoadedFiles()


class _Exactly(SourceFileLoader):
    """Runs the source as it is: bytecode of Python's cache may be of an edit in the same second."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _of_file(path: Path) -> ModuleType:
    """The module of a file as it is now; its name says which, so that files of one name do not meet."""
    if not path.is_file():
        raise NotThere("there is no such file")
    name = f"{_PREFIX}{hashlib.sha256(bytes(path) + path.read_bytes()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=_Exactly(name, str(path)))
    if spec is None or spec.loader is None:
        raise NotThere("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


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
