"""Where real data is; it is never downloaded."""

from __future__ import annotations

import os
from pathlib import Path

from retail.data import DataMissing

VARIABLE = "HMARL_DATA"
"""Environment variable that names the data folder."""


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


def _how_to() -> str:
    return f"Say --data DIR or set {VARIABLE}=DIR to the folder that holds the data; nothing is ever downloaded."
