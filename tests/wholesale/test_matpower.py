"""Case files: published objectives in both conventions, prices of PYPOWER, files that must be refused."""

import csv
import gzip
import io
import os
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from wholesale import SystemInvalid, case, market, read_matpower

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).parents[3] / "shared" / "data"))
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not found in {DATA}; set HMARL_DATA")
GRID = DATA / "grid"
FILES = [path for path in sorted([*GRID.glob("pglib_opf/*.m*"), *GRID.glob("matpower/*.m")]) if "33bw" not in path.name]
PUBLISHED, PGLIB = "published_dc_5digits", "computed_dc_b=x/(r2+x2)_no_tap_no_shift"
MATPOWER, PYPOWER = "computed_dc_matpower_b=1/(x*tap)_with_shift", "pypower_rundcopf"

SMALL = """function mpc = small
%% a comment with 'mpc.bus = 3' in it
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
  1 3  0 0 0 0 1 1 0 230 1 1.1 0.9;
  2 1 50 0 5 0 1 1 0 230 1 1.1 0.9; % a load and a shunt
  9 4 70 0 0 0 1 1 0 230 1 1.1 0.9; % isolated
];
mpc.gen = [
  1 0 0 9 -9 1 100 1 100 10;
  1 0 0 9 -9 1 100 0 900 0;
];
mpc.branch = [
  1 2 0 0.1 0 0 0 0 0 0 1 -360 360;
  1 2 0 0.1 0 0 0 0 0 0 0 -360 360;
];
mpc.gencost = [
  1 0 0 3 0 0 40 400 100 1600;
  2 0 0 2 1 0 0 0 0 0;
];
"""


def reference():
    path = GRID / "dcopf_reference_objectives.csv"
    if not path.is_file():
        return {}
    with path.open() as file:
        return {(row["case"], row["what"]): float(row["usd_per_h"]) for row in csv.DictReader(file)}


def written(folder, text, name="small.m"):
    path = folder / name
    path.write_text(text)
    return path


@real
@pytest.mark.data
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_published_objectives(path):
    known, system = reference(), read_matpower(path)
    for convention, column in (("pglib", PGLIB), ("matpower", MATPOWER)):
        clearing = market("dc-opf", convention=convention).clear(system)
        assert clearing.shed.sum() == clearing.surplus.sum() == 0
        if (system.name, column) in known:
            assert clearing.cost[0] == pytest.approx(known[system.name, column], rel=1e-6)
        if convention == "pglib" and (system.name, PUBLISHED) in known:
            digits = known[system.name, PUBLISHED]
            assert float(f"{clearing.cost[0]:.4e}") == digits  # all that are printed
        if convention == "matpower" and (system.name, PYPOWER) in known:
            assert clearing.cost[0] == pytest.approx(known[system.name, PYPOWER], rel=1e-6)
    if path.parent.name == "pglib_opf":
        assert (system.name, PUBLISHED) in known


@real
@pytest.mark.data
def test_radial_case_in_other_units_is_refused():
    with pytest.raises(ValueError, match=r"case33bw.m holds a statement besides its tables: .*could change units"):
        read_matpower(GRID / "matpower" / "case33bw.m")


@real
@pytest.mark.data
def test_case57_where_the_solver_struggles():
    assert market("dc-opf").clear(read_matpower(GRID / "matpower" / "case57.m")).cost[0] == pytest.approx(
        41006.7353, rel=1e-6
    )


def test_a_small_file(tmp_path):
    path = written(tmp_path, SMALL)
    (tmp_path / "zipped.m.gz").write_bytes(gzip.compress(SMALL.encode()))
    for system in (read_matpower(path), read_matpower(str(tmp_path / "zipped.m.gz"))):
        assert system.buses == ("1", "2")
        assert len(system.units) == len(system.lines) == 1
        assert system.units[0].points == ((0.0, 0.0), (40.0, 400.0), (100.0, 1600.0))
        assert system.lines[0].rate_mw == np.inf
        clearing = market("dc-opf").clear(system)
        assert clearing.dispatch[0] == pytest.approx([55])
        assert clearing.lmp[0] == pytest.approx([20, 20])
        assert clearing.cost[0] == pytest.approx(400 + 15 * 20)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("mpc.gencost = [", "mpc.bus(:, 3) = mpc.bus(:, 3) / 1e3;\nmpc.gencost = [", "statement besides its tables"),
        ("mpc.gencost = [", "mpc.other = [", "no table gencost"),
        ("  2 0 0 2 1 0 0 0 0 0;\n", "", "2 units but 1 rows of costs"),
        ("1 0 0 3 0 0 40 400 100 1600", "1 0 0 3 0 0 40 900 100 1000", "non-convex"),
        ("1 0 0 3 0 0 40 400 100 1600", "2 0 0 4 1 0 1 0 0 0", "second degree"),
        ("1 0 0 3 0 0 40 400 100 1600", "1 0 0 3 0 0 0 400 100 1600", "widths must be > 0"),
        ("1 2 0 0.1 0 0 0 0 0 0 1 -360 360", "1 2 0 0.0 0 0 0 0 0 0 1 -360 360", "x = 0"),
        ("1 2 0 0.1 0 0 0 0 0 0 1 -360 360", "1 2 0 0.1 0 0 0 0 0 0 0 -360 360", "Bus '2' is islanded"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, old, new, sentence):
    with pytest.raises((ValueError, SystemInvalid), match=sentence):
        read_matpower(written(tmp_path, SMALL.replace(old, new, 1)))


def test_what_is_no_case(tmp_path):
    with pytest.raises(FileNotFoundError, match="check the path"):
        read_matpower(tmp_path / "none.m")
    with pytest.raises(ValueError, match=r"empty\.m"):
        read_matpower(written(tmp_path, "", "empty.m"))


def pypower(table, data):
    from pypower.ppoption import ppoption
    from pypower.rundcopf import rundcopf

    with redirect_stdout(io.StringIO()):
        return rundcopf(data, ppoption(VERBOSE=0, OUT_ALL=0))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["ieee9", "ieee14", "ieee24", "ieee30", "ieee39", "ieee57", "ieee118", "ieee300"])
def test_twenty_draws_of_pypower(name):
    table = "case24_ieee_rts" if name == "ieee24" else f"case{name[4:]}"
    rng, system, skipped = np.random.default_rng(int(name[4:])), case(name), 0
    for draw in range(21):
        factor = rng.uniform(0.8, 1.05, len(system.buses)) if draw else np.ones(len(system.buses))
        data = getattr(import_module(f"pypower.{table}"), table)()
        data["bus"][:, 2] *= factor
        result = pypower(table, data)
        if not result["success"]:
            skipped += 1
            continue
        clearing = market("dc-opf").clear(system.with_load(system.loads * factor))
        assert clearing.cost[0] == pytest.approx(result["f"], rel=1e-6)
        assert clearing.lmp[0] == pytest.approx(result["bus"][:, 13], abs=1e-4)
    assert skipped <= 5, f"PYPOWER failed on {skipped} of 21 draws"
