"""Named streams of random numbers, so that changing one thing never changes another (common random numbers)."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch


def stream(seed: int, name: str) -> np.random.Generator:
    """A numpy generator of its own for each purpose.

    Parameters
    ----------
    seed : int
        Seed of the run, at least 0.
    name : str
        Purpose, for example ``weather``, ``days``, ``arrival``, ``exploration``, ``weights``.

    Returns
    -------
    numpy.random.Generator
        Same seed and name, same numbers.
    """
    return np.random.default_rng([seed, crc32(name.encode())])


def torch_stream(seed: int, name: str) -> torch.Generator:
    """The same for torch, on the CPU.

    Parameters
    ----------
    seed : int
        Seed of the run, at least 0.
    name : str
        Purpose.

    Returns
    -------
    torch.Generator
        Same seed and name, same numbers.
    """
    return torch.Generator().manual_seed(int(stream(seed, name).integers(2**62)))
