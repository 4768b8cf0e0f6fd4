"""What the coordinator itself costs in a round at 300 homes: process time less that of the followers' own simulation.

Run with `pytest tests/speed/test_coordinator_speed.py -m slow -s -n 0`. Simulation is learning, playing and settling
with its market clearings. What is left is the coordinator's: slopes, steps, promises. Two rounds have a search of the
leader in them and are shown, not asserted: the first its offer, the end of the probes the calibration of the picture.
"""

import sys
import time

import pytest

import hmarl.equilibrium.trust_region as method
from aggregator.response import Structural
from hmarl.equilibrium.coordinator import Coordinator
from hmarl.study import Study
from hmarl.world import build

pytestmark = pytest.mark.slow
ASKED = 0.05  # s
TEXT = """
study: speed
seeds: 1
calendar: {start: 2012-07-02, days: 21, zone: Australia/Sydney, hold_out: 7, warm_up: 3}
community: {source: synthetic, prosumers: 300, pv: 0.6, battery: 0.5}
tariff: {name: time-of-use, average_cap: 0.23}
auction: da
followers: rule-based
leader: {name: stackelberg}
wholesale: {name: dc-opf, case: pjm5, bus: B, replication: 20}
equilibrium: {method: trust-region, climbs: 0, simulations: 12}
arms: {one: {}}
"""


@pytest.fixture
def simulated(monkeypatch):
    """Seconds spent in simulation so far, [s]."""
    spent = [0.0]

    def timed(run):
        def timing(*given, **options):
            begin = time.process_time()
            try:
                return run(*given, **options)
            finally:
                spent[0] += time.process_time() - begin

        return timing

    for name in ("teach", "settle", "observe"):
        monkeypatch.setattr(method, name, timed(getattr(method, name)))
    return spent


def test_overhead_of_a_round(simulated):
    world = build(Study.parse(TEXT).arm(), 0, None)
    begin, before, rows, worst = time.process_time(), 0.0, [], 0.0
    for last in Coordinator(world):
        now = time.process_time()
        overhead, simulation = now - begin - (simulated[0] - before), simulated[0] - before
        begun = last.k == 0 or (last.step.kind == "probe" and last.memory.search.model is not None)
        kind = f"{last.step.kind}, {'accepted' if last.step.accepted else 'rejected'}" + ", then calibration" * (
            begun and last.k > 0
        )
        rows.append(f"| {last.k} | {kind} | {1e3 * simulation:.0f} ms | {1e3 * overhead:.1f} ms |")
        worst = worst if begun else max(worst, overhead)
        begin, before = time.process_time(), simulated[0]
    sys.stdout.write(
        "\n".join(["\n| round | what | simulation | overhead |", "| --- | --- | --- | --- |", *rows]) + "\n"
    )
    sys.stdout.write(f"asked {1e3 * ASKED:g} ms, largest {1e3 * worst:.1f} ms\n")
    assert worst <= 2 * ASKED


@pytest.mark.parametrize("auction", ["da", "none"])
def test_slopes_cost_about_as_much_as_one_best_response(auction):
    world = build(Study.parse(TEXT).change(auction=auction).arm(), 0, None)
    view = method.view(world, 0, None)
    model = Structural.bent(view.portfolio, world.rules.sell)
    price = world.rules.price_set().clip(method.mean_price(world.rules.default))

    def best(run):
        taken = []
        for _ in range(3):
            begin = time.process_time()
            run()
            taken.append(time.process_time() - begin)
        return min(taken)

    answer, slopes = best(lambda: model.answer(price)), best(lambda: model.slopes(price))
    sys.stdout.write(f"\n{auction}: answer of 14 days {1e3 * answer:.0f} ms, slopes of 7 {1e3 * slopes:.0f} ms\n")
    assert slopes <= 3 * answer
