"""The one border between the retail and the wholesale market: units, replication and the sign meet here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

KWH_PER_MWH = 1000.0


class MeterError(ValueError):
    """A meter that cannot exist; the message says which parameter, its value and the allowed range."""


@dataclass(frozen=True)
class Meter:
    """Convert between one community's meter (kWh per step, $/kWh) and the market (MW, $/MWh).

    The sign is the same on both sides and stays: + = import of the community = withdrawal at the bus. No other module
    of this project multiplies or divides by 1000.

    Parameters
    ----------
    replication : int
        Number k of equal communities that the one simulated community stands for, at least 1. Energy and power scale
        with it, prices do not.
    step_hours : float h
        Length of one step, in (0, 24].

    Raises
    ------
    MeterError
        If a parameter is outside its range.
    """

    replication: int = 1
    step_hours: float = 1.0

    def __post_init__(self) -> None:
        whole = isinstance(self.replication, (int, np.integer)) and not isinstance(self.replication, bool)
        if not whole or self.replication < 1:
            raise MeterError(f"Meter.replication is {self.replication!r}; give a whole number of communities >= 1.")
        if not (math.isfinite(self.step_hours) and 0.0 < self.step_hours <= 24.0):
            raise MeterError(f"Meter.step_hours is {self.step_hours!r} h; give a step length in (0, 24] hours.")

    def to_mw(self, kwh: ArrayLike) -> NDArray[np.float64]:
        """Energy of one community per step -> mean power of all ``replication`` communities.

        Parameters
        ----------
        kwh : array_like [...] kWh per step
            + = import.

        Returns
        -------
        array [...] MW
            + = withdrawal.
        """
        return np.asarray(kwh, dtype=np.float64) * (self.replication / (KWH_PER_MWH * self.step_hours))

    def to_kwh(self, mw: ArrayLike) -> NDArray[np.float64]:
        """Mean power of all communities -> energy of one community per step; the inverse of ``to_mw``.

        Parameters
        ----------
        mw : array_like [...] MW
            + = withdrawal.

        Returns
        -------
        array [...] kWh per step
            + = import.
        """
        return np.asarray(mw, dtype=np.float64) * (KWH_PER_MWH * self.step_hours / self.replication)

    def to_mwh(self, mw: ArrayLike) -> NDArray[np.float64]:
        """Mean power over one step -> energy of that step; both of all communities, no replication.

        Parameters
        ----------
        mw : array_like [...] MW
            Any sign.

        Returns
        -------
        array [...] MWh per step
        """
        return np.asarray(mw, dtype=np.float64) * self.step_hours

    @staticmethod
    def to_per_kwh(lmp_per_mwh: ArrayLike) -> NDArray[np.float64]:
        """Wholesale price -> retail unit.

        Parameters
        ----------
        lmp_per_mwh : array_like [...] $/MWh

        Returns
        -------
        array [...] $/kWh
        """
        return np.asarray(lmp_per_mwh, dtype=np.float64) / KWH_PER_MWH

    @staticmethod
    def to_per_mwh(price_per_kwh: ArrayLike) -> NDArray[np.float64]:
        """Retail price -> wholesale unit; the inverse of ``to_per_kwh``.

        Parameters
        ----------
        price_per_kwh : array_like [...] $/kWh

        Returns
        -------
        array [...] $/MWh
        """
        return np.asarray(price_per_kwh, dtype=np.float64) * KWH_PER_MWH
