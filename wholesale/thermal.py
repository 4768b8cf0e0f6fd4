"""What it takes to start, run and stop a thermal unit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wholesale.system import Unit

LONG_OFF = -10_000


@dataclass(frozen=True)
class Commitment:
    """Limits and costs of switching one unit. Only `unit-commitment` reads them; to other markets all units are on.

    Attributes
    ----------
    min_up_h, min_down_h : int
        Hours a unit stays on after a start and off after a stop, >= 1.
    ramp_up_mw, ramp_down_mw : float
        MW from one hour to the next while on, >= 0; inf = free.
    start_mw, stop_mw : float
        Largest output in the first and in the last hour of a run, MW, >= p_min; inf = free.
    startup : tuple of (int, float)
        Start-up categories (hours off from which on it holds, $), hours increasing, costs not falling.
    shutdown : float
        $ for each stop.
    must_run : bool
        Always on.
    before_h : int
        Hours that the unit has been on (> 0) or off (< 0) when the first hour begins.
    before_mw : float
        Output in the hour before, MW.
    """

    min_up_h: int = 1
    min_down_h: int = 1
    ramp_up_mw: float = math.inf
    ramp_down_mw: float = math.inf
    start_mw: float = math.inf
    stop_mw: float = math.inf
    startup: tuple[tuple[int, float], ...] = ((1, 0.0),)
    shutdown: float = 0.0
    must_run: bool = False
    before_h: int = LONG_OFF
    before_mw: float = 0.0

    @property
    def was_on(self) -> bool:
        """Whether the unit ran in the hour before the first."""
        return self.before_h > 0


def commitment_mistakes(unit: Unit) -> Iterator[str]:
    """Sentences about commitment data that cannot be used.

    Parameters
    ----------
    unit : Unit
        With commitment data.

    Yields
    ------
    str
        One sentence for each mistake.
    """
    c, name = unit.commitment, unit.name
    if c is None:
        return
    if unit.p_min < 0:
        yield f"Unit {name!r} can be switched but has p_min {unit.p_min:g} MW; it must be >= 0."
    for field in ("min_up_h", "min_down_h"):
        value = getattr(c, field)
        if value < 1 or value != int(value):
            yield f"Unit {name!r} has {field} = {value}; it must be a whole number of hours >= 1."
    for field in ("ramp_up_mw", "ramp_down_mw"):
        if not getattr(c, field) >= 0:
            yield f"Unit {name!r} has {field} = {getattr(c, field):g} MW; it must be >= 0, inf for free."
    for field in ("start_mw", "stop_mw"):
        if not getattr(c, field) >= unit.p_min - 1e-9 * (1.0 + abs(unit.p_min)):
            yield f"Unit {name!r} has {field} = {getattr(c, field):g} MW below its p_min {unit.p_min:g} MW; raise it."
    lags, costs = [lag for lag, _ in c.startup], [cost for _, cost in c.startup]
    if not c.startup or sorted(set(lags)) != lags or sorted(costs) != costs or not all(map(math.isfinite, costs)):
        yield f"Unit {name!r} has start-up categories {c.startup}; give (hours off, $) with rising hours and costs."
    if not math.isfinite(c.shutdown):
        yield f"Unit {name!r} has a shut-down cost of {c.shutdown} $; it must be finite."
    if c.before_h == 0:
        yield f"Unit {name!r} has before_h = 0; give the hours it has been on (> 0) or off (< 0)."
    wanted = unit.p_min - 1e-6 <= c.before_mw <= unit.p_max + 1e-6 if c.was_on else c.before_mw == 0
    if not wanted:
        state = f"on, so {unit.p_min:g} to {unit.p_max:g}" if c.was_on else "off, so 0"
        yield f"Unit {name!r} gave {c.before_mw:g} MW in the hour before; it was {state} MW is allowed."
