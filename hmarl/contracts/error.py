"""What every conformance suite raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ContractError(AssertionError):
    """What a plug-in does against its contract; the message says which rule, in which case, and what came out."""


@contextmanager
def trial(where: str, what: str) -> Iterator[None]:
    """Say of an exception of a plug-in in which trial it came.

    Parameters
    ----------
    where : str
        Plug-in and scene.
    what : str
        Name of the trial.

    Raises
    ------
    ContractError
        From any other exception, which stays its cause.
    """
    try:
        yield
    except ContractError:
        raise
    except Exception as error:
        raise ContractError(f"{where} raises {type(error).__name__} in trial '{what}': {error}") from error
