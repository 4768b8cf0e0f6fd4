"""A study: one file that says who lives where, who trades how, and which arms are compared."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hmarl.study_file import yaml_reader
from hmarl.study_file.arm import Arm
from hmarl.study_file.header import KEYS, check_header
from hmarl.study_file.merging import SECTIONS, put, with_whole_paths
from hmarl.study_file.plan import Execution, Rank, Sample, Vary
from hmarl.study_file.problems import Problem, StudyError, unknown
from hmarl.study_file.resolve import resolve

if TYPE_CHECKING:
    from hmarl.equilibrium.coordinator import Coordinator

__all__ = ["Arm", "Problem", "Study", "StudyError"]


@dataclass(frozen=True)
class Study:
    """A checked study.

    Parameters
    ----------
    name : str
        Also the name of its run folder.
    title : str or None
        For people.
    seeds : tuple of int
        Seeds of every arm.
    measure : tuple of str
        Columns of the summary.
    arms : tuple of Arm
        The first is the baseline.
    document : dict
        The study as written, overrides apart from sections.
    where : str
        File it came from.
    vary : dict
        Dotted path -> `hmarl.study_file.plan.Span` or list of values; empty for a study without a sweep.
    sample : Sample
        How a sweep chooses points.
    run : Execution
        Where runs are done.
    rank : Rank or None
        How arms are ranked at the end.
    """

    name: str
    title: str | None
    seeds: tuple[int, ...]
    measure: tuple[str, ...]
    arms: tuple[Arm, ...]
    document: dict[str, Any]
    where: str = "study"
    vary: Vary = field(default_factory=dict)
    sample: Sample = field(default_factory=Sample)
    run: Execution = field(default_factory=Execution)
    rank: Rank | None = None

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read and check a study file.

        Parameters
        ----------
        path : str or Path
            A YAML file.

        Returns
        -------
        Study
            Complete and checked.

        Raises
        ------
        StudyError
            Listing every mistake of the file at once.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no UTF-8 text"
            raise StudyError([Problem("STUDY", str(path), "a study file", reason=f"cannot be read: {why}")]) from error
        return cls.parse(text, where=str(path))

    @classmethod
    def parse(cls, text: str | Mapping[str, Any], where: str = "study") -> Self:
        """Check a study given as YAML text or as plain values.

        Parameters
        ----------
        text : str or mapping
            The study.
        where : str
            What to call it in messages.

        Returns
        -------
        Study
            Complete and checked.

        Raises
        ------
        StudyError
            Listing every mistake at once, also an arm that is another one again.
        """
        study, lines = cls._checked(text, where)
        twins = [_with_line(problem, lines) for problem in _twins(study.arms)]
        if twins:
            raise StudyError(twins, where)
        return study

    @classmethod
    def _checked(cls, text: str | Mapping[str, Any], where: str) -> tuple[Self, dict[str, int]]:
        """The study and where its keys stand; arms may be equal, as they may at some point of a sweep."""
        if isinstance(text, Mapping):
            read = yaml_reader.Document(values=copy.deepcopy(dict(text)))
        else:
            read = yaml_reader.read(text)
        problems = list(read.problems)
        if not isinstance(read.values, dict):
            if not problems:
                problems = [Problem("study", read.values, f"allowed: a mapping with keys {', '.join(KEYS)}")]
            raise StudyError(problems, where)
        read.values = with_whole_paths(read.values, Path(where).parent)
        header, found = check_header(read.values)
        arms, more = resolve(read.values if _arms_usable(read.values) else {**read.values, "arms": {}})
        problems += [_with_line(problem, read.lines) for problem in [*found, *more]]
        if problems:
            raise StudyError(sorted(problems, key=lambda p: p.line or 0), where)
        seeds = tuple(range(header.seeds)) if isinstance(header.seeds, int) else tuple(header.seeds)
        built = tuple(
            Arm(study=header.study, name=name, baseline=place == 0, **sections)
            for place, (name, sections) in enumerate(arms.items())
        )
        once = (header.study, header.title, seeds, tuple(header.measure), built, read.values, where)
        return cls(*once, header.vary or {}, header.sample, header.run, header.rank), read.lines

    @property
    def baseline(self) -> Arm:
        """The first arm."""
        return self.arms[0]

    def arm(self, name: str | None = None) -> Arm:
        """Find an arm.

        Parameters
        ----------
        name : str, optional
            The baseline if left out.

        Returns
        -------
        Arm
            Complete.

        Raises
        ------
        StudyError
            If there is no such arm; the message names those there are.
        """
        for arm in self.arms:
            if name in (None, arm.name):
                return arm
        names = [arm.name for arm in self.arms]
        raise StudyError([unknown("arm", name, names, what=f"arm of study {self.name}", label="arms")])

    def coordinator(self, arm: str | None = None, seed: int = 0, data: str | Path | None = None) -> Coordinator:
        """Start the two-level iteration of one arm.

        Parameters
        ----------
        arm : str, optional
            The baseline if left out.
        seed : int
            Of all named random streams.
        data : path, optional
            Folder of the real data; ``HMARL_DATA`` if left out.

        Returns
        -------
        Coordinator
            Iterate over it for one `Iterate` a round.
        """
        from hmarl.datafind import data_dir  # noqa: PLC0415
        from hmarl.equilibrium.coordinator import Coordinator  # noqa: PLC0415  torch takes seconds
        from hmarl.world import build  # noqa: PLC0415

        return Coordinator(build(self.arm(arm), seed, data_dir(None if data is None else str(data))))

    def change(self, **changes: Any) -> Study:
        """Copy the study with some values changed.

        Sections merge like overrides of an arm: key by key, and as a whole where a plug-in changes its name. What an
        arm says itself stays; ``arms.NAME.section.key`` reaches it.

        Parameters
        ----------
        **changes : plain values
            Sections (``followers="rule-based"``) or dotted paths (``**{"leader.margin": 0.3}``).

        Returns
        -------
        Study
            Checked.

        Raises
        ------
        StudyError
            Listing every mistake, also a change that no arm would notice.
        """
        document = copy.deepcopy(self.document)
        for path, value in changes.items():
            put(document, path.split("."), value)
        changed, _ = Study._checked(document, self.where)
        for path, value in changes.items():
            self._refuse_idle(path, value, changed)
        return changed

    def set(self, *assignments: str) -> Study:
        """Change values given as text, as ``--set`` does.

        Parameters
        ----------
        *assignments : str
            ``path=value``; the value is read as YAML.

        Returns
        -------
        Study
            Checked.

        Raises
        ------
        StudyError
            Listing every mistake.
        """
        changes: dict[str, Any] = {}
        for text in assignments:
            path, sign, value = text.partition("=")
            read = yaml_reader.read(value)
            if not (sign and path.strip()) or read.problems:
                raise StudyError([Problem("--set", text, "the form is path=value, e.g. leader.margin=0.3")])
            changes[path.strip()] = None if value.strip() == "" else read.values
        return self.change(**changes)

    def to_yaml(self) -> str:
        """Write the study as a complete file: every default filled in, every arm in full where arms differ.

        Returns
        -------
        str
            ``Study.parse`` gives an equal study back.
        """
        full = {arm.name: arm.resolved() for arm in self.arms}
        first = full[self.baseline.name]
        common = [name for name in SECTIONS if all(one[name] == first[name] for one in full.values())]
        header = {"study": self.name, "title": self.title, "seeds": list(self.seeds)}
        differing = {arm: {name: one[name] for name in SECTIONS if name not in common} for arm, one in full.items()}
        shared = {name: first[name] for name in common}
        plan = {name: self.document[name] for name in ("rank", "vary", "sample", "run") if name in self.document}
        return yaml_reader.write({**header, **shared, "arms": differing, "measure": list(self.measure), **plan})

    def _refuse_idle(self, path: str, value: Any, changed: Study) -> None:
        """Refuse a change that every arm overrides: the user would compare equal things unawares."""
        section = path.split(".", maxsplit=1)[0]
        if section not in SECTIONS or changed.document == self.document:
            return
        if all(
            getattr(a, section) == getattr(b, section) for a, b in zip(self.arms, changed.arms, strict=True)
        ) and all(section in (overrides or {}) for overrides in changed.document["arms"].values()):
            reason = f"changes no arm, since each arm says something about {section} itself"
            raise StudyError([Problem(path, value, f"write arms.NAME.{path}", reason=reason)])


def _arms_usable(document: dict[str, Any]) -> bool:
    return bool(document.get("arms")) and isinstance(document["arms"], Mapping)


def _twins(arms: tuple[Arm, ...]) -> list[Problem]:
    """Arms that say nothing of their own: whoever compares them would wait for a difference of exactly zero."""
    found, first = [], dict[str, str]()
    for arm in arms:
        own = repr({name: value for name, value in arm.resolved().items() if name != "arm"})
        if own in first:
            reason = f"changes nothing: it is arm {first[own]} again"
            found.append(Problem(f"arms.{arm.name}", arm.name, "say what differs, or leave it out", reason=reason))
        first.setdefault(own, arm.name)
    return found


def _with_line(problem: Problem, lines: dict[str, int]) -> Problem:
    """Line of the path, or of the nearest part above it that stands in the file."""
    path = problem.path
    while path and path not in lines:
        path = path.rpartition(".")[0]
    return replace(problem, line=lines[path]) if path else problem
