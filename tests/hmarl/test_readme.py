"""The README of the package names the columns that a run really leaves."""

import re
from pathlib import Path

import pandas as pd

README = Path(__file__).parents[2] / "hmarl" / "README.md"


def has(columns, said):
    """Whether a column is there: in full, by its beginning (``buy_``) or by its end (``_margin``)."""
    if said.startswith("_"):
        return any(column.endswith(said) for column in columns)
    return said in columns or (said.endswith("_") and any(column.startswith(said) for column in columns))


def test_columns_of_run_folders_exist(runs):
    files = {path.name: set(pd.read_parquet(path).columns) for path in runs.glob("mark-up/0/*.parquet")}
    rows = re.findall(r"^\| (`\w+\.parquet`.*?) \|.*?\| (.*) \|$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for names, _ in rows for name in re.findall(r"`(.*?)`", names)} == set(files) | {"training.parquet"}
    for names, said in rows:
        columns = set().union(*(files.get(name, set()) for name in re.findall(r"`(.*?)`", names)))
        if columns and names != "`training.parquet`":
            assert all(has(columns, word) for word in re.findall(r"`(.*?)`", said)), f"{names}: {said}; has {columns}"
