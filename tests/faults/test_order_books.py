"""Order books of any shape through every auction rule: the contract of clearing, each row of a batch by itself."""

import torch
from faults.effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from hmarl.contracts.auction import _check_outcome
from retail import AUCTIONS, auction
from retail.auctions.trials import Case
from retail.orders import Orders

RULES = {name: auction(name) for name in AUCTIONS} | {"da uniform": auction("da", price="uniform")}
BOOKS = 8
EXTREME = [0, 1, -1, 2**31 - 1, -(2**31), 2**33, 2**62, -(2**62), 2**63 - 1, 1 - 2**63]
sizes = st.one_of(st.integers(-5, 5), st.integers(-3_000, 3_000), st.sampled_from(EXTREME[:6]))
prices = st.one_of(st.integers(-3, 40), st.integers(-50_000, 50_000))


@st.composite
def books(draw):
    """Eight books of one size, each with its tariff; some extreme, some with arrivals that are none."""
    traders = draw(st.integers(0, 12))
    wild = draw(st.integers(0, 9)) == 0
    size, price = (sizes | st.sampled_from(EXTREME), prices | st.sampled_from(EXTREME)) if wild else (sizes, prices)

    def table(each):
        rows = st.lists(st.lists(each, min_size=traders, max_size=traders), min_size=BOOKS, max_size=BOOKS)
        return torch.tensor(draw(rows), dtype=torch.int64).reshape(BOOKS, traders)

    sell = torch.tensor(draw(st.lists(price, min_size=BOOKS, max_size=BOOKS)))
    gap = st.sampled_from([0, 1, 20, 40_000]) if not wild else st.integers(-5, 5)
    buy = sell + torch.tensor(draw(st.lists(gap, min_size=BOOKS, max_size=BOOKS)))
    kind, order = draw(st.sampled_from(["none", "order", "order", "order", "times"])), None
    if kind == "times":
        order = table(st.integers(-1, 20))  # rarely a permutation, then refused
    elif kind == "order":
        orders = st.lists(st.permutations(range(traders)), min_size=BOOKS, max_size=BOOKS)
        order = torch.tensor(draw(orders), dtype=torch.int64).reshape(BOOKS, traders)
    return Case("drawn", Orders(table(size), table(price)), buy, sell, order, inside=False, refusable=True)


def cleared(rule, orders, buy, sell, arrival):
    try:
        return rule.clear(orders, buy, sell, arrival, True)
    except ValueError as error:
        assert len(str(error).split()) > 3, repr(error)
        return None


@settings(max_examples=examples(60, 1600))
@given(st.sampled_from(sorted(RULES)), books())
def test_every_book_keeps_the_contract(tried, name, case):
    rule = RULES[name]
    tried("order books", BOOKS)
    trades = cleared(rule, case.orders, case.buy, case.sell, case.arrival)
    rows = range(BOOKS)
    if trades is None:  # one book may have spoiled the batch; each alone is cleared or refused
        rows = [row for row in rows if _alone(rule, case, row) is not None]
    for row in rows:
        alone = _alone(rule, case, row)
        one = Case(
            case.name,
            Orders(case.orders.wh[row : row + 1], case.orders.tick[row : row + 1]),
            case.buy[row : row + 1],
            case.sell[row : row + 1],
            None,
            inside=False,
            refusable=True,
        )
        _check_outcome(rule, one, alone, bool(getattr(rule, "price_taking", False)))
        if trades is not None:
            assert torch.equal(alone.wh[0], trades.wh[row])
            assert torch.equal(alone.cash[0], trades.cash[row])


def _alone(rule, case, row):
    part = slice(row, row + 1)
    arrival = None if case.arrival is None else case.arrival[part]
    return cleared(rule, Orders(case.orders.wh[part], case.orders.tick[part]), case.buy[part], case.sell[part], arrival)
