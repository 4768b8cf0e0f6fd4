"""Price takers: a published series of prices is the market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wholesale.bids import tabulate
from wholesale.market import Bid, Clearing
from wholesale.names import unknown
from wholesale.reading import reading
from wholesale.system import System


@dataclass(frozen=True, eq=False)
class Prices:
    """A market at given prices; bids are taken in full where their limit allows and move no price.

    Attributes
    ----------
    lmp : ndarray [T]
        $/MWh, the same at all buses.
    """

    lmp: np.ndarray
    name: ClassVar[str] = "prices"

    def clear(self, system: System, bids: Sequence[Bid] = ()) -> Clearing:
        """Clear all hours at the given prices.

        Parameters
        ----------
        system : System
            Buses and number of hours; its units stand still and its loads are not served here.
        bids : sequence of Bid
            Withdrawals (+) and injections (-).

        Returns
        -------
        Clearing
            The rest of the market takes the other side of every bid and stands as `load` at the bid's bus.

        Raises
        ------
        ValueError
            A bid names an unknown bus or has another number of hours.
        """
        lmp = self.lmp
        book = tabulate(system, bids, float("inf"))
        inelastic = np.array([bid.price is None for bid in bids], bool)
        takes = (book.lower < 0) & (book.value < lmp[:, None]) | (book.upper > 0) & (book.value > lmp[:, None])
        equal = book.value == lmp[:, None]  # indifferent trade is made, as in `merit-order`
        wanted = np.where(book.upper > 0, book.upper, book.lower)
        accepted = np.where(inelastic | takes | equal, wanted, 0.0)
        everywhere = np.ones(len(system.buses))
        hourly = lmp[:, None] * everywhere
        nothing = np.zeros_like(hourly)
        return Clearing(
            buses=system.buses, units=tuple(unit.name for unit in system.units), lines=(), lmp=hourly, energy=lmp,
            congestion=nothing, dispatch=np.zeros((system.hours, len(system.units))), accepted=accepted,
            flow=np.zeros((system.hours, 0)), cost=np.zeros(system.hours), shed=nothing, surplus=nothing,
            lower=hourly, upper=hourly, load=-system.by_bus(accepted, book.bus),
        )  # fmt: skip


@dataclass(frozen=True)
class PriceSeries:
    """Prices from a CSV or parquet file; bids are taken in full where their limit allows and move no price.

    Parameters
    ----------
    path : str
        `.csv` or `.parquet` file, one row for each hour of the system.
    column : str
        Column with the day-ahead price, $/MWh; empty: the only column whose name holds "price".
    real_time : str
        Column with the real-time price, $/MWh, for `real_time_prices`; empty: none.
    start : str
        First row, by a prefix of its time stamp (first column), e.g. "2013-06-01"; empty: the first of the file. In a
        study it is that of the study's first day, which is also meant where this is empty.

    Raises
    ------
    ValueError
        The path is empty or its ending is neither `.csv` nor `.parquet`.
    """

    path: str
    column: str = ""
    real_time: str = ""
    start: str = ""
    name: ClassVar[str] = "price-series"

    def __post_init__(self) -> None:
        if Path(self.path).suffix not in (".csv", ".parquet"):
            raise ValueError(f"path is {self.path!r}; a price series is a .csv or a .parquet file.")

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that decide the outcome, for the manifest of a run."""
        return (Path(self.path),)

    def clear(self, system: System, bids: Sequence[Bid] = ()) -> Clearing:
        """Clear all hours at the prices of the file, the same at all buses.

        Parameters
        ----------
        system : System
            Buses and number of hours; its units stand still and its loads are not served here.
        bids : sequence of Bid
            Withdrawals (+) and injections (-).

        Returns
        -------
        Clearing
            The rest of the market takes the other side of every bid and stands as `load` at the bid's bus.

        Raises
        ------
        FileNotFoundError, ValueError
            See `prices`; a bid names an unknown bus or has another number of hours.
        """
        return Prices(self.prices(system.hours)).clear(system, bids)

    def at(self, hours: NDArray[np.int64], *, real_time: bool = False) -> Prices:
        """The market in some of its hours, as days of a study need that do not follow each other.

        Parameters
        ----------
        hours : array [T] of int
            Counted from `start`, at least 0.
        real_time : bool
            At the real-time prices instead of the day-ahead ones.

        Returns
        -------
        Prices

        Raises
        ------
        FileNotFoundError, ValueError
            See `prices`.
        """
        series = self.real_time_prices if real_time else self.prices
        return Prices(series(int(hours.max(initial=-1)) + 1)[hours])

    @property
    def step_minutes(self) -> int:
        """Distance of the first two rows in minutes.

        Raises
        ------
        FileNotFoundError, ValueError
            There is no such file, or it has fewer than two time stamps.
        """
        stamps = self._table[1][:2]
        try:
            first, second = (np.datetime64(stamp.strip(), "m") for stamp in stamps)
        except ValueError as error:
            raise ValueError(f"{self.path} does not begin with two time stamps, but with {stamps}.") from error
        return int((second - first) // np.timedelta64(1, "m"))

    def prices(self, hours: int) -> np.ndarray:
        """Day-ahead prices [hours], $/MWh, from `start` on.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The column or start is unknown, rows are too few, or a price is missing.
        """
        return self._read(self.column, hours)

    def real_time_prices(self, hours: int) -> np.ndarray:
        """Real-time prices [hours], $/MWh, from `start` on; the day-ahead ones where no such column is named.

        Raises
        ------
        FileNotFoundError, ValueError
            See `prices`.
        """
        return self._read(self.real_time or self.column, hours)

    @cached_property
    def _table(self) -> tuple[dict[str, np.ndarray], list[str]]:
        import pandas as pd  # noqa: PLC0415  only this reader needs it

        path = Path(self.path)
        if not path.is_file():
            raise FileNotFoundError(f"No price file {self.path!r}; check the path.")
        with reading(self.path, "table of prices"):
            table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
            if table.empty:
                raise ValueError(f"{self.path} has no rows; it is empty or cut short: get a complete file.")
            stamps = [str(stamp).replace("T", " ") for stamp in table.iloc[:, 0]]
            return {str(name): table[name].to_numpy() for name in table.columns}, stamps

    def _read(self, column: str, hours: int) -> np.ndarray:
        table, stamps = self._table
        if not column:
            priced = [name for name in table if "price" in name]
            if len(priced) != 1:
                raise ValueError(f"{self.path} has {len(priced)} columns with 'price' in their name; give column.")
            column = priced[0]
        if column not in table:
            raise ValueError(unknown("column", column, table))
        wanted = self.start.replace("T", " ")
        first = next((i for i, stamp in enumerate(stamps) if stamp.startswith(wanted)), None)
        if first is None:
            raise ValueError(f"start is {self.start!r}; {self.path} reaches from {stamps[0]} to {stamps[-1]}.")
        with reading(self.path, "table of prices"):
            values = np.array(table[column][first : first + hours], float)
        if len(values) < hours:
            raise ValueError(
                f"{self.path} has {len(values)} rows from {stamps[first]} on, the system {hours} hours; start earlier "
                "or clear fewer hours."
            )
        for t in np.flatnonzero(~np.isfinite(values))[:1]:
            raise ValueError(f"{self.path} has no finite price in column {column!r} at {stamps[first + t]}.")
        return values
