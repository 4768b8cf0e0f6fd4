"""Nets that read a day in order: one step at a time equals the whole day, stacked equals one by one."""

import pytest
import torch
from torch import nn

from hmarl.nets.bodies import ConvWindow, Recurrent, make_body
from retail.streams import torch_stream

G, T, B, K, C, P = 3, 10, 4, 2, 3, 5


def inputs(groups=G):
    generator = torch_stream(0, "inputs")
    return torch.randn(T, B, C, generator=generator), torch.randn(groups, T, B, K, P, generator=generator)


@pytest.mark.parametrize("name", ["ff", "conv1d", "lstm"])
def test_step_by_step_equals_the_whole_day(name):
    body = make_body(name, G, C, P, (8, 6), 2, torch_stream(0, "weights"))
    common, personal = inputs()
    whole, _ = body(common, personal, None)
    carried, parts = None, []
    for t in range(T):
        out, carried = body(common[t : t + 1], personal[:, t : t + 1], carried)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["ff", "conv1d", "lstm"])
def test_no_output_depends_on_later_steps_or_on_other_rows(name):
    body = make_body(name, G, C, P, (8, 6), 2, torch_stream(0, "weights"))
    common, personal = inputs()
    whole, _ = body(common, personal, None)
    changed = personal.clone()
    changed[:, 6:] += 1
    changed[:, :, 1] += 1
    other, _ = body(common, changed, None)
    assert torch.equal(other[:, :6, 0], whole[:, :6, 0])
    assert not torch.equal(other[:, 6, 0], whole[:, 6, 0])


def test_a_window_equals_conv1d_of_torch_on_each_window():
    net = ConvWindow(1, C, P, 6, 2, torch_stream(0, "weights"), window=8, channels=4)
    for bias in net.biases:
        nn.init.normal_(bias, generator=torch_stream(0, "biases"))
    common, personal = inputs(1)
    whole, _ = net(common, personal, None)
    x = torch.cat([common[:, :, None].expand(T, B, K, C), personal[0]], -1).flatten(1, 2)
    padded = torch.cat([torch.zeros(7, B * K, C + P), x])

    def kernel(weight, into):  # columns are tap by tap
        return weight[0].T.reshape(3, 4, into).permute(1, 2, 0)

    for t in range(T):
        window = padded[t : t + 8].permute(1, 2, 0)
        first = torch.relu(nn.functional.conv1d(window, kernel(net.entry.weight, C + P), net.biases[0][0, 0]))
        second = torch.relu(nn.functional.conv1d(first, kernel(net.second, 4), net.biases[1][0, 0]))
        dense = torch.relu(second.permute(0, 2, 1).flatten(1) @ net.dense[0] + net.biases[2][0])
        alone = (dense @ net.last[0] + net.biases[3][0]).reshape(B, K, 2)
        torch.testing.assert_close(whole[0, t], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_stacked_cells_equal_those_of_torch(cell):
    net = Recurrent(G, C, P, 6, 2, torch_stream(0, "weights"), cell, last=1.0)
    common, personal = inputs()
    whole, _ = net(common, personal, None)
    for g in range(G):
        single = (nn.LSTM if cell == "lstm" else nn.GRU)(C + P, 6)
        x = torch.cat([common[:, :, None].expand(T, B, K, C), personal[g]], -1).flatten(1, 2)
        with torch.no_grad():
            single.weight_ih_l0.copy_(net.entry.weight[g].T)
            single.weight_hh_l0.copy_(net.hidden[g].T)
            single.bias_ih_l0.copy_(net.bias[g, 0])
            single.bias_hh_l0.zero_()
            out = single(x)[0] @ net.last[g]
        torch.testing.assert_close(whole[g].flatten(1, 2), out, rtol=1e-4, atol=1e-6)
