"""What a study says once, above its sections: name, seeds, measures, and the names of its arms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from hmarl.measures import DEFAULT_MEASURES, MEASURES
from hmarl.study_file.merging import SECTIONS
from hmarl.study_file.plan import Execution, Rank, Sample, Vary, check_paths
from hmarl.study_file.problems import MISSING, Problem, unknown
from hmarl.study_file.section import Section
from hmarl.study_file.validation import validate

KEYS = ("study", "title", "seeds", *SECTIONS, "arms", "measure", "rank", "vary", "sample", "run")
"""Every top-level key of a study file."""
Seed = Annotated[int, Field(ge=0)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$"
MOST_SEEDS = 10_000
HEADER = ("study", "title", "seeds", "measure", "rank", "vary", "sample", "run")
"""Keys that are the same for all arms."""


class Header(Section):
    """What is said once about the whole study.

    Parameters
    ----------
    study : str
        Name of the study and of its run folder.
    title : str, optional
        For people.
    seeds : int >= 1 or list of int >= 0, at most 10,000
        A number n stands for 0 .. n - 1.
    measure : list of str
        Names from `hmarl.measures.MEASURES`.
    rank : Rank, optional
        How arms are ranked at the end; not at all if left out.
    vary : dict, optional
        What `hmarl sweep` varies: dotted path -> range or list of values.
    sample : Sample
        How it chooses points.
    run : Execution
        Where runs are done.
    """

    study: str = Field(pattern=NAME)
    title: str | None = None
    seeds: (
        Annotated[int, Field(ge=1, le=MOST_SEEDS)] | Annotated[list[Seed], Field(min_length=1, max_length=MOST_SEEDS)]
    ) = 1
    measure: list[str] = Field(default=list(DEFAULT_MEASURES), min_length=1)
    rank: Rank | None = None
    vary: Annotated[Vary, Field(min_length=1)] | None = None
    sample: Sample = Sample()
    run: Execution = Execution()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.seeds, list) and len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ from each other")
        return self


def check_header(document: dict[str, Any]) -> tuple[Header, list[Problem]]:
    """Check everything of a study but its sections.

    Parameters
    ----------
    document : dict
        The study as written.

    Returns
    -------
    header : Header
        Undefined if there are problems.
    problems : list of Problem
        With paths from the top.
    """
    problems = [unknown(key, key, KEYS, what="section", label="sections") for key in document if key not in KEYS]
    header, found = validate(Header, {k: document[k] for k in HEADER if k in document}, what="study", label="keys")
    problems += [replace(p, allowed="a name like quickstart") if p.reason == MISSING else p for p in found]
    measure = document.get("measure")
    for place, name in enumerate(measure if isinstance(measure, list) else []):
        if isinstance(name, str) and name not in MEASURES:
            problems.append(unknown(f"measure.{place}", name, MEASURES, what="measure", label="measures"))
    arms = document.get("arms")
    problems += check_paths(document.get("vary"), arms)
    if not arms or not isinstance(arms, Mapping):
        reason = MISSING if arms is None else "names no arm"
        allowed = "a mapping of names to what differs, at least one: arms: {base: {}}"
        problems.append(Problem("arms", arms, allowed, reason=reason))
    else:
        bad = [name for name in arms if not re.fullmatch(NAME, str(name))]
        reason = "is no name for an arm"
        problems += [Problem(f"arms.{name}", name, "letters, digits, - and _", reason=reason) for name in bad]
    return header, problems
