"""Constants of an observation belong to its features."""

import pytest
import torch

from hmarl.scaling import Standard
from retail.observation import Features


def test_features_are_scaled_by_mean_and_spread_and_cut():
    common, personal = torch.randn(2, 400, 3, generator=torch.Generator().manual_seed(0)) * 2 + 1
    scaled = Standard.of(common, personal)(Features(common, personal))
    for part in scaled:
        torch.testing.assert_close(part.mean(0), torch.zeros(3), atol=1e-2, rtol=0)
        torch.testing.assert_close(part.std(0), torch.ones(3), atol=2e-2, rtol=0)
    far = Standard.unscaled(3, 3)(Features(common * 100, personal))
    assert float(far.common.abs().max()) == 5


@pytest.mark.parametrize(("common", "personal"), [(1, 2), (6, 1), (5, 2)])
def test_another_number_of_features_is_refused(common, personal):
    standard = Standard.unscaled(6, 2)
    standard(Features(torch.zeros(4, 6), torch.zeros(4, 3, 2)))
    with pytest.raises(ValueError, match=f"has {common} common and {personal} personal features.*6 and 2"):
        standard(Features(torch.zeros(4, common), torch.zeros(4, 3, personal)))
