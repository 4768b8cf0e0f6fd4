"""The days of a study: which are simulated, which train, which judge."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, model_validator

from hmarl.study_file.problems import nearest
from hmarl.study_file.section import Section

MOST_DAYS = 3660
"""Ten years: more would fill any memory."""

STEPS_PER_DAY = {"15min": 96, "30min": 48, "60min": 24}


class Weeks(Section):
    """Hold out whole weeks, counted from the first day: week = day // 7, held out if week % every == offset.

    Parameters
    ----------
    every : int >= 2
        Distance of held-out weeks.
    offset : int >= 0
        Which of them; below ``every``.
    """

    every: int = Field(ge=2)
    offset: int = Field(ge=0)


class Calendar(Section):
    """The simulated days.

    Parameters
    ----------
    start : date
        First day, 1900 to 2199.
    days : int 1..3660
        Training and held-out days together, the warm-up not counted.
    step : str
        Length of a step.
    zone : str
        IANA name of the zone of all time stamps.
    hold_out : int or Weeks
        Days kept for judging: the last n, or every so many weeks.
    warm_up : int 0..366
        Days before ``start`` that only feed forecasts.
    """

    start: date
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)]
    step: Literal["15min", "30min", "60min"] = "60min"
    zone: str = "UTC"
    hold_out: Annotated[int, Field(ge=0)] | Weeks = 0
    warm_up: int = Field(default=7, ge=0, le=366)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not 1900 <= self.start.year < 2200:
            raise ValueError(f"start {self.start} lies outside 1900 to 2199")
        if self.zone not in _zones():
            hint = nearest(self.zone, _zones())
            raise ValueError(f"zone must be an IANA name{f'; did you mean {hint}?' if hint else ''}")
        if isinstance(self.hold_out, Weeks) and self.hold_out.offset >= self.hold_out.every:
            raise ValueError(f"hold_out needs offset < every = {self.hold_out.every}, it has {self.hold_out.offset}")
        if not self.training_days:
            raise ValueError(f"hold_out leaves no training day of {self.days}; keep back fewer, or lengthen the study")
        if isinstance(self.hold_out, Weeks) and not self.held_out_days:
            raise ValueError(f"hold_out finds no such week within {self.days} days")
        return self

    @property
    def held_out_days(self) -> tuple[int, ...]:
        """Indices of held-out days, counted from ``start`` (0-based, warm-up not counted)."""
        if isinstance(self.hold_out, Weeks):
            return tuple(d for d in range(self.days) if d // 7 % self.hold_out.every == self.hold_out.offset)
        return tuple(range(self.days - min(self.hold_out, self.days), self.days))

    @property
    def training_days(self) -> tuple[int, ...]:
        """Indices of training days, counted from ``start`` (0-based, warm-up not counted)."""
        held_out = set(self.held_out_days)
        return tuple(d for d in range(self.days) if d not in held_out)

    @property
    def judged_days(self) -> tuple[int, ...]:
        """Indices of the days headline figures rest on: held out, or all if none is held out."""
        return self.held_out_days or self.training_days

    @property
    def steps(self) -> int:
        """Steps of a day, T."""
        return STEPS_PER_DAY[self.step]

    @property
    def hours(self) -> float:
        """Length of a step [h]."""
        return 24 / self.steps

    @property
    def first(self) -> date:
        """First day of the warm-up."""
        return self.start - timedelta(days=self.warm_up)

    @property
    def time_zone(self) -> ZoneInfo:
        """Zone of all time stamps."""
        return ZoneInfo(self.zone)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    """Names of all zones; finding them walks through hundreds of files."""
    return frozenset(available_timezones())
