"""Where a learner has gone wrong: which tensors of its state hold something that is no number, and for whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

SHOWN = 3
EXPLODED = 1e12
"""A loss or a parameter beyond this has left every sensible scale; its next step is mostly not a number."""


def broken_tensors(state: Any) -> list[str]:
    """Name the tensors of a learner's state that hold something that is no number, or have exploded.

    Parameters
    ----------
    state : Any
        From ``learner.state()``: nested mappings and sequences.

    Returns
    -------
    list of str
        At most three, e.g. ``tensor actor.w0 of group 2``; the group is the agent where each has a net of its own.
    """
    found = []
    for path, tensor in _tensors(state, ""):
        wrong = ~(tensor.detach().abs() <= EXPLODED)  # true for NaN as well
        if bool(wrong.any()):
            groups = wrong.reshape(len(wrong), -1).any(-1).nonzero().ravel().tolist() if tensor.dim() > 1 else []
            where = f" of group {', '.join(map(str, groups[:SHOWN]))}" if groups else ""
            found.append(f"tensor {path}{where}")
    return found[:SHOWN]


def _tensors(part: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(part, Tensor):
        if torch.is_floating_point(part) and part.numel():
            yield path, part
    elif isinstance(part, Mapping | Sequence) and not isinstance(part, str | bytes):
        items = part.items() if isinstance(part, Mapping) else enumerate(part)
        for key, value in items:
            yield from _tensors(value, f"{path}.{key}" if path else str(key))
