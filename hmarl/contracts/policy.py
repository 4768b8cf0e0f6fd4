"""Conformance suite of follower policies."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hmarl.contracts.error import ContractError, trial
from hmarl.contracts.knowledge import check_knowledge
from hmarl.contracts.trials import DAYS, Scene, fits, scenes
from hmarl.halfway import fingerprint
from hmarl.policies.base import Learner, Policy, Seen
from hmarl.study_file import plugins, yaml_reader
from hmarl.study_file.validation import plain, validate

CLOSE = 1e-5
"""A batch may differ from a loop by so much: sums of floats in another order."""

LEARNT = 0.25
"""Share of the loss of doing nothing that a learner may be left with in a game with a known answer."""

ROUNDS = 300
"""Rounds of training in that game, at most."""

Plays = Callable[[Seen, int], Tensor]


def check_policy(policy: Policy, *, seconds: float = 20.0) -> None:
    """Check that a policy keeps the contract of every follower.

    In an arena and in retail games of both kinds of dispatch, wherever it does not refuse with ``Misfit`` (one of them
    must fit): it is a frozen dataclass whose hyper-parameters survive a study file; actions have one column for each
    of its heads and are numbers; the same seed gives the same bytes and no global random generator is touched; a
    learner that is saved (tensors and numbers only) and loaded goes on bit for bit; without exploration a batch of
    days plays like a loop over days, and an agent's action does not change when what is private to others does, their
    features, stores, load and PV, unless the policy says ``private = False``; nor does it change with load and PV of
    later steps and days, unless the policy says ``foresight = True``; what it sees stays untouched; and what learns at
    all finds the answer of a small game that has one, within some seconds: an arena, or for policies that play the
    retail game only, four homes whose batteries pay in dear evenings.

    Parameters
    ----------
    policy : Policy
        A frozen dataclass with a method ``start``.
    seconds : float s
        Processor time that learning the small game may take.

    Raises
    ------
    ContractError
        At the first breach, with a sentence; also from any other exception of the policy, with the trial in which it
        came: ``study file``, ``start``, ``actions``, ``same seed``, ``save and load``, ``batch``, ``private``,
        ``knowledge`` or ``learning``.
    """
    name = type(policy).__name__
    with trial(name, "study file"):
        _check_recipe(policy, name)
    fitting = [scene for scene in scenes() if _fits(policy, scene, name)]
    if not fitting:
        raise ContractError(f"{name} fits neither an arena nor a retail game: its start always raises Misfit.")
    for scene in fitting:
        where = f"{name} in scene '{scene.name}'"
        for what, check in TRIALS.items():
            if (scene.brief and what != "actions") or (what == "private" and not getattr(policy, "private", True)):
                continue
            with trial(where, what):
                check(policy, scene, where)
    with trial(f"{name} in a retail game", "knowledge"):
        check_knowledge(policy, name)
    with trial(f"{name} in scene '{fitting[0].name}'", "learning"):
        _check_learning(policy, fitting[0], name, seconds)


def _check_recipe(policy: Any, name: str) -> None:
    """A frozen dataclass that a study file brings back."""
    kind: Any = type(policy)
    if not (dataclasses.is_dataclass(policy) and kind.__dataclass_params__.frozen):
        raise ContractError(f"{name} is no frozen dataclass.")
    written = yaml_reader.write(plain(plugins.parameters(policy)))
    read = yaml_reader.read(written).values
    again, problems = validate(type(policy), read or {}, what=name, label="parameters")
    if problems or again != policy:
        raise ContractError(f"{name} does not survive a study file: written as {written!r}, read as {again}.")


def _fits(policy: Policy, scene: Scene, name: str) -> bool:
    with trial(f"{name} in scene '{scene.name}'", "start"):
        return fits(policy, scene)


def _walk(learner: Learner, scene: Scene, rows: Tensor, act: Plays) -> list[Tensor]:
    """Play an episode, actions chosen by ``act``."""
    steps = scene.walk(learner, rows)
    seen = next(steps)
    actions: list[Tensor] = []
    try:
        while True:
            actions.append(act(seen, len(actions)))
            seen = steps.send(actions[-1])
    except StopIteration:
        return actions


def _played(learner: Learner, scene: Scene, rows: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return _walk(learner, scene, rows, lambda seen, step: learner.act(seen, explore=False))


ROWS = torch.arange(DAYS - 2)


def _check_actions(policy: Policy, scene: Scene, where: str) -> None:
    """Named columns, finite numbers, nothing that is seen is changed."""
    learner, spec = policy.start(scene.spec(0)), scene.spec(0)
    if len(set(learner.heads)) != len(learner.heads) or not set(learner.heads) <= set(spec.heads):
        raise ContractError(f"{where} has heads {learner.heads}; there are {spec.heads}.")

    def act(seen: Seen, step: int, explore: bool) -> Tensor:
        before = _copied(seen)
        action = learner.act(seen, explore)
        if not _equal(_copied(seen), before):
            raise ContractError(f"{where} changes what it sees at step {step}.")
        shape = (len(ROWS), spec.agents, len(learner.heads))
        if tuple(action.shape) != shape:
            raise ContractError(f"{where} gives actions of shape {tuple(action.shape)}, not {shape}.")
        if not (action.is_floating_point() and bool(torch.isfinite(action).all())):
            raise ContractError(f"{where} gives an action at step {step} that is not a number.")
        return action.detach()

    for explore in (False, True):
        _walk(learner, scene, ROWS, partial(act, explore=explore))


def _check_seed(policy: Policy, scene: Scene, where: str) -> None:
    """Same seed, same bytes, from named streams only."""
    before = _global_randomness()
    runs = []
    for _ in range(2):
        learner = policy.start(scene.spec(3))
        for k in range(2):
            scene.learn(learner, 3, k / ROUNDS)
        runs.append((_played(learner, scene, ROWS), learner.state()))
    if not _equal(runs[0], runs[1]):
        raise ContractError(f"{where} learns otherwise the second time with the same seed.")
    if _global_randomness() != before:
        raise ContractError(f"{where} draws from a global random generator; use retail.streams.")


def _global_randomness() -> list[bytes]:
    legacy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002  it is watched, not used
    return [torch.get_rng_state().numpy().tobytes(), legacy["key"].tobytes(), bytes(str(legacy["pos"]), "ascii")]


def _check_resume(policy: Policy, scene: Scene, where: str) -> None:
    """Saved, loaded and trained on, it is bit for bit the learner that was never stopped."""
    straight = policy.start(scene.spec(5))
    for k in range(2):
        scene.learn(straight, 5, k / ROUNDS)
    file = io.BytesIO()
    try:
        fingerprint(straight.state())
    except TypeError as error:
        raise ContractError(f"{where} keeps more than tensors and numbers in its state: {error}.") from error
    torch.save(straight.state(), file)
    file.seek(0)
    try:
        kept = torch.load(file, weights_only=True)
    except Exception as error:
        raise ContractError(f"{where} keeps more than tensors and numbers in its state: {error}") from error
    resumed = policy.start(scene.spec(5))
    resumed.load(kept)
    for learner in (straight, resumed):
        scene.learn(learner, 5, 2 / ROUNDS)
    if not _equal(_played(straight, scene, ROWS), _played(resumed, scene, ROWS)):
        raise ContractError(f"{where} plays otherwise after it was saved and loaded.")
    if not _equal(straight.state(), resumed.state()):
        raise ContractError(f"{where} learns otherwise after it was saved and loaded.")


def _check_batch(policy: Policy, scene: Scene, where: str) -> None:
    """Without exploration each row of a batch is played as it is alone, whatever was played before."""
    learner = policy.start(scene.spec(0))
    scene.learn(learner, 0, 0.0)
    many = _played(learner, scene, ROWS)
    for row in ROWS[::3].tolist():
        alone = _played(learner, scene, ROWS[row : row + 1])
        off = max(float((a[row] - b[0]).abs().max()) for a, b in zip(many, alone, strict=True))
        if off > CLOSE:
            raise ContractError(f"{where} plays day {row} alone otherwise than in a batch, by {off:.2g}.")


def _check_privacy(policy: Policy, scene: Scene, where: str) -> None:
    """What is private to the last agent moves nobody else's action of the same step."""
    learner = policy.start(scene.spec(0))
    scene.learn(learner, 0, 0.0)
    others = slice(0, scene.spec(0).agents - 1)
    middle = scene.spec(0).steps // 2
    plainly = _played(learner, scene, ROWS)

    def act(seen: Seen, step: int) -> Tensor:
        with torch.no_grad():
            action = learner.act(_disturbed(seen) if step == middle else seen, explore=False)
        if step == middle and not torch.equal(action[:, others], plainly[step][:, others]):
            off = float((action - plainly[step])[:, others].abs().max())
            raise ContractError(
                f"{where}: what is private to one agent changes actions of others by {off:.2g}; if it is meant to, "
                "say private: ClassVar[bool] = False."
            )
        return plainly[step]

    _walk(learner, scene, ROWS, act)


def _disturbed(seen: Seen) -> Seen:
    """The last agent's features and store are others."""
    features, whole = seen.features, seen.whole
    if features.personal.numel():
        personal = features.personal.clone()
        personal[:, -1] += 0.3
        features = features._replace(personal=personal)
    if whole is not None:
        stored = whole.stored.clone()
        stored[:, -1] = stored[:, -1] / 2 + 0.7
        whole = dataclasses.replace(whole, stored=stored)
    return dataclasses.replace(seen, features=features, whole=whole)


TRIALS: dict[str, Callable[[Policy, Scene, str], None]] = {
    "actions": _check_actions,
    "same seed": _check_seed,
    "save and load": _check_resume,
    "batch": _check_batch,
    "private": _check_privacy,
}
"""Name -> what is checked in every scene; only actions in brief ones."""


def _check_learning(policy: Policy, scene: Scene, name: str, seconds: float) -> None:
    """What learns finds the known answer."""
    learner = policy.start(scene.spec(0))
    if learner.training == "none":
        return
    begun, loss = time.process_time(), scene.loss(learner)
    for k in range(ROUNDS):
        scene.learn(learner, 0, k / ROUNDS)
        # A look after every tenth round, and after the first, which may be all that a tuned rule needs.
        if k % 10 in (0, 9):
            loss = scene.loss(learner)
            if loss <= LEARNT:
                return
        if time.process_time() - begun > seconds:
            break
    spent = time.process_time() - begun
    raise ContractError(
        f"{name} is left with {loss:.0%} of the loss of doing nothing in scene '{scene.name}' after {spent:.0f} s; "
        f"at most {LEARNT:.0%} within {seconds:g} s."
    )


def _copied(seen: Seen) -> list[Tensor]:
    stored = [] if seen.whole is None else [seen.whole.stored, seen.whole.last_wh, seen.whole.last_cash]
    return [x.clone() for x in (*seen.features, seen.public, *stored)]


def _equal(a: Any, b: Any) -> bool:
    """Bit for bit, through any nesting."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(_equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)


__all__ = ["check_policy"]
