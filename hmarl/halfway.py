"""A training that was stopped goes on where it was: its state in one file, rewritten every so many updates."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hmarl import storage

PLAIN = (str, bytes, bool, int, float, np.generic, PurePath)
"""What ``repr`` tells apart."""


@dataclass(frozen=True)
class Halfway:
    """Enough of a training to go on with the same bytes.

    Attributes
    ----------
    beginning : str
        Fingerprint of how the training began; it belongs to no other.
    learner : dict
        State of the learner.
    days : dict
        State of the generator that draws days.
    rows : list of dict
        Of the training log so far, one for each update done.
    carried : Tensor [B, N] kWh or None
        Where the stores of the last batch ended, under ``storage_end: carry``.
    """

    beginning: str
    learner: dict[str, Any]
    days: dict[str, Any]
    rows: list[dict[str, float | str]]
    carried: Tensor | None


@dataclass(frozen=True)
class Keeper:
    """Where and how often the state of a training is kept; results do not depend on it.

    Attributes
    ----------
    path : Path
        The file, in an existing folder.
    every : int
        Updates between two writings; the last update is always kept.
    seconds : float
        Updates of large communities take long: at most so much work is lost, and one update.
    began : float
        When the training was begun, on the clock of the file system.
    """

    path: Path
    every: int = 50
    seconds: float = 120.0
    began: float = field(default_factory=time.time, compare=False)

    def due(self, done: int, of: int) -> bool:
        """Whether to write after ``done`` updates ``of`` all."""
        last = self.path.stat().st_mtime if self.path.exists() else self.began
        return done % self.every == 0 or done == of or time.time() - max(last, self.began) > self.seconds

    def write(self, state: Halfway) -> None:
        """Keep a state, completely or not at all; the learner's tensors are copied."""
        buffer = io.BytesIO()
        torch.save(vars(state), buffer)
        storage.write_bytes(self.path, buffer.getbuffer())

    def read(self, beginning: str) -> Halfway | None:
        """The state of the training that began so, if one was kept.

        Parameters
        ----------
        beginning : str
            From ``fingerprint``.

        Returns
        -------
        Halfway or None
            None if there is no file, or it belongs to another training.

        Raises
        ------
        RunFolderError
            If the file cannot be read.
        """
        if not self.path.exists():
            return None
        try:
            kept = Halfway(**torch.load(self.path, weights_only=True))
        except Exception as error:  # a foreign or older file can fail in any way
            raise storage.RunFolderError(
                f"{self.path} cannot be read by this version ({type(error).__name__}); use --fresh to start the run "
                "again."
            ) from error
        return kept if kept.beginning == beginning else None


def fingerprint(*parts: Any) -> str:
    """Tell states apart by their numbers, however they came about.

    Parameters
    ----------
    *parts
        Nested mappings, sequences and dataclasses of tensors, arrays, numbers, strings and None.

    Returns
    -------
    str
        Hexadecimal SHA-256.

    Raises
    ------
    TypeError
        If a part is anything else, or of a class made inside a function, whose name says too little; it says where.
    """
    digest = hashlib.sha256()
    for part in parts:
        _feed(digest, part, "")
    return digest.hexdigest()


def _feed(digest: Any, part: Any, where: str) -> None:
    if isinstance(part, Mapping):
        for key in sorted(part, key=str):
            digest.update(f"[{key}]".encode())
            _feed(digest, part[key], f"{where}[{key!r}]")
    elif isinstance(part, Tensor | np.ndarray):
        values = part.detach().cpu().numpy() if isinstance(part, Tensor) else part
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    elif isinstance(part, Sequence) and not isinstance(part, str | bytes):
        digest.update(f"({len(part)}".encode())
        for place, item in enumerate(part):
            _feed(digest, item, f"{where}[{place}]")
    elif is_dataclass(part) and "<locals>" not in type(part).__qualname__:
        digest.update(f"<{type(part).__module__}.{type(part).__qualname__}".encode())
        for one in fields(part):
            _feed(digest, getattr(part, one.name), f"{where}.{one.name}")
    elif part is None or isinstance(part, PLAIN):
        digest.update(repr(part).encode() + b";")
    else:
        raise TypeError(
            f"{where or 'it'} is of type {type(part).__qualname__}; write tensors, arrays, numbers, strings, None, and "
            "mappings, lists and tuples of them"
        )
