"""Stacked causal transformers: G encoders of a day at once, for a whole day or step by step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hmarl.nets.bodies import Carried, Entry, orthogonal

EPSILON = 1e-5


class Block(nn.Module):
    """Self-attention over the day so far and a feed-forward net, both on normalised input and added to it.

    Parameters
    ----------
    groups, width, heads, inner : int
        Numbers of nets, width of a token, attention heads, width of the feed-forward net.
    generator : torch.Generator
        Stream of initial weights.
    """

    def __init__(self, groups: int, width: int, heads: int, inner: int, generator: torch.Generator) -> None:
        super().__init__()
        self.heads = heads
        shapes = {
            "ask": (width, 3 * width),
            "gather": (width, width),
            "widen": (width, inner),
            "narrow": (inner, width),
        }
        self.weights = nn.ParameterDict({k: orthogonal(groups, a, b, generator, 0.7) for k, (a, b) in shapes.items()})
        self.biases = nn.ParameterDict({k: nn.Parameter(torch.zeros(groups, 1, b)) for k, (_, b) in shapes.items()})
        self.gains = nn.ParameterList(nn.Parameter(torch.ones(groups, 1, width)) for _ in range(2))
        self.shifts = nn.ParameterList(nn.Parameter(torch.zeros(groups, 1, width)) for _ in range(2))

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return torch.baddbmm(self.biases[name], x, self.weights[name])

    def _normal(self, place: int, x: Tensor) -> Tensor:
        return nn.functional.layer_norm(x, x.shape[-1:], eps=EPSILON) * self.gains[place] + self.shifts[place]

    def forward(self, x: Tensor, steps: int, carried: Carried = None) -> tuple[Tensor, Carried]:
        """Go on with tokens [G, T * R, width]; carries keys and values of the day so far, each [G, R, heads, t, d]."""
        groups, _, width = x.shape
        asked = self._linear("ask", self._normal(0, x)).reshape(groups, steps, -1, 3, self.heads, width // self.heads)
        query, key, value = asked.permute(3, 0, 2, 4, 1, 5)
        if carried is not None:
            key, value = (torch.cat(pair, 3) for pair in zip(carried, (key, value), strict=True))
        before = key.shape[3] - steps
        # A token sees itself and what came before.
        allowed = torch.ones(steps, key.shape[3], dtype=torch.bool).tril(before)
        found = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        x = x + self._linear("gather", found.permute(0, 3, 1, 2, 4).reshape(groups, -1, width))
        return x + self._linear("narrow", torch.relu(self._linear("widen", self._normal(1, x)))), (
            key.detach(),
            value.detach(),
        )


class CausalTransformer(nn.Module):
    """Transformer (Vaswani et al. 2017) with learned positions and a linear output, in the form of a body.

    Parameters
    ----------
    groups, common, personal, out : int
        Numbers of nets, of common and of personal features, and of outputs.
    generator : torch.Generator
        Stream of initial weights.
    longest : int
        Steps of a day, and one.
    width, blocks, heads, inner : int
        Of a token, number of blocks, attention heads, of the feed-forward nets.
    """

    def __init__(
        self,
        groups: int,
        common: int,
        personal: int,
        out: int,
        generator: torch.Generator,
        longest: int,
        width: int = 64,
        blocks: int = 2,
        heads: int = 4,
        inner: int = 128,
    ) -> None:
        super().__init__()
        self.entry = Entry(groups, common, personal, width, generator, 1.0)
        self.position = nn.Parameter(0.1 * torch.randn(groups, longest, 1, width, generator=generator))
        self.blocks = nn.ModuleList(Block(groups, width, heads, inner, generator) for _ in range(blocks))
        self.last, self.bias = orthogonal(groups, width, out, generator, 1.0), nn.Parameter(torch.zeros(groups, 1, out))

    def forward(self, common: Tensor, personal: Tensor, carried: Carried = None) -> tuple[Tensor, Carried]:
        """Evaluate; carries the step reached, and keys and values of each block."""
        groups, steps, batch, width, _ = personal.shape
        begun, kept = (0, [None] * len(self.blocks)) if carried is None else carried
        x = (self.entry(common, personal) + self.position[:, begun : begun + steps]).flatten(1, 2)
        after = []
        for block, memory in zip(self.blocks, kept, strict=True):
            x, memory_after = block(x, steps, memory)
            after.append(memory_after)
        made = torch.baddbmm(self.bias, x, self.last)
        return made.reshape(groups, steps, batch, width, -1), (begun + steps, after)
