"""What a study may say beside its sections: ``vary``, ``sample`` of a sweep, ``run``, and how arms are ranked."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hmarl.measures import BETTER
from hmarl.study_file.merging import SECTIONS
from hmarl.study_file.problems import Problem, unknown
from hmarl.study_file.section import Section, Whole


class Span(Section):
    """A range of values.

    Parameters
    ----------
    low, high : float
        Ends, in the unit of what is varied.
    whole : bool
        Whole numbers only.
    """

    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    whole: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        if self.whole and (self.low != int(self.low) or self.high != int(self.high)):
            raise ValueError(f"whole needs whole ends, not {self.low:g} and {self.high:g}")
        return self


class Sample(Section):
    """How points are chosen in the space of what is varied.

    Parameters
    ----------
    method : str
        ``grid``: all combinations; ``latin``: Latin hypercube; ``morris``: trajectories of one change at a time;
        ``sobol``: Saltelli's scheme.
    n : int >= 1
        Values per range (grid), points (latin), trajectories of k + 1 points (morris) or base points, of which each
        becomes k + 2, a power of two (sobol).
    seed : int >= 0
        Of the choice of points.
    """

    method: Literal["grid", "latin", "morris", "sobol"] = "grid"
    n: Whole = 4
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        least = {"latin": 2, "morris": 2, "sobol": 2}.get(self.method, 1)
        if self.n < least:
            raise ValueError(f"n must be at least {least} for {self.method}, it is {self.n}")
        if self.method == "sobol" and self.n & (self.n - 1):
            raise ValueError(f"n must be a power of two for sobol (e.g. {1 << self.n.bit_length()}), it is {self.n}")
        return self


class Execution(Section):
    """Where the runs are done; results do not depend on it.

    Parameters
    ----------
    executor : str
        ``process``: processes of this machine; ``ray``: a Ray cluster.
    jobs : int >= 1, optional
        Runs at a time; all cores if left out.
    address : str, optional
        Of the Ray cluster, e.g. ``ray-head:6379``; a cluster on this machine is started if left out.
    """

    executor: Literal["process", "ray"] = "process"
    jobs: Whole | None = None
    address: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.address and self.executor != "ray":
            raise ValueError(f"address {self.address} belongs to executor ray")
        return self


class Rank(Section):
    """How arms are ranked at the end of a run.

    Parameters
    ----------
    by : str
        Measure of which more, or less, is better; see `hmarl.measures.BETTER`.
    within : list of str
        Arms compete with those that have the same of these sections, e.g. ``[wholesale]``; all with all if empty.
    """

    by: str = "aggregator_profit"
    within: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.by not in BETTER:
            raise ValueError(f"by is {self.by!r}; arms can be ranked by {', '.join(BETTER)}")
        for name in self.within:
            if name not in SECTIONS:
                raise ValueError(f"within names {name!r}; sections: {', '.join(SECTIONS)}")
        return self


Vary = dict[str, Span | Annotated[list[Any], Field(min_length=2)]]
"""Dotted path -> range, or list of at least two values."""


def check_paths(vary: Any, arms: Any) -> list[Problem]:
    """Check where the values of ``vary`` are to be put.

    Parameters
    ----------
    vary : Any
        As written.
    arms : Any
        As written; a path may lead into an arm.

    Returns
    -------
    list of Problem
        With paths from the top.
    """
    problems = []
    for path in vary if isinstance(vary, dict) else ():
        parts = str(path).split(".")
        named = list(arms) if isinstance(arms, dict) else []
        if parts[0] == "arms" and len(parts) > 2:
            if parts[1] not in named:
                problems.append(unknown(f"vary.{path}", parts[1], named, what="arm", label="arms"))
            parts = parts[2:]
        if parts[0] not in SECTIONS:
            problems.append(unknown(f"vary.{path}", parts[0], SECTIONS, what="section", label="sections"))
    return problems
