"""What a study says about the wholesale world: published prices day by day, fuel costs; and what its arms may share."""

import numpy as np
import pandas as pd
import pytest
import torch

from hmarl.settlement import clear, first_prices
from hmarl.study import Study, StudyError
from hmarl.world import build
from wholesale import case, market

TEXT = """
study: prices
calendar: {start: 2013-07-01, days: 4, zone: America/Chicago, hold_out: 1, warm_up: 2}
community: {source: synthetic, prosumers: 3, battery: 0.5}
followers: zi
wholesale: {name: price-series, path: PATH, column: price, case: pjm5, bus: B}
arms: {base: {}}
"""


@pytest.fixture
def file(tmp_path):
    """Day d of July costs 100 d + hour; in real time 1000 more."""
    stamps = pd.date_range("2013-06-25", "2013-07-10", freq="h", inclusive="left")
    price = 100.0 * stamps.day + stamps.hour
    path = tmp_path / "series.csv"
    pd.DataFrame({"timestamp": stamps, "price": price, "rt": price + 1000}).to_csv(path, index=False)
    return path


def prices_of(study, data=None):
    w = build(study.arm(), 0, data)
    days = torch.tensor([5, 2, 4])  # of the community: two days of warm-up, so 4, 1 and 3 July
    return w, first_prices(w, days)


def test_each_day_has_its_own_published_prices(file):
    w, found = prices_of(Study.parse(TEXT.replace("PATH", str(file))))
    hours = np.arange(24)
    np.testing.assert_array_equal(found, [400 + hours, 100 + hours, 300 + hours])
    assert w.judged.tolist() == [5]  # 4 July, held out, is cleared at the prices of 4 July
    assert w.files == (file,)


def test_start_names_the_prices_of_the_first_day(file):
    study = Study.parse(TEXT.replace("PATH", f"{file}, start: 2013-06-27"))
    _, found = prices_of(study)
    np.testing.assert_array_equal(found[:, 0], [3000, 2700, 2900])


def test_prices_are_found_in_the_data_folder_and_delivery_has_its_own(file):
    study = Study.parse(TEXT.replace("PATH", "series.csv, real_time: rt"))
    w, _ = prices_of(study, file.parent)
    days, kwh = torch.tensor([3]), np.zeros((1, 24))
    both = [clear(w.exchange, w, kwh, days, real_time=at).price("B") for at in (False, True)]
    np.testing.assert_array_equal(both[1] - both[0], 1000)
    assert both[0][0] == 200
    with pytest.raises(ValueError, match=r"series\.csv was not found"):
        build(study.arm(), 0, None)


def test_a_series_of_another_step_is_refused(file):
    study = Study.parse(TEXT.replace("PATH", str(file)).replace("days: 4,", "days: 4, step: 30min,"))
    with pytest.raises(ValueError, match=r"price every 60 min, the study steps of 30 min; set calendar\.step"):
        build(study.arm(), 0, None)
    bare = file.with_name("bare.csv")
    bare.write_text("price\nten\ntwenty\n")
    with pytest.raises(ValueError, match="does not begin with two time stamps"):
        build(Study.parse(TEXT.replace("PATH", str(bare))).arm(), 0, None)


def test_fuel_cost_scales_what_every_unit_costs():
    base = case("pjm5")
    dear = base.with_fuel_cost(1.5)
    assert dear.generation_cost(np.array([[40.0, 100, 200, 10, 600]])) == pytest.approx(
        1.5 * base.generation_cost(np.array([[40.0, 100, 200, 10, 600]]))
    )
    dc = market("dc-opf")
    np.testing.assert_allclose(dc.clear(dear).lmp, 1.5 * dc.clear(base).lmp, rtol=1e-9)
    assert base.with_fuel_cost(1.0) is base
    text = TEXT.replace("{name: price-series, path: PATH, column: price,", "{name: dc-opf, fuel_cost: 1.5,")
    normal = TEXT.replace("{name: price-series, path: PATH, column: price,", "{name: dc-opf,")
    dearer, usual = (prices_of(Study.parse(t))[1] for t in (text, normal))
    np.testing.assert_allclose(dearer, 1.5 * usual, rtol=1e-9)


def test_fuel_cost_is_refused_where_it_changes_nothing():
    with pytest.raises(StudyError, match=r"fuel_cost.*changes no price of a price series") as caught:
        Study.parse(TEXT.replace("path: PATH", "path: p.csv, fuel_cost: 2"))
    assert len(caught.value.problems) == 1
    with pytest.raises(StudyError, match=r"wholesale\.fuel_cost"):
        Study.parse(TEXT.replace("{name: price-series, path: PATH, column: price,", "{name: dc-opf, fuel_cost: 0,"))


@pytest.mark.parametrize("market", ["price-series", "unit-commitment"])
def test_a_price_maker_without_residual_curves_is_refused_before_anything_runs(market):
    path = "path: p.csv, " if market == "price-series" else ""
    text = TEXT.replace("{name: price-series, path: PATH, column: price,", f"{{name: {market}, {path}")
    maker = "arms:\n  base: {leader: {name: mark-up, bid: price-maker}}"
    with pytest.raises(
        StudyError, match=f"arms.base.leader.bid.*curves, which market {market} does not have"
    ) as caught:
        Study.parse(text.replace("arms: {base: {}}", maker))
    assert len(caught.value.problems) == 1


FARMS = """
study: farms
calendar: {start: 2013-07-01, days: 4, hold_out: 1, warm_up: 2}
community: {source: farms, farms: 3, battery: 1.0}
followers: rule-based
arms:
  bare: {community: {pv_kwp: [0, 0], wind_kw: 0, battery: 0}}
  plant: {}
"""


def test_arms_may_differ_in_what_homes_have_put_up_but_not_in_who_they_are():
    study = Study.parse(FARMS)
    bare, plant = (build(study.arm(name), 0, None).game.community for name in ("bare", "plant"))
    torch.testing.assert_close(bare.load, plant.load, rtol=0, atol=0)
    assert float(bare.pv.sum()) == 0 < float(plant.pv.sum())
    assert float(bare.battery.capacity.sum()) == 0 < float(plant.battery.capacity.sum())
    for change in ("farms: 4", "annual_kwh: 9000"):
        with pytest.raises(StudyError, match="differs between arms, which share their days and homes"):
            Study.parse(FARMS.replace("battery: 0}", f"battery: 0, {change}}}"))


def test_a_complete_file_keeps_devices():
    study = Study.parse(FARMS.replace("farms: 3,", "farms: 3, vehicle: {share: 0.5},"))
    assert study.arm("plant").resolved()["community"]["vehicle"]["share"] == 0.5
    assert Study.parse(study.to_yaml()).arm("plant") == study.arm("plant")
