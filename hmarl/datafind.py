"""Where real data is; it is never downloaded."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "HMARL_DATA"
"""Environment variable that names the data folder."""


class DataMissing(ValueError):
    """A data file or folder is not there; the message names the place looked in and how to set it."""


def data_dir(explicit: str | Path | None = None) -> Path | None:
    """Folder of the real data.

    Parameters
    ----------
    explicit : str or Path, optional
        What ``--data`` says; else the environment variable ``HMARL_DATA`` counts.

    Returns
    -------
    Path or None
        Absolute; None if nothing was said.

    Raises
    ------
    DataMissing
        If what was said is not a folder.
    """
    said, how = (explicit, "--data") if explicit else (os.environ.get(VARIABLE), VARIABLE)
    if not said:
        return None
    folder = Path(said).expanduser().resolve()
    if not folder.is_dir():
        raise DataMissing(f"{how} says {str(said)!r}, but {folder} is not a folder. {_how_to()}")
    return folder


def require(data: Path | None, relative: str | Path) -> Path:
    """Path of a data file that must exist.

    Parameters
    ----------
    data : Path or None
        What `data_dir` returned.
    relative : str or Path
        File inside the data folder.

    Returns
    -------
    Path
        Of an existing file or folder.

    Raises
    ------
    DataMissing
        Naming the folder looked in and how to set it.
    """
    if data is None:
        raise DataMissing(
            f"This study needs the data file {relative}, and no data folder is set: looked for --data and for "
            f"{VARIABLE} in the environment. {_how_to()}"
        )
    path = Path(data) / relative
    if not path.exists():
        raise DataMissing(f"The data file {relative} is not in {Path(data).resolve()}. {_how_to()}")
    return path


def _how_to() -> str:
    return f"Say --data DIR or set {VARIABLE}=DIR to the folder that holds the data; nothing is ever downloaded."
