"""Finding and reading table files, and the sentences about what is wrong in them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retail.data import DataError, DataMissing

MOST = 1e15
"""No energy, power or price of a data file is larger, in whatever unit it is written."""


def locate(data: Path | None, relative: str) -> Path:
    """Find a file of real data.

    Parameters
    ----------
    data : Path or None
        Folder with real data.
    relative : str
        Path of the file below it; an absolute path is taken as it is.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    DataMissing
        Naming the folder that was searched and how to set it.
    """
    given = Path(relative)
    path = given if data is None or given.is_absolute() else data / relative
    if not path.is_file() or (data is None and not given.is_absolute()):
        where = "no data folder is set" if data is None else f"looked in {data.resolve()}"
        raise DataMissing(
            f"Data file {relative} was not found ({where}); give the folder that holds it with --data DIR or set "
            "HMARL_DATA=DIR. Nothing is ever downloaded."
        )
    return path


def read_table(path: Path) -> pd.DataFrame:
    """Read a table by its suffix.

    Parameters
    ----------
    path : Path
        ``.parquet``, else CSV with one header line; energy columns in kWh.

    Returns
    -------
    DataFrame
        As stored.

    Raises
    ------
    DataError
        If the file is damaged, empty or of another kind.
    """
    try:
        with warnings.catch_warnings():
            # Rows with more fields than the header: pandas would only warn and lose the last ones.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, index_col=False)
    except Exception as error:  # a damaged parquet file can fail in any way
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read as a table ({first}); get an undamaged CSV or parquet file.") from None
    if table.empty:
        raise DataError(f"{path} has no rows; it is empty or cut short: get a complete file.")
    return table


def row_number(path: Path, position: int) -> int:
    """Number of a row as an editor shows it.

    Parameters
    ----------
    path : Path
        CSV: the header is line 1. Parquet: rows count from 1.
    position : int
        Place in the table, from 0.

    Returns
    -------
    int
        At least 1.
    """
    return position + (1 if path.suffix == ".parquet" else 2)


def require_columns(table: pd.DataFrame, names: tuple[str, ...], path: Path, form: str) -> None:
    """Insist on columns.

    Parameters
    ----------
    table : DataFrame
        As read.
    names : tuple of str
        Columns that must be there.
    path : Path
        For the message.
    form : str
        What such a table is called.

    Raises
    ------
    DataError
        Naming the missing columns and those the form has.
    """
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; {form} has {', '.join(names)}: add or rename it.")


def require_numbers(table: pd.DataFrame, columns: tuple[str, ...], path: Path, unit: str) -> None:
    """Insist on numbers; empty cells pass (they are gaps).

    Parameters
    ----------
    table : DataFrame
        As read, rows in the order of the file.
    columns : tuple of str
        Columns that must hold numbers.
    path : Path
        For the message.
    unit : str
        Unit of the numbers.

    Raises
    ------
    DataError
        Naming file, row, column and value of the first cell that holds text, or a number that no quantity can be.
    """
    for name in columns:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            _require_possible(column, path, unit)
            continue
        wrong = np.array([not _numeric(cell) for cell in column])
        place = int(np.argmax(wrong))
        value = str(column.iloc[place])
        raise DataError(
            f"{path}: row {row_number(path, place)}, column {name!r} holds text ({value[:40]!r}); it must be a number "
            f"of {unit}: correct the cell or leave it empty."
        )


def _require_possible(column: pd.Series[Any], path: Path, unit: str) -> None:
    """Refuse finite numbers beyond `MOST`; an infinite one is named by who does not allow it."""
    value = column.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isfinite(value) & (np.abs(value) > MOST)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise DataError(
            f"{path}: row {row_number(path, place)}, column {column.name!r} is {value[place]:g}, no {unit} is beyond "
            f"{MOST:g}: correct the cell or leave it empty."
        )


def _numeric(cell: object) -> bool:
    """Whether a cell of a column that is not of numbers alone is one, or empty."""
    if isinstance(cell, bool):
        return False
    try:
        float(str(cell))
    except ValueError:
        return False
    return len(str(cell)) < 300  # longer whole numbers overflow


def require_finite(table: pd.DataFrame, columns: tuple[str, ...], path: Path, unit: str) -> None:
    """Insist on finite numbers in every row.

    Parameters
    ----------
    table : DataFrame
        As read, rows in the order of the file.
    columns : tuple of str
        Columns that must hold them.
    path : Path
        For the message.
    unit : str
        What the numbers are.

    Raises
    ------
    DataError
        Naming file, row, column and value of the first cell that is empty, text or infinite.
    """
    require_numbers(table, columns, path, unit)
    for name in columns:
        wrong = ~np.isfinite(table[name].to_numpy(dtype=np.float64))
        if wrong.any():
            place = int(np.argmax(wrong))
            raise DataError(
                f"{path}: row {row_number(path, place)}, column {name!r} is {table[name].iloc[place]}; it must be "
                f"{unit}: correct the cell."
            )


def require_energy(table: pd.DataFrame, column: str, path: Path, *, gaps: bool) -> None:
    """Insist on finite energy that is not negative.

    Parameters
    ----------
    table : DataFrame
        As read, rows in the order of the file.
    column : str
        Column in kWh per step.
    path : Path
        For the message.
    gaps : bool
        Whether empty cells pass.

    Raises
    ------
    DataError
        Naming file, row, column and value of the first bad cell.
    """
    require_numbers(table, (column,), path, "kWh per step")
    values = table[column].to_numpy(dtype=np.float64)
    wrong = (values < 0) | np.isinf(values) | (np.isnan(values) & (not gaps))
    if wrong.any():
        place = int(np.argmax(wrong))
        raise DataError(
            f"{path}: row {row_number(path, place)}, column {column!r} is {values[place]:g} kWh; "
            f"it must be a number >= 0: {_cure(values[place])}."
        )


def _cure(value: float) -> str:
    if np.isnan(value):
        return "fill or drop the cell, or choose `gaps`"
    return "write generation and load as two positive columns" if value < 0 else "correct the cell"


__all__ = [
    "locate",
    "read_table",
    "require_columns",
    "require_energy",
    "require_finite",
    "require_numbers",
    "row_number",
]
