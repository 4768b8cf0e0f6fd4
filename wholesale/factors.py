"""Distribution factors: what one MW withdrawn at a bus and given at the reference bus does to every line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from wholesale.network import Convention, Network, network
from wholesale.system import System


@dataclass(frozen=True, eq=False)
class Factors:
    """Flow = injection @ ptdf.T + loop, in MW.

    Attributes
    ----------
    ptdf : ndarray [line, bus]
        MW on a line for one MW injected at a bus and taken out at the first bus, whose column is 0.
    loop : ndarray [line]
        MW that phase shifters drive round without any injection.
    net : Network
        Susceptances and limits.
    """

    ptdf: np.ndarray
    loop: np.ndarray
    net: Network


def factors(system: System, convention: Convention) -> Factors:
    """Compute the distribution factors of a system.

    Parameters
    ----------
    system : System
        Connected; its first bus is the reference.
    convention : {"matpower", "pglib"}
        See `wholesale.network.network`.

    Returns
    -------
    Factors

    Raises
    ------
    ValueError
        The susceptance matrix is singular (reactances that cancel each other).
    """
    net = network(system, convention)
    lines, buses = len(system.lines), len(system.buses)
    ends = system.line_ends
    row = np.repeat(np.arange(lines), 2)
    sign = np.tile([1.0, -1.0], lines)
    incidence = sp.csr_array((sign, (row, ends.ravel())), shape=(lines, buses))
    flow = sp.diags_array(net.susceptance) @ incidence
    ptdf = np.zeros((lines, buses))
    if buses > 1:
        laplacian = sp.csc_array(incidence.T @ flow)[1:, 1:]
        try:
            inverse = splu(sp.csc_matrix(laplacian))
        except RuntimeError as error:
            raise ValueError(
                f"The reactances of system {system.name!r} cancel each other: its susceptance matrix is singular; "
                "check series capacitors."
            ) from error
        ptdf[:, 1:] = inverse.solve(flow.toarray()[:, 1:].T).T  # it is symmetric
    return Factors(ptdf, ptdf @ (incidence.T @ net.shifted) - net.shifted, net)
