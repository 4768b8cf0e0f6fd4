"""Wear in blocks: the game charges what a loop over the blocks finds, and tables that make no sense are refused."""

import numpy as np
import pytest
import torch
from device_homes import PRICES, community

from retail import Battery, Game, auction
from retail.community import CommunityError
from retail.devices import wear
from retail.lookahead import pooled_step
from retail.wear_blocks import block_mistakes, least_price

TABLES = (((0.4, 0.01), (1.0, 0.05)), ((0.2, 0.0), (0.5, 0.03), (1.0, 0.2)))


def by_hand(change, rated, blocks):
    """Kilowatt-hour by kilowatt-hour: how much of the move falls into each block, times its price."""
    cost, begin = 0.0, 0.0
    for end, price in blocks:
        inside = min(abs(change), end * rated) - begin * rated
        cost += price * max(inside, 0.0)
        begin = end
    return cost


@pytest.mark.parametrize("blocks", TABLES)
@pytest.mark.parametrize("hours", [1.0, 0.25])
def test_wear_is_that_of_a_loop_over_the_blocks(blocks, hours):
    rng = np.random.default_rng(0)
    power = rng.uniform(1.0, 6.0, 5)
    battery = Battery.make(5, has=np.arange(5) < 4, power_kw=power, wear_blocks=blocks, wear_linear=0.002)
    share = np.concatenate([rng.uniform(-1, 1, (20, 5)), [[-1.0] * 5, [0.0] * 5, [blocks[0][0]] * 5, [1.0] * 5]])
    change = share * np.where(np.arange(5) < 4, power, 0.0) * hours
    found = wear(torch.from_numpy(change), battery, hours)
    want = [
        [by_hand(x, rated * hours, blocks) + 0.002 * abs(x) for x, rated in zip(row, power, strict=True)]
        for row in change
    ]
    np.testing.assert_allclose(found.numpy(), want, rtol=0, atol=1e-12)
    assert battery.wears
    # an hour at a given power costs the same whatever the length of the step
    quarters = wear(torch.from_numpy(change / 4), battery, hours / 4)
    np.testing.assert_allclose(4 * quarters.numpy(), want, rtol=0, atol=1e-12)


def test_the_game_and_its_differentiable_step_charge_it():
    c = community(0, timed=(), thermal=())
    battery = Battery.make(6, has=np.arange(6) % 2 == 0, power_kw=3.0, wear_blocks=TABLES[0])
    game = Game(c.with_battery(battery), auction("none"))
    state = game.reset(torch.arange(3), PRICES)
    action = torch.linspace(-1, 1, 18).double().reshape(3, 6, 1).requires_grad_()
    after, outcome = game.step(state, action.detach())
    change = (after.stored - state.stored).numpy()
    want = [[by_hand(x, 3.0, TABLES[0]) if home % 2 == 0 else 0.0 for home, x in enumerate(row)] for row in change]
    np.testing.assert_allclose(outcome.wear.numpy(), want, rtol=0, atol=1e-12)
    assert outcome.wear.max() > 0.4 * 3.0 * 0.01  # the second block is used
    _, cost = pooled_step(game, state, action, ("battery",))
    np.testing.assert_allclose(cost.detach().numpy(), outcome.cost.sum(-1).numpy(), rtol=0, atol=1e-12)
    cost.sum().backward()
    assert bool(action.grad.isfinite().all())
    assert bool((action.grad[:, ::2] != 0).any())


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        (((1.0, 0.01),), "1 block(s); give 2 or 3"),
        (((0.2, 0.0), (0.4, 0.1), (0.6, 0.2), (1.0, 0.3)), "4 block(s); give 2 or 3"),
        (((0.0, 0.01), (1.0, 0.05)), "share of block 1 is 0 of rated power; it must be in (0, 1]"),
        (((0.4, 0.01), (1.2, 0.05)), "share of block 2 is 1.2"),
        (((0.4, 0.01), (0.8, 0.05)), "the last share is 0.8; it must be 1"),
        (((0.6, 0.01), (0.4, 0.02), (1.0, 0.05)), "block 1 ends at 0.6, the next at 0.4; shares must rise"),
        (((0.4, 0.05), (1.0, 0.05)), "block 1 costs 0.05 $/kWh, the next 0.05; prices must rise"),
        (((0.4, -0.01), (1.0, 0.05)), "price of block 1 is -0.01 $/kWh; it must be finite and at least 0"),
        (((0.4, 0.01), (1.0, float("inf"))), "price of block 2 is inf"),
    ],
)
def test_each_mistake_has_a_sentence(blocks, words):
    assert any(words in sentence for sentence in block_mistakes(blocks))
    with pytest.raises(CommunityError) as caught:
        community(0).with_battery(Battery.make(6, wear_blocks=blocks))
    assert words in str(caught.value)


def test_good_tables_have_none():
    assert [block_mistakes(blocks) for blocks in (*TABLES, ())] == [[], [], []]
    assert [least_price(blocks) for blocks in (*TABLES, ())] == [0.01, 0.0, 0.0]
