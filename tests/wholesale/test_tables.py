"""RTS-GMLC tables and folders with PyPSA's names."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from wholesale import (
    Commitment,
    Line,
    System,
    Unit,
    case,
    market,
    read_egret,
    read_pglib_uc,
    read_pypsa,
    read_rts_gmlc,
    write_pypsa,
)

DATA = Path(os.environ.get("HMARL_DATA", Path(__file__).parents[3] / "shared" / "data"))
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data not found in {DATA}; set HMARL_DATA")
GRID = DATA / "grid"


@real
@pytest.mark.data
def test_rts_gmlc_agrees_with_pglib_uc():
    """The same system was published twice; PGLib-UC rounds costs to cents and output to 0.01 MW."""
    ours = read_rts_gmlc(GRID / "rts_gmlc", start="2020-07-06", hours=24)
    theirs = read_pglib_uc(GRID / "uc" / "pglib_uc_rts_gmlc_2020-07-06.json.gz")
    known = {unit.name: unit for unit in theirs.units}
    assert ours.loads.sum(axis=1) == pytest.approx(theirs.loads[:24, 0], abs=0.01)
    thermal = [unit for unit in ours.units if unit.commitment]
    assert len(thermal) == 73 == sum(unit.commitment is not None for unit in theirs.units)
    for unit in thermal:
        other = known[unit.name]
        a, b = unit.commitment, other.commitment
        assert (unit.p_min, unit.p_max) == (other.p_min, other.p_max)
        assert np.array(unit.points) == pytest.approx(np.array(other.points), abs=0.5)
        assert np.array(a.startup) == pytest.approx(np.array(b.startup), abs=0.01)
        assert (a.min_up_h, a.min_down_h, a.start_mw) == (b.min_up_h, b.min_down_h, b.start_mw)
    for kind in ("WIND", "HYDRO", "_PV_"):
        names = [unit.name for unit in ours.units if kind in unit.name]
        assert names
        for name in names:
            i, j = ([u.name for u in s.units].index(name) for s in (ours, theirs))
            assert ours.p_ceiling_mw[:, i] == pytest.approx(theirs.p_ceiling_mw[:24, j], abs=0.06)


@real
@pytest.mark.data
def test_rts_gmlc_clears_on_its_network():
    system = read_rts_gmlc(GRID / "rts_gmlc", start="2020-01-15", hours=6)
    clearing = market("dc-opf").clear(system)
    assert clearing.surplus.sum() > 0  # all units on is too much for a winter night: commitment is needed
    # a relaxed search of six hours is quick
    schedule = market("unit-commitment", gap=0.02).schedule(system)
    assert schedule.clearing.shed.sum() == 0
    assert schedule.clearing.lmp.shape == (6, 73)


@real
@pytest.mark.data
def test_file_names_in_any_case(tmp_path):
    for path in (GRID / "rts_gmlc").iterdir():
        shutil.copy(path, tmp_path / (path.name.title() if path.suffix == ".csv" else path.name.upper()))
    assert len(read_rts_gmlc(tmp_path, hours=2).buses) == 73
    with pytest.raises(ValueError, match="do not lie in it"):
        read_rts_gmlc(tmp_path, start="2021")
    (tmp_path / "DAY_AHEAD_LOAD.PARQUET").unlink()
    with pytest.raises(FileNotFoundError, match="day_ahead_load"):
        read_rts_gmlc(tmp_path)
    with pytest.raises(FileNotFoundError, match="No table bus"):
        read_rts_gmlc(tmp_path / "none")


@real
@pytest.mark.data
def test_other_services_are_refused():
    with pytest.raises(ValueError, match="not modelled"):
        read_egret(GRID / "uc" / "egret_tiny_uc_tc.json.gz")


def test_bad_json(tmp_path):
    path = tmp_path / "case.json"
    for read in (read_egret, read_pglib_uc):
        with pytest.raises(FileNotFoundError, match="check the path"):
            read(tmp_path / "none.json")
        path.write_text("{")
        with pytest.raises(ValueError, match="no JSON file"):
            read(path)
        path.write_text("{}")
        with pytest.raises(ValueError, match="is missing"):
            read(path)


@pytest.mark.parametrize("name", ["pjm5", "ieee30", "ieee118", "ieee300"])
def test_pypsa_there_and_back(name, tmp_path):
    system = case(name).over([0.9, 1.0])
    write_pypsa(system, tmp_path)
    again = read_pypsa(tmp_path)
    assert again.hours == 2 and len(again.lines) == len(system.lines)
    for convention in ("matpower", "pglib"):
        a, b = (market("dc-opf", convention=convention).clear(one) for one in (system, again))
        assert b.cost == pytest.approx(a.cost, rel=1e-9)
        assert b.lmp == pytest.approx(a.lmp, abs=1e-6)


def test_pypsa_commitment_and_profiles(tmp_path):
    units = (
        Unit("g", "A", 20.0, 80.0, (0.0, 30.0, 5.0), (),
             Commitment(2, 3, 40.0, 50.0, 25.0, 30.0, ((1, 70.0),), 9.0, before_h=4, before_mw=33.0)),
        Unit("w", "B", 0.0, 50.0, (0.0, 0.0, 0.0)),
    )  # fmt: skip
    lines = (Line("l", "A", "B", x=0.1), Line("t", "A", "B", x=0.2, tap=0.97, shift_deg=2.0, rate_mw=30.0))
    system = System("s", ("A", "B"), units, lines, [[0.0, 60.0]] * 3).with_profiles(available={"w": [50, 0, 25]})
    write_pypsa(system, tmp_path)
    again = read_pypsa(tmp_path)
    assert again.units == units
    assert again.p_ceiling_mw == pytest.approx(system.p_ceiling_mw)
    a, b = (market("unit-commitment").clear(one) for one in (system, again))
    assert b.cost == pytest.approx(a.cost)


def test_pypsa_mistakes(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"buses\.csv"):
        read_pypsa(tmp_path)
    bent = Unit("g", "A", 0.0, 9.0, (0.0, 0.0, 0.0), ((0.0, 0.0), (9.0, 9.0)))
    with pytest.raises(ValueError, match="piecewise linear cost"):
        write_pypsa(System("s", ("A",), (bent,), (), [[1.0]]), tmp_path)
    write_pypsa(case("pjm5"), tmp_path)
    (tmp_path / "links.csv").write_text("name,bus0\nl,A\n")
    with pytest.raises(ValueError, match="not modelled"):
        read_pypsa(tmp_path)
    (tmp_path / "links.csv").unlink()
    text = (tmp_path / "generators.csv").read_text().replace("40.0", "forty", 1)
    (tmp_path / "generators.csv").write_text(text)
    with pytest.raises(ValueError, match="a number is needed"):
        read_pypsa(tmp_path)
