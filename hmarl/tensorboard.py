"""Training logs for TensorBoard, an extra: ``pip install 'hmarl[tensorboard]'``, then ``hmarl run --tensorboard``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FOLDER = "tensorboard"
"""In the run folder of a job; ``tensorboard --logdir runs`` shows all of them."""


class TensorBoardMissing(ValueError):
    """TensorBoard is not installed; the message says how to get it."""


class Journal:
    """Writes each row of a training log as scalars over training days played.

    Parameters
    ----------
    folder : Path
        For the event files.

    Raises
    ------
    TensorBoardMissing
        If TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        check_installed()
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  an extra

        self.writer = SummaryWriter(str(folder))

    def __call__(self, row: Mapping[str, float | str]) -> None:
        """Write a row.

        Parameters
        ----------
        row : mapping
            With ``episode``; other numbers become scalars ``training/NAME``, text is left out.
        """
        played = int(float(row["episode"]))
        for name, value in row.items():
            if name != "episode" and not isinstance(value, str):
                self.writer.add_scalar(f"training/{name}", value, played)
        self.writer.flush()


def check_installed() -> None:
    """Refuse early what would fail late.

    Raises
    ------
    TensorBoardMissing
        If TensorBoard cannot be imported.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401, PLC0415  an extra
    except ImportError as error:
        raise TensorBoardMissing(
            f"TensorBoard logs were asked for, but {error.name or 'tensorboard'} is not installed; say pip install "
            "'hmarl[tensorboard]', or leave --tensorboard out: training.parquet holds the same numbers."
        ) from error
