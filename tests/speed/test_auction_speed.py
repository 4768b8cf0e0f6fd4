"""Speed of the auctions: orders cleared per second of process time, one thread, best of several; beside what is asked.

Run with `pytest tests/speed -m slow -s -p no:randomly`; a table is printed at the end. The asserted limits are 0.6 of
what is asked, since machines and their load differ, but for ratios within one run; the table says what was measured.
"""

import sys
import time

import pytest
import torch

from retail import Orders, auction
from retail.auctions import book

pytestmark = pytest.mark.slow
ORDERS = 300_000
TABLE = []


@pytest.fixture(scope="module", autouse=True)
def table():
    yield
    sys.stdout.write("\n".join(["\n\n| what | asked | measured |", "| --- | --- | --- |", *TABLE]) + "\n")


def best(run, times=12):
    run()
    taken = []
    for _ in range(times):
        begin = time.process_time()
        run()
        taken.append(time.process_time() - begin)
    return min(taken)


def clearing(traders, name, pairs=False, **parameters):
    """A function that clears about 300,000 random orders, half of each side, and how many they are."""
    rows = max(1, ORDERS // traders)
    source = torch.Generator().manual_seed(traders)
    wh = torch.randint(-2000, 2000, (rows, traders), generator=source)
    tick = torch.randint(4000, 30_000, (rows, traders), generator=source)
    arrival = torch.rand(rows, traders, generator=source).argsort(-1)
    buy, sell = torch.full((rows,), 30_000), torch.full((rows,), 4000)
    rule = auction(name, **parameters)
    return lambda: rule.clear(Orders(wh, tick), buy, sell, arrival, pairs), rows * traders


@pytest.mark.parametrize(
    ("name", "traders", "asked"),
    [
        ("da", 8, None),
        ("da", 300, 17),
        ("da", 1000, None),
        ("da", 10_000, 10),
        ("cda", 8, 2.2),
        ("cda", 300, 2.2),
        ("cda", 1000, 2.2),
        ("cda", 10_000, 2.2),
        ("mmr", 8, 40),
        ("mmr", 300, 40),
        ("mmr", 10_000, 40),
        ("sdr", 8, 40),
        ("sdr", 300, 40),
        ("sdr", 10_000, 40),
        ("sdr-linear", 300, None),
        ("sdr-da", 300, None),
    ],
)
def test_orders_cleared_per_second(name, traders, asked):
    run, orders = clearing(traders, name)
    rate = orders / best(run, 5 if name == "cda" else 12) / 1e6
    goal = "-" if asked is None else f">= {asked:g} M/s"
    TABLE.append(f"| clear, {name}, N = {traders} | {goal} | {rate:.1f} M/s |")
    assert asked is None or rate >= 0.6 * asked


@pytest.mark.parametrize("name", ["da", "cda", "mmr"])
def test_with_the_list_of_pairs(name):
    run, orders = clearing(300, name, pairs=True)
    TABLE.append(f"| clear, {name}, N = 300, with pairs | - | {orders / best(run, 5) / 1e6:.1f} M/s |")


def test_uniform_price():
    run, orders = clearing(300, "da", price="uniform")
    TABLE.append(f"| clear, da, N = 300, price uniform | - | {orders / best(run) / 1e6:.1f} M/s |")


def torch_sort(key):
    return torch.sort(key, dim=-1).values


@pytest.mark.parametrize("traders", [300, 10_000])
def test_packed_keys_against_torch_sort(traders, monkeypatch):
    key = torch.randint(0, 2**62, (ORDERS // traders, traders), generator=torch.Generator().manual_seed(1))
    # Sorting is in place: both get a fresh copy.
    ratio = best(lambda: torch.sort(key.clone()), 5) / best(lambda: book.sort_key(key.clone()), 5)
    TABLE.append(f"| torch.sort / packed-key sort, int64, N = {traders} | >= 1.4 | {ratio:.1f} |")
    assert ratio >= 1.4
    run, _ = clearing(traders, "da")
    ours = best(run)
    monkeypatch.setattr(book, "sort_key", torch_sort)
    ratio = best(run, 5) / ours
    TABLE.append(f"| clear, da, with torch.sort / with packed keys, N = {traders} | >= 1.4 | {ratio:.1f} |")
    assert ratio >= 1.4
