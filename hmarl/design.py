"""The design of a sweep: from ``vary`` and ``sample`` of a study to the points at which it is run."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmarl.study import Study
from hmarl.study_file.plan import Sample, Span, Vary
from hmarl.study_file.problems import Problem, StudyError

Array = NDArray[np.float64]
MOST_POINTS = 100_000
LEVELS = 4
"""Levels of a Morris trajectory."""


@dataclass(frozen=True)
class Design:
    """Points of a sweep.

    Parameters
    ----------
    paths : tuple of str
        What is varied, k dotted paths.
    sample : Sample
        How the rows were chosen.
    unit : array [P, k] 0..1
        Place of each row in the space of the factors: 0 is the low end or the first value of a list.
    rows : tuple of str [P]
        Point of each row; rows with equal values share one.
    points : dict
        Name of point -> path -> value.
    """

    paths: tuple[str, ...]
    sample: Sample
    unit: Array
    rows: tuple[str, ...]
    points: dict[str, dict[str, Any]]

    def described(self) -> dict[str, Any]:
        """Say everything about the design as plain values.

        Returns
        -------
        dict
            paths, sample, points, rows, unit.
        """
        return {
            "paths": list(self.paths),
            "sample": self.sample.model_dump(),
            "points": self.points,
            "rows": list(self.rows),
            "unit": self.unit.tolist(),
        }

    def studies(self, study: Study) -> dict[str, Study]:
        """The study at every point.

        Parameters
        ----------
        study : Study
            The one that is swept.

        Returns
        -------
        dict
            Name of point -> checked study.

        Raises
        ------
        StudyError
            If a value is not allowed where it goes, or changes no arm; nothing has been run then.
        """
        plain = {name: value for name, value in study.document.items() if name not in ("vary", "sample")}
        base = Study.parse(plain, study.where)
        return {point: base.change(**values) for point, values in self.points.items()}


def design(study: Study) -> Design:
    """Choose the points of a sweep.

    Parameters
    ----------
    study : Study
        With ``vary``.

    Returns
    -------
    Design
        The same for the same ``vary`` and ``sample``.

    Raises
    ------
    StudyError
        If the study varies nothing, or has too many points.
    """
    if not study.vary:
        example = "vary: {community.battery: {low: 0.2, high: 0.8}, leader.margin: [0.1, 0.3]}"
        raise StudyError([Problem("vary", None, f"what to vary, e.g. {example}", reason="is missing")], study.where)
    unit = _unit(study.vary, study.sample, study.where)
    values = [tuple(_at(span, share) for span, share in zip(study.vary.values(), row, strict=True)) for row in unit]
    found = list(dict.fromkeys(map(_key, values)))
    width = max(4, len(str(len(found) - 1)))
    names = {key: f"{place:0{width}d}" for place, key in enumerate(found)}
    points = {names[_key(row)]: dict(zip(study.vary, row, strict=True)) for row in values}
    return Design(tuple(study.vary), study.sample, unit, tuple(names[_key(row)] for row in values), points)


def _unit(vary: Vary, sample: Sample, where: str) -> Array:
    """Rows in the unit cube."""
    k, n = len(vary), sample.n
    # cells of a list are entered in their middle, ranges at their ends
    levels = [
        [(i + 0.5) / len(span) for i in range(len(span))] if isinstance(span, list) else _even(n)
        for span in vary.values()
    ]
    count = {"grid": math.prod(map(len, levels)), "latin": n, "morris": n * (k + 1), "sobol": n * (k + 2)}
    if count[sample.method] > MOST_POINTS:
        raise StudyError(
            [Problem("sample.n", n, f"at most {MOST_POINTS} points", reason=f"gives {count[sample.method]} points")],
            where,
        )
    if sample.method == "grid":
        return np.array(list(itertools.product(*levels)))
    if sample.method == "latin":
        from scipy.stats import qmc  # noqa: PLC0415 - 1.6 s to import

        return np.asarray(qmc.LatinHypercube(k, rng=np.random.default_rng(sample.seed)).random(n))
    from SALib.sample import morris, sobol  # noqa: PLC0415 - only some sweeps need it

    problem = salib_problem(tuple(vary))
    if sample.method == "morris":
        return np.asarray(morris.sample(problem, n, num_levels=LEVELS, seed=sample.seed))
    return np.asarray(sobol.sample(problem, n, calc_second_order=False, seed=sample.seed))


def salib_problem(paths: tuple[str, ...]) -> dict[str, Any]:
    """Describe the factors to SALib, in the unit cube.

    Parameters
    ----------
    paths : tuple of str
        What is varied.

    Returns
    -------
    dict
        num_vars, names, bounds.
    """
    return {"num_vars": len(paths), "names": list(paths), "bounds": [[0.0, 1.0]] * len(paths)}


def _even(n: int) -> list[float]:
    return [0.5] if n == 1 else [i / (n - 1) for i in range(n)]


def _at(span: Span | list[Any], share: float) -> Any:
    """Value of a factor at a place between 0 and 1."""
    if isinstance(span, list):
        return span[min(int(share * len(span)), len(span) - 1)]
    if span.whole:
        # each whole number gets an equal part of the range
        low, high = int(span.low), int(span.high)
        return min(low + int(share * (high - low + 1)), high)
    return float(f"{span.low + share * (span.high - span.low):.12g}")


def _key(row: tuple[Any, ...]) -> str:
    return repr(row)
