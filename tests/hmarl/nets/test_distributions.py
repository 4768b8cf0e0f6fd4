"""Densities of actions: they integrate to one, sample what they say, start as narrow as asked."""

import pytest
import torch

from hmarl.nets.distributions import DISTRIBUTIONS
from retail.streams import torch_stream

SPREAD = torch.tensor([0.13, 0.4])


def made(name, rows):
    d = DISTRIBUTIONS[name]
    return d, torch.zeros(rows, 2 * d.width), d.free(SPREAD)


@pytest.mark.parametrize("name", ["beta", "gaussian"])
@pytest.mark.parametrize("output", [0.0, 0.7])
def test_densities_integrate_to_one_and_give_the_entropy(name, output):
    d = DISTRIBUTIONS[name]
    x = torch.linspace(-1, 1, 20001).double()[1:-1, None]
    free = d.free(torch.tensor([0.3])).double()
    z = torch.full_like(x, output)
    log = d.log_probability(z, free, x)[:, 0]
    step = float(x[1] - x[0])
    assert float(log.exp().sum() * step) == pytest.approx(1, abs=1e-3)
    if name == "beta":
        assert -float((log.exp() * log).sum() * step) == pytest.approx(float(d.entropy(z[:1], free)), abs=1e-3)
        assert float(x[log.argmax()]) == pytest.approx(float(d.best(z[:1], free)), abs=2e-4)


@pytest.mark.parametrize("name", ["beta", "gaussian", "categorical"])
def test_samples_are_as_wide_as_asked_and_likely_as_said(name):
    d, output, free = made(name, 40000)
    drawn = d.sample(output, free.expand(len(output), -1), torch_stream(0, "draw"))
    assert drawn.shape == (40000, 2)
    assert bool((drawn.abs() <= 1).all())
    # Squashing and categories bend the wide one.
    torch.testing.assert_close(drawn.std(0)[:1], SPREAD[:1], rtol=0.03, atol=0)
    torch.testing.assert_close(drawn.std(0)[1:], SPREAD[1:], rtol=0.15, atol=0)
    score = -float(d.log_probability(output, free, drawn).mean())
    if name != "gaussian":  # its entropy is that before squashing
        assert score == pytest.approx(float(d.entropy(output[:1], free)), abs=0.02)
    assert d.best(output[:1], free).abs().max() < 1e-6


def test_categories_know_their_actions_again():
    d = DISTRIBUTIONS["categorical"]
    output = torch.randn(500, 22, generator=torch_stream(0, "logits"))
    free = d.free(SPREAD)
    drawn = d.sample(output, free, torch_stream(0, "draw"))
    shares = torch.stack(
        [
            d.log_probability(output, free, torch.stack([v, w]).expand(500, 2))[:, 0]
            for v in torch.linspace(-1, 1, 11)
            for w in torch.linspace(-1, 1, 11)
        ]
    )
    torch.testing.assert_close(shares.exp().sum(0), torch.ones(500))
    assert drawn.unique().numel() <= 11
