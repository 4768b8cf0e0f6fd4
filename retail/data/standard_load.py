"""Standard load profiles (BDEW) of households and farms on any calendar."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retail.data import Window


def standard_load(
    window: Window, profile: str, shift_hours: NDArray[np.float64], *, south: bool = False
) -> NDArray[np.float64]:
    """Standard load of customers that use 1 kWh a year, each shifted by some quarter hours.

    Parameters
    ----------
    window : Window
        Days and step.
    profile : str
        A BDEW profile: ``h0_dyn`` households, ``l1`` farms with dairy.
    shift_hours : array [N] h
        How much earlier each one lives, -3..3.
    south : bool
        South of the equator: turned by half a year.

    Returns
    -------
    array [H, N] kWh per step
        At least 0.

    Source: BDEW standard load profiles, through demandlib.
    """
    from demandlib import bdew  # noqa: PLC0415

    # Six months later the northern profile has the southern season; whole weeks keep the days of the week.
    turn = np.timedelta64(26 * 7 * 24 * 60 if south else 0, "m")
    quarter = np.timedelta64(15, "m")
    first, last = window.clock[0] + turn - 96 * quarter, window.clock[-1] + turn + 192 * quarter
    years = range(int(str(first)[:4]), int(str(last)[:4]) + 1)
    # demandlib turns every later warning of the process into an error; what it changes is put back here.
    with warnings.catch_warnings():
        series = pd.concat([bdew.ElecSlp(y).get_scaled_power_profiles({profile: 1.0})[profile] for y in years]) / 4
    start = int((window.clock[0] + turn - np.datetime64(series.index[0], "m")) / quarter)
    per_step = window.step_minutes // 15
    values = series.to_numpy()
    columns = []
    for hours in shift_hours:
        at = start + round(float(np.clip(hours, -3, 3)) * 4)
        columns.append(values[at : at + len(window.clock) * per_step].reshape(-1, per_step).sum(1))
    return np.stack(columns, axis=1)


__all__ = ["standard_load"]
