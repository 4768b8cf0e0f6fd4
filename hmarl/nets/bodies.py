"""Stacked nets that read a day in order: feed-forward, a window of Conv1d, and recurrent cells.

All have one form, ``body(common, personal, carried) -> (output, carried)``, for one step or a whole day at once, so
that acting and learning run the same code. ``carried`` is None at the start of a day.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from hmarl.nets.networks import Activation, StackedMLP

BodyName = Literal["ff", "conv1d", "lstm"]
Carried = Any
"""What a body remembers of the day: None, or tensors whose second last axis is the row of a prosumer and day."""


def orthogonal(groups: int, into: int, out: int, generator: torch.Generator, gain: float = 2**0.5) -> nn.Parameter:
    """Initial weights of a stacked layer.

    Parameters
    ----------
    groups, into, out : int
        Shape.
    generator : torch.Generator
        Stream of initial weights.
    gain : float
        Scale of the orthogonal matrices.

    Returns
    -------
    Parameter [G, into, out]
        One orthogonal matrix for each group.
    """
    drawn = torch.empty(groups, into, out)
    for g in range(groups):
        nn.init.orthogonal_(drawn[g], gain, generator=generator)
    return nn.Parameter(drawn)


class Entry(nn.Module):
    """First linear layer: what is common is multiplied once per row instead of once per prosumer.

    Parameters
    ----------
    groups, common, personal, out : int
        Numbers of nets, of common and of personal features, and of outputs.
    generator : torch.Generator
        Stream of initial weights.
    gain : float
        Scale of the orthogonal matrices.
    """

    def __init__(
        self, groups: int, common: int, personal: int, out: int, generator: torch.Generator, gain: float = 2**0.5
    ) -> None:
        super().__init__()
        self.common = common
        self.weight = orthogonal(groups, common + personal, out, generator, gain)

    def forward(self, common: Tensor, personal: Tensor) -> Tensor:
        """Project a stretch of a day.

        Parameters
        ----------
        common : Tensor [T, B, C]
            Features that all share.
        personal : Tensor [G, T, B, K, P]
            Features of the K members of each group.

        Returns
        -------
        Tensor [G, T, B * K, out]
            Without bias.
        """
        groups, steps, batch, width, _ = personal.shape
        own = torch.bmm(personal.reshape(groups, steps * batch * width, -1), self.weight[:, self.common :])
        shared = torch.matmul(common.flatten(0, 1), self.weight[:, : self.common])
        both = own.reshape(groups, steps * batch, width, -1) + shared.unsqueeze(2)
        return both.reshape(groups, steps, batch * width, -1)


class FeedForward(nn.Module):
    """The multilayer perceptron; remembers nothing.

    Parameters
    ----------
    groups, common, personal, out : int
        Numbers of nets, of common and of personal features, and of outputs.
    hidden : tuple of int
        Widths of the hidden layers.
    generator : torch.Generator
        Stream of initial weights.
    activation : str
        Of the hidden layers.
    """

    def __init__(
        self,
        groups: int,
        common: int,
        personal: int,
        hidden: tuple[int, ...],
        out: int,
        generator: torch.Generator,
        activation: Activation = "tanh",
    ) -> None:
        super().__init__()
        self.net = StackedMLP(groups, common, personal, (*hidden, out), generator, 0.01, activation)

    def forward(self, common: Tensor, personal: Tensor, carried: Carried = None) -> tuple[Tensor, Carried]:
        """Evaluate; see the module."""
        groups, steps, batch, width, _ = personal.shape
        made = self.net(common.flatten(0, 1), personal.reshape(groups, steps * batch, width, -1))
        return made.reshape(groups, steps, batch, width, -1), None


class ConvWindow(nn.Module):
    """Two Conv1d of kernel 3 over the last ``window`` observations, then a dense layer; zeros before the day starts.

    A convolution gives the same number in every window that holds its three inputs, so a day is convolved once, not
    once for each window.

    Parameters
    ----------
    groups, common, personal, out : int
        Numbers of nets, of common and of personal features, and of outputs.
    hidden : int
        Width of the dense layer.
    generator : torch.Generator
        Stream of initial weights.
    window : int
        Steps seen, at least 5.
    channels : int
        Of both convolutions.
    """

    KERNEL = 3

    def __init__(
        self,
        groups: int,
        common: int,
        personal: int,
        hidden: int,
        out: int,
        generator: torch.Generator,
        window: int = 8,
        channels: int = 32,
    ) -> None:
        super().__init__()
        self.window, self.channels = window, channels
        left = window - 2 * (self.KERNEL - 1)
        taps = self.KERNEL * channels
        # The kernel's three taps share the variance of one layer.
        self.entry = Entry(groups, common, personal, taps, generator, gain=(2 / self.KERNEL) ** 0.5)
        self.second = orthogonal(groups, channels, taps, generator, gain=(2 / self.KERNEL) ** 0.5)
        self.dense = orthogonal(groups, left * channels, hidden, generator)
        self.last = orthogonal(groups, hidden, out, generator, gain=0.01)
        self.biases = nn.ParameterList(
            nn.Parameter(torch.zeros(groups, 1, w)) for w in (channels, channels, hidden, out)
        )

    def _convolved(self, taps: Tensor, bias: Tensor) -> Tensor:
        """Sum the taps of three neighbouring steps, [G, S, R, 3 * channels] -> [G, S - 2, R, channels]."""
        parts = taps.split(self.channels, -1)
        length = taps.shape[1] - self.KERNEL + 1
        summed = sum(part[:, k : k + length] for k, part in enumerate(parts))
        return torch.relu(summed + bias.unsqueeze(1))

    def forward(self, common: Tensor, personal: Tensor, carried: Carried = None) -> tuple[Tensor, Carried]:
        """Evaluate; carries the projections of the last steps, [G, window - 1, B * K, 3 * channels]."""
        groups, steps, batch, width, _ = personal.shape
        entered = self.entry(common, personal)
        rows = entered.shape[2]
        before = entered.new_zeros(groups, self.window - 1, rows, entered.shape[-1]) if carried is None else carried
        taps = torch.cat([before, entered], 1)
        first = self._convolved(taps, self.biases[0])
        length = first.shape[1]
        again = torch.bmm(first.reshape(groups, length * rows, -1), self.second).reshape(groups, length, rows, -1)
        second = self._convolved(again, self.biases[1])
        left = second.shape[1] - steps + 1
        seen = torch.cat([second[:, k : k + steps] for k in range(left)], -1).reshape(groups, steps * rows, -1)
        dense = torch.relu(torch.baddbmm(self.biases[2], seen, self.dense))
        made = torch.baddbmm(self.biases[3], dense, self.last)
        return made.reshape(groups, steps, batch, width, -1), taps[:, steps:].detach()


class Recurrent(nn.Module):
    """LSTM (Hochreiter and Schmidhuber 1997) or GRU (Cho et al. 2014) cells and a linear output.

    Parameters
    ----------
    groups, common, personal, out : int
        Numbers of nets, of common and of personal features, and of outputs.
    units : int
        Width of the hidden state.
    generator : torch.Generator
        Stream of initial weights.
    cell : str
        ``lstm`` or ``gru``.
    last : float
        Scale of the output layer.
    """

    def __init__(
        self,
        groups: int,
        common: int,
        personal: int,
        units: int,
        out: int,
        generator: torch.Generator,
        cell: Literal["lstm", "gru"] = "lstm",
        last: float = 0.01,
    ) -> None:
        super().__init__()
        self.cell, self.units = cell, units
        gates = 4 if cell == "lstm" else 3
        self.entry = Entry(groups, common, personal, gates * units, generator, gain=1.0)
        self.hidden = orthogonal(groups, units, gates * units, generator, gain=1.0)
        bias = torch.zeros(groups, 1, gates * units)
        if cell == "lstm":
            bias[..., units : 2 * units] = 1.0  # forget little at first
        self.bias = nn.Parameter(bias)
        if cell == "gru":
            self.new_bias = nn.Parameter(torch.zeros(groups, 1, units))
        self.last, self.last_bias = (
            orthogonal(groups, units, out, generator, last),
            nn.Parameter(torch.zeros(groups, 1, out)),
        )

    def forward(self, common: Tensor, personal: Tensor, carried: Carried = None) -> tuple[Tensor, Carried]:
        """Evaluate; carries hidden and cell state, [2, G, B * K, units]."""
        groups, steps, batch, width, _ = personal.shape
        entered = self.entry(common, personal) + self.bias.unsqueeze(1)
        rows = entered.shape[2]
        h, c = entered.new_zeros(2, groups, rows, self.units) if carried is None else carried
        shown = []
        for t in range(steps):
            h, c = self._lstm(entered[:, t], h, c) if self.cell == "lstm" else (self._gru(entered[:, t], h), c)
            shown.append(h)
        seen = torch.stack(shown, 1).reshape(groups, steps * rows, -1)
        made = torch.baddbmm(self.last_bias, seen, self.last)
        return made.reshape(groups, steps, batch, width, -1), torch.stack([h, c]).detach()

    def _lstm(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = torch.baddbmm(x, h, self.hidden).split(self.units, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def _gru(self, x: Tensor, h: Tensor) -> Tensor:
        asked, fresh = x[..., : 2 * self.units], x[..., 2 * self.units :]
        r, z = torch.sigmoid(torch.baddbmm(asked, h, self.hidden[..., : 2 * self.units])).split(self.units, -1)
        new = torch.tanh(fresh + r * torch.baddbmm(self.new_bias, h, self.hidden[..., 2 * self.units :]))
        return (1 - z) * new + z * h


def make_body(
    name: BodyName,
    groups: int,
    common: int,
    personal: int,
    hidden: tuple[int, ...],
    out: int,
    generator: torch.Generator,
    activation: Activation = "tanh",
) -> nn.Module:
    """Build an actor's body by its name.

    Parameters
    ----------
    name : str
        ``ff``, ``conv1d`` or ``lstm``.
    groups, common, personal, out : int
        Numbers of nets, of common and of personal features, and of outputs.
    hidden : tuple of int
        Widths of the hidden layers; ``conv1d`` and ``lstm`` take the last one.
    generator : torch.Generator
        Stream of initial weights.
    activation : str
        Of the hidden layers of ``ff``; the others have their own.

    Returns
    -------
    Module
        Of the form of this module; outputs start close to 0.
    """
    if name == "ff":
        return FeedForward(groups, common, personal, hidden, out, generator, activation)
    if name == "conv1d":
        return ConvWindow(groups, common, personal, hidden[-1], out, generator)
    return Recurrent(groups, common, personal, hidden[-1], out, generator)


__all__ = ["BodyName", "Carried", "ConvWindow", "Entry", "FeedForward", "Recurrent", "make_body", "orthogonal"]
