"""Studies that come with the program."""

from __future__ import annotations

from pathlib import Path

from hmarl.study_file.problems import Problem, StudyError, nearest


def folders() -> list[Path]:
    """Find where shipped studies are.

    Returns
    -------
    list of Path
        ``studies`` of the repository, or ``hmarl/studies`` of an installed wheel.
    """
    here = Path(__file__).resolve().parent
    return [folder for folder in (here / "studies", here.parent / "studies") if folder.is_dir()]


def names() -> list[str]:
    """List the shipped studies.

    Returns
    -------
    list of str
        Sorted.
    """
    return sorted({path.parent.name for folder in folders() for path in folder.glob("*/study.yaml")})


def find(said: str) -> Path:
    """Find the file of a study.

    Parameters
    ----------
    said : str
        Path of a file, of a folder with a ``study.yaml``, or the name of a shipped study.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    StudyError
        Naming the shipped studies and the nearest of them.
    """
    path = Path(said)
    candidates = [path, path / "study.yaml", *(folder / said / "study.yaml" for folder in folders())]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    allowed = f"a file, or one of the shipped studies: {', '.join(names()) or 'none'}"
    raise StudyError([Problem("STUDY", said, allowed, nearest(path.name, names()), reason="is not there")])
