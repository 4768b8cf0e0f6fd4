"""Tables of a report and how a number is written in them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hmarl.statistics import Estimate


@dataclass
class Cell:
    """One cell; ``kind`` is ``text`` (long), ``change`` (to the baseline) or ``change clear`` (interval without 0)."""

    text: str
    kind: str = ""


@dataclass
class Row:
    """One row."""

    cells: list[Cell]


@dataclass
class Table:
    """A table with a caption; a folded one shows its caption until it is opened."""

    caption: str
    heads: list[str]
    rows: list[Row]
    folded: bool = False


def gathered(values: list[Any]) -> str:
    """One cell for the values of several seeds.

    Parameters
    ----------
    values : list
        Numbers, yes or no, texts, lists of numbers; None where a seed has none.

    Returns
    -------
    str
        Mean and range, a count, or the different texts; ``-`` where there is nothing.
    """
    real = [value for value in values if value is not None]
    if not real:
        return "-"
    if all(isinstance(value, bool) for value in real):
        return f"yes, {len(real)} of {len(real)}" if all(real) else f"{sum(real)} of {len(real)}"
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in real):
        low, high = min(real), max(real)
        mean = figure(float(np.mean(real)))
        return mean if low == high else f"{mean} ({figure(low)} to {figure(high)})"
    if all(isinstance(value, list) and value and all(isinstance(x, float) for x in value) for value in real):
        every = [x for value in real for x in value]  # of homes or steps: the file has them all
        return f"{len(real[0])} numbers, {figure(min(every))} to {figure(max(every))}"
    texts = list(dict.fromkeys("none" if value == [] else str(value) for value in real))
    return "; ".join(texts)


def figure(value: float, *, sign: bool = False) -> str:
    """Write three figures, without powers of ten where people can read the number.

    Parameters
    ----------
    value : float
        Any unit; not a number gives ``-``.
    sign : bool
        Whether a plus is written.

    Returns
    -------
    str
    """
    if not math.isfinite(value):
        return "-" if math.isnan(value) else str(value)
    if abs(value) < 5e-7:
        return "0"
    digits = min(max(2 - math.floor(math.log10(abs(value))), 0), 6)
    return f"{value:{'+' if sign else ''},.{digits}f}"


def estimated(estimate: Estimate, *, sign: bool = False) -> str:
    """Write a mean with half of its interval.

    Parameters
    ----------
    estimate : Estimate
        Any unit.
    sign : bool
        Whether a plus is written.

    Returns
    -------
    str
        ``-`` where there is no mean.
    """
    if not math.isfinite(estimate.mean):
        return "-"
    mean = figure(estimate.mean, sign=sign)
    return mean if estimate.half_width is None else f"{mean} ± {figure(estimate.half_width)}"
