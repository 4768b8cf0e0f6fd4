"""What the search for faults found, in its smallest form: each was a traceback, a hang or a silent mistake once."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from hmarl.equilibrium.coordinator import Coordinator
from hmarl.study import Study, StudyError
from hmarl.study_file.problems import Problem
from hmarl.world import build
from retail import AUCTIONS, Orders, auction
from retail.auctions.limits import AuctionError
from retail.data import DataError
from retail.data.tables import require_numbers
from wholesale import System, SystemInvalid, Unit, market

STUDIES = Path(__file__).resolve().parents[2] / "studies"
HEAD = """
study: small
calendar: {start: 2012-07-02, days: 3, zone: UTC}
community: {source: synthetic, prosumers: 2}
followers: rule-based
leader: {name: mark-up}
wholesale: {name: merit-order, case: pjm5, bus: B}
arms: {base: {}}
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("seeds: " + "9" * 5000, "is too long a number (at most 300 digits)"),
        ("followers: {name: mappo, episodes: " + "9" * 200 + "}", "finite numbers up to 1e+15"),
        ("seeds: 1000000", "an integer >= 1 and <= 10000"),
        ("equilibrium: {radius: .inf}", "finite numbers up to 1e+15"),
        ("leader: {name: stackelberg, scenarios: " + "9" * 30 + "}", "finite numbers up to 1e+15"),
        ("leader: {name: stackelberg, scenarios: -" + "9" * 30 + "}", "finite numbers up to 1e+15"),
        ("calendar: {start: 2012-07-02, days: 1000000000}", "an integer >= 1 and <= 3660"),
        ("calendar: {start: 2012-07-02, days: 3, warm_up: 1000000}", "an integer >= 0 and <= 366"),
        ("calendar: {start: 0001-01-02, days: 3}", "start 0001-01-02 lies outside 1900 to 2199"),
        ("leader: {name: mark-up, risk: {bata: 0.5}}", "'bata' is no key of leader mark-up.risk (keys: beta, alpha)"),
    ],
)
def test_is_refused_in_a_sentence(line, said):
    key = line.partition(":")[0]
    kept = [one for one in HEAD.splitlines() if not one.startswith(f"{key}:")]
    with pytest.raises(StudyError) as refused:
        Study.parse("\n".join([*kept, line]))
    assert said in str(refused.value)


def test_devices_are_part_of_a_resolved_study():
    text = HEAD.replace("prosumers: 2}", "prosumers: 2, battery: 1, vehicle: {share: 1.0, drive_kwh: 5}}")
    with_car, without = Study.parse(text), Study.parse(HEAD)
    assert with_car.arm().resolved()["community"]["vehicle"]["drive_kwh"] == 5
    assert "vehicle" not in without.arm().resolved()["community"]
    assert Study.parse(with_car.to_yaml()).arms == with_car.arms
    assert with_car.change(**{"community.vehicle.drive_kwh": 6}).arm().resolved() != with_car.arm().resolved()


def test_a_file_cannot_steer_the_terminal():
    said = str(Problem("a\x1b[2Jb\n\ud800", "x\x07", reason="is wrong"))
    assert said.isprintable()
    assert "\\x1b" in said


@pytest.mark.parametrize("arrival", [[0, 0], [1, 2], [-1, 0]])
@pytest.mark.parametrize("name", [name for name in AUCTIONS if name != "none"])
def test_arrivals_that_are_no_order_are_refused(name, arrival):
    orders = Orders(torch.tensor([5, -5]), torch.tensor([20, 10]))
    with pytest.raises(AuctionError, match="each of the places 0 to 1 once"):
        auction(name).clear(orders, torch.tensor(30), torch.tensor(5), torch.tensor(arrival))


def test_a_bus_with_nothing_at_it_is_cleared():
    clearing = market("dc-opf").clear(System("lonely", ("a",), (), (), [[0.0], [0.0]]))
    assert clearing.shed.sum() == clearing.cost.sum() == 0


def beside(p_max):
    """A unit that could take 5 MW, beside one of any size; nobody needs anything."""
    units = [Unit("g0", "b", 0.0, p_max, (0.0, 25.0, 0.0)), Unit("g1", "b", -5.0, 40.0, (0.0, 0.0, 0.0))]
    return System("two", ("b",), units, (), np.zeros((1, 1)))


@pytest.mark.parametrize("name", ["merit-order", "dc-opf"])
def test_a_giant_unit_does_not_hide_the_others(name):
    clearing = market(name).clear(beside(1e9))
    assert clearing.dispatch.sum() == 0
    assert clearing.lmp.item() == 0


def test_a_unit_in_watts_is_refused():
    with pytest.raises(SystemInvalid, match="both must lie within 1e\\+09 MW: give MW, not W"):
        beside(1e12)


def test_a_leader_finds_its_step_between_nearly_opposite_cuts():
    """Point 65 of the study `sensitivity`: admissible steps are 2e-5 $/kWh wide, multipliers are in the hundreds."""
    study = Study.read(STUDIES / "sensitivity" / "study.yaml").change(
        **{
            "community.battery": 0.666666666667, "community.pv": 0.333333333333, "community.pv_kwp": 2.0,
            "community.store.max_kwh": 15.0, "tariff.average_cap": 0.206666666667, "tariff.sell": 0.0466666666667,
            "wholesale.fuel_cost": 1.5, "wholesale.replication": 7000, "equilibrium.rounds": 1,
        }
    )  # fmt: skip
    (only,) = Coordinator(build(study.arm("stackelberg"), 0, None))
    assert only.offer is not None


def test_a_cell_that_no_energy_can_be_is_refused(tmp_path):
    """It overflowed in the check of PV; where few cells are absurd that check lets them pass."""
    table = pd.DataFrame({"a": [0.5, 1e308, np.nan], "b": [1, 2, 3]})
    with pytest.raises(DataError, match=r"x\.csv: row .*, column 'a' is 1e\+308, no kWh is beyond 1e\+15"):
        require_numbers(table, ("b", "a"), tmp_path / "x.csv", "kWh")
    require_numbers(table.replace(1e308, 1e6), ("a", "b"), tmp_path / "x.csv", "kWh")
