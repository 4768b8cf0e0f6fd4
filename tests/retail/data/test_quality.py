"""Quality reports and clock changes."""

from datetime import date

import numpy as np
import pytest

from retail.data import Window
from retail.data.ausgrid import Ausgrid
from retail.data.quality import quality_report
from retail.data.stamps import clock_changes


def test_a_made_up_home():
    load, pv = np.full((10, 24, 2), 0.5), np.zeros((10, 24, 2))
    pv[:, 8:16] = 0.4
    load[1, 3, 0] = np.nan
    load[4:6, :, 0] = 0.0
    load[6, :, 0] = 0.02
    pv[2:5, :, 1] = 0.0002
    pv[7, :, 1] = 0.0
    pv[8, 12, 1] = 2.2
    guessed = np.zeros((10, 2), dtype=bool)
    guessed[3, 1] = True
    a, b = quality_report(("a", "b"), date(2012, 7, 1), load, pv, np.array([1.0, 2.0]), guessed)
    assert (a.missing_days, a.zero_load_days, a.absent_days, a.outages) == (1, 2, 3, ())
    assert (b.dark_days, b.estimated_days, b.pv_ratio) == (4, 1, pytest.approx(1.1))
    assert [(o.first, o.last, o.days) for o in b.outages] == [(date(2012, 7, 3), date(2012, 7, 5), 3)]
    assert str(b) == (
        "Home b, 2012-07-01 to 2012-07-10: no PV from 2012-07-03 to 2012-07-05 (3 days); 1 days estimated; "
        "PV up to 1.10 of its stated size."
    )


def test_the_eight_real_homes(data):
    p = Ausgrid().read(Window(date(2012, 7, 1), 365, 60, "Australia/Sydney"), data, 0)
    shape = (365, 24, 8)
    report = quality_report(p.names, date(2012, 7, 1), p.load.reshape(shape), p.pv.reshape(shape), p.pv_kwp)
    homes = {r.name: r for r in report}
    assert [(o.first, o.last, o.days) for o in homes["158"].outages] == [(date(2012, 8, 30), date(2012, 12, 14), 107)]
    assert homes["5"].absent_days == 14
    assert homes["286"].dark_days == 2
    assert homes["50"].pv_ratio == pytest.approx(1.10, abs=0.01)
    assert all(r.missing_days == 0 for r in report)


@pytest.mark.parametrize(
    ("year", "forward", "back"),
    [
        (2010, "2010-10-03", "2011-04-03"),
        (2011, "2011-10-02", "2012-04-01"),
        (2012, "2012-10-07", "2013-04-07"),
    ],
)
def test_clock_changes_of_sydney(year, forward, back):
    flags = clock_changes(date(year, 7, 1), 365, "Australia/Sydney")
    clock = Window(date(year, 7, 1), 365, 30, "Australia/Sydney").clock
    assert clock[flags == -1].astype(str).tolist() == [f"{forward}T02:00", f"{forward}T02:30"]
    assert clock[flags == 1].astype(str).tolist() == [f"{back}T02:00", f"{back}T02:30"]


def test_the_aggregate_shows_the_clock_changes(data):
    import pandas as pd

    gc = pd.read_parquet(data / "ausgrid/aggregate300_halfhourly_2010_2013.parquet")["gc_kwh"].to_numpy()
    flags = clock_changes(date(2010, 7, 1), len(gc) // 48, "Australia/Sydney")
    assert (np.nonzero(gc == 0)[0] == np.nonzero(flags == -1)[0]).all()
    assert (gc[flags == 1] > 1.5 * gc[np.nonzero(flags == 1)[0] + 96]).all()
