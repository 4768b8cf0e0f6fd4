"""Small games on which the conformance suite of policies is run."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hmarl.arena import Arena, arena_spec, episode, mean_return
from hmarl.arenas.aim import Aim
from hmarl.evaluation import arrivals, look, play
from hmarl.policies.base import Learner, Misfit, Policy, Seen, Spec, portfolio_clusters
from hmarl.public import publish, publish_actions, reads_public, unpublished
from hmarl.training import Ground, train
from retail.auctions.double_auction import DoubleAuction
from retail.community import Battery, Community
from retail.game import Dispatch, Game
from retail.streams import stream, torch_stream
from retail.tariff import Tariff

Walk = Generator[Seen, Tensor, None]
"""Yields what is seen, takes the action [B, N, A] that answers it."""

DAYS = 8
"""Days of the trial games, of which the first two only feed forecasts."""


@dataclass(frozen=True)
class Scene:
    """A place to put a policy on trial.

    Attributes
    ----------
    name : str
        For messages.
    spec : callable
        Seed -> Spec.
    walk : callable
        Learner, rows -> what it sees, step by step; each answer is sent back as an action [B, N, A]. Without a
        generator of its own the same rows see the same.
    learn : callable
        Learner, seed, rounds already done -> None: one round of training.
    loss : callable
        Learner -> float >= 0, how far it is from the known answer, as a share of the loss of doing nothing.
    brief : bool
        Whether only the form of actions is checked here (and what is learned, if it is the first that fits).
    """

    name: str
    spec: Callable[[int], Spec]
    walk: Callable[[Learner, Tensor], Walk]
    learn: Callable[[Learner, int, float], None]
    loss: Callable[[Learner], float]
    brief: bool = False


def retail_scene(game: Game, tariff: Tariff, answer: float, idle: float, name: str, brief: bool) -> Scene:
    """A retail game as a scene.

    Parameters
    ----------
    game : Game
        Of ``DAYS`` days.
    tariff : Tariff [T]
        Prices in ticks.
    answer, idle : float $
        Known least cost of the community per day, and what it pays without any decision.
    name : str
        For messages.
    brief : bool
        See ``Scene``.

    Returns
    -------
    Scene
        Days 2.. are training days.
    """
    days, arrival = torch.arange(2, DAYS), arrivals(game, 0)
    ground = Ground(game, days, arrival)

    def spec(seed: int) -> Spec:
        return Spec.of(game, portfolio_clusters(game), seed)

    def walk(learner: Learner, rows: Tensor) -> Walk:
        chosen = days[rows]
        state = game.reset(chosen, tariff.on(chosen), arrival[chosen], features=learner.reads_features)
        public = unpublished(learner, len(rows), game.community.prosumers).vector
        while state.step < game.community.steps:
            action = yield look(game, learner, state, public)
            before = state
            state, outcome = game.step(state, action, learner.heads)
            if reads_public(learner):
                public = publish(game, before, outcome, action).vector

    def learn(learner: Learner, seed: int, progress: float) -> None:
        budget = 1000
        rng, done = stream(seed + round(progress * budget), "days"), round(progress * budget)
        train(learner, ground, tariff, 12, rng, batch_days=12, done=done, budget=budget, evaluate_every=1000)

    def loss(learner: Learner) -> float:
        cost = float(play(game, learner, days, tariff, arrival).cost.mean())
        return (cost - answer) / (idle - answer)

    return Scene(name, spec, walk, learn, loss, brief)


def arena_scene(arena: Arena, idle: float, name: str, copies: int = 64) -> Scene:
    """An arena as a scene; the best return is 0.

    Parameters
    ----------
    arena : Arena
        Environment.
    idle : float
        Loss per agent and episode of doing nothing.
    name : str
        For messages.
    copies : int
        Episodes of a training round.

    Returns
    -------
    Scene
        Its walk starts from a stream that depends on the row.
    """

    def walk(learner: Learner, rows: Tensor) -> Walk:
        # All rows are drawn in the same order whatever is asked for, so row 3 alone sees what row 3 of many sees.
        seen = arena.reset(int(DAYS), torch_stream(7, "walk"))
        public = unpublished(learner, len(rows), arena.agents, retail=False).vector
        for step in range(arena.steps):
            action = yield Seen(type(seen)(*(part[rows] for part in seen)), None, step, public)
            if reads_public(learner):
                public = publish_actions(action).vector
            everyone = torch.zeros(int(DAYS), *action.shape[1:], dtype=action.dtype)
            everyone[rows] = action
            seen, _ = arena.step(everyone)

    def learn(learner: Learner, seed: int, progress: float) -> None:
        generator = torch_stream(seed + round(progress * 1000), "arena")
        learner.learn(episode(learner, arena, copies, generator, explore=True), progress)

    def loss(learner: Learner) -> float:
        return -float(mean_return(learner, arena, 64, 0).mean()) / idle

    return Scene(name, lambda seed: arena_spec(arena, seed), walk, learn, loss)


def scenes() -> list[Scene]:
    """Every scene; the first two have a known answer that a learner is asked to find.

    Returns
    -------
    list of Scene
        An arena, a retail game of equal homes, and lively retail games of both kinds of dispatch.
    """
    aim = Aim()
    equal, tariff = evening_game()
    least, idle = (per_home * equal.community.prosumers for per_home in (2.4, 4.0))
    # In the lively games nothing is known but that the market is busy.
    lively = [
        retail_scene(lively_game(dispatch), LIVELY_TARIFF, 0.0, 1.0, f"{dispatch} dispatch", dispatch != "committed")
        for dispatch in DISPATCHES
    ]
    known = retail_scene(equal, tariff, least, idle, "equal homes with a dear evening", brief=True)
    return [arena_scene(aim, aim.steps * aim.loss_of_the_blind, "aim"), known, *lively]


DISPATCHES: tuple[Dispatch, ...] = ("committed", "contingent")
LIVELY_TARIFF = Tariff.make(
    energy=np.array([0.04] * 7 + [0.11] * 10 + [0.33] * 4 + [0.11] * 3), network=0.11, sell=0.04
)


def fits(policy: Policy, scene: Scene) -> bool:
    """Whether a policy plays a scene, or refuses it with ``Misfit``.

    Parameters
    ----------
    policy : Policy
        On trial.
    scene : Scene
        Arena or retail game.

    Returns
    -------
    bool
        Any other exception is the policy's own and passes.
    """
    try:
        policy.start(scene.spec(0))
    except Misfit:
        return False
    return True


def lively_game(dispatch: Dispatch = "committed") -> Game:
    """Five different homes, some with PV, some with batteries, in a double auction.

    Parameters
    ----------
    dispatch : str
        See ``Game``.

    Returns
    -------
    Game
        Reward ``own``, so that limit prices matter too.
    """
    homes, hours = 5, np.arange(24 * DAYS) % 24
    rng = stream(0, "trial")
    load = rng.uniform(0.3, 0.6, (24 * DAYS, homes)) + 1.2 * ((hours >= 17) & (hours < 21))[:, None]
    sun = np.clip(np.sin((hours - 6) / 12 * np.pi), 0, None)[:, None] * rng.uniform(1, 3, DAYS).repeat(24)[:, None]
    has_pv = np.arange(homes) % 3 > 0
    battery = Battery.make(homes, has=np.arange(homes) % 2 == 0, wear_quadratic=0.03)
    return Game(_community(load, sun * has_pv, battery, 3.0 * has_pv), DoubleAuction(), reward="own", dispatch=dispatch)


def evening_game() -> tuple[Game, Tariff]:
    """Four equal homes without PV, each with a lossless battery that holds exactly the four dear hours of a day.

    Every home needs 1 kWh an hour. The night costs 0.10 $/kWh, hours 17 to 20 cost 0.50: without the battery a day
    costs 20 x 0.10 + 4 x 0.50 = 4.00 $ a home, at best 24 x 0.10 = 2.40 $. Nobody ever has anything to sell.

    Returns
    -------
    Game, Tariff
        Reward ``own``; raw actions, so that doing nothing leaves the store half full.
    """
    homes, hours = 4, np.arange(24 * DAYS) % 24
    load = np.ones((24 * DAYS, homes))
    battery = Battery.make(homes, max_kwh=4.0, power_kw=2.0, efficiency=1.0, start_kwh=2.0)
    dear = (hours[:24] >= 17) & (hours[:24] < 21)
    tariff = Tariff.make(energy=np.where(dear, 0.5, 0.1), sell=0.05)
    community = _community(load, 0 * load, battery, np.zeros(homes))
    return Game(community, DoubleAuction(), reward="own", action="raw"), tariff


def _community(load: np.ndarray, pv: np.ndarray, battery: Battery, kwp: np.ndarray) -> Community:
    clock = np.datetime64("2012-07-02", "m") + np.arange(24 * DAYS) * np.timedelta64(60, "m")
    names = tuple(f"home {i}" for i in range(load.shape[1]))
    to = torch.from_numpy
    return Community(names, clock, "UTC", 60, to(load), to(np.ascontiguousarray(pv)), battery, to(kwp), 2)
