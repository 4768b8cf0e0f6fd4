"""Real data where it is at hand; the tests that need it skip, saying so, where it is not."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).parents[4] / "shared" / "data"))


@pytest.fixture(scope="session")
def data():
    if not DATA.is_dir():
        pytest.skip(f"real data not found in {DATA}; set HMARL_DATA")
    return DATA
