"""MB-A3C3: A3C3 with a world model of clustered homes that forecasts trades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hmarl.nets.bodies import BodyName
from hmarl.policies.a3c3 import A3C3
from hmarl.policies.base import Misfit, Spec
from hmarl.policies.ranges import check_ranges
from hmarl.world_model import ModelName

if TYPE_CHECKING:
    from hmarl.policies.mb_a3c3_learner import MBA3C3Learner

ModelClusters = Literal["none", "random", "location", "euclidean", "dtw"]
Use = Literal["forecast", "lookahead", "dyna"]
Agents = Literal["home", "per-cluster"]


@dataclass(frozen=True)
class MBA3C3(A3C3):
    """A3C3 whose actors read a world model's forecast of what they will trade in this step, and at which price.

    Three modules: (1) A3C3 plays training days without forecasts (inputs 0); (2) homes are grouped by what they traded
    on an average day; (3) one forecaster per group and target is fitted to the trails of its homes, and again every
    ``refit_days``, since trails depend on the policy. From then on the forecast is part of the observation while
    learning and while playing.

    Plays: the retail game; lookahead and dyna under reward own, with batteries as the only devices

    Source: Sanayha and Vateekul (2022), IEEE Access 10:127882, doi 10.1109/ACCESS.2022.3224460.

    Deviations (paper / ours / why):

    ============== ================================ ================================ ==================================
    what           paper                            ours                             why
    ============== ================================ ================================ ==================================
    forecast       joins the state (eq. 1), for     joins it in training too         weights of an input that is never
                   testing                                                           there are never learned
    window         24 h back                        the day so far                   training days come in any order
    best of        the action with the largest      ``use: lookahead``: candidates   the paper's argmax is myopic and
    actions        reward (algorithm 1, step 5)     with eq. (3) + V(next)           would sell every store at once
    Dyna           named, no equations              ``use: dyna``: imagined steps    store by the game's physics, loads
                                                    of length 1 from real states     from data; price and fill modelled
    clusters       k-means with DTW, k = 4          k-medoids with DTW; k by elbow   same seed, same groups
                                                    and silhouette, or ``number``
    agents         one per cluster at 300 homes     one per home; ``per-cluster``    homes of a cluster differ in store
                                                                                     and need
    random groups  k groups                         as large as those of DTW         only the choice differs
    models         LSTM, GRU, transformer; sizes    64 units; width 64, 2 blocks,    not given
                   in an external table             4 heads; Huber loss, Adam 1e-3
    body           Conv1d, window not given         two Conv1d of 32, window 8       as in A3C3
    ============== ================================ ================================ ==================================

    Parameters
    ----------
    body : str
        As in A3C3.
    model : str
        ``lstm``, ``gru`` or ``transformer``.
    clusters : str
        Homes that share forecasters: by traded quantity (``dtw``, ``euclidean``), by postcode (``location``), by chance
        (``random``), or ``none``: forecasters of its own for each home.
    number : int, optional
        k of ``dtw``, ``euclidean`` and ``random``; the best silhouette near the elbow if left out.
    use : str
        ``forecast``: as an input. ``lookahead``: also, without exploration, the best of several candidate actions is
        played, by the critic, which sees all homes. ``dyna``: also, imagined steps join each update.
    agents : str
        ``home``; ``per-cluster``: one agent decides for all homes of a cluster, on the mean of what they see. Its
        clusters are those of ``clusters``, by the mean day without batteries, known before anything is traded.
    warm_days : int
        Training days without forecasts.
    refit_days : int
        Training days from one fit to the next.
    memory_days : int
        Days that a fit looks back at, at most; fewer above 40 homes.
    model_epochs : int
        Passes of a fit, at most.
    candidates : int
        Actions around the policy's own that ``lookahead`` compares, besides it and the model's.
    dyna_weight : float 0..0.5
        Of imagined against real steps.
    episodes, retrain_episodes, batch_days, workers, head, message, pooling, critic, passes, parts, clip
        See A3C3; ``workers`` must be 0.
    learning_rate, final_learning_rate, gamma, gae, entropy, noise, gradient_limit, normalise, hidden, encoder
        See A3C3.
    activation, sharing, price, blocks
        See A3C3.
    """

    body: BodyName = "conv1d"
    model: ModelName = "lstm"
    clusters: ModelClusters = "dtw"
    number: int | None = None
    use: Use = "forecast"
    agents: Agents = "home"
    warm_days: int = 960
    refit_days: int = 1920
    memory_days: int = 192
    model_epochs: int = 30
    candidates: int = 8
    dyna_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        least = {
            "warm_days": 1,
            "refit_days": 1,
            "memory_days": 2,
            "model_epochs": 1,
            "candidates": 0,
            "dyna_weight": 0,
        }
        check_ranges(self, least=least)
        wrong = []
        if self.number is not None and self.number < 1:
            wrong.append(f"number is {self.number}; it must be at least 1, or left out")
        if self.dyna_weight > 0.5:
            wrong.append(f"dyna_weight is {self.dyna_weight}; it must be at most 0.5")
        if self.workers:
            wrong.append(f"workers is {self.workers}; the world model is fitted in one process, so it must be 0")
        if self.agents == "per-cluster" and self.clusters == "none":
            wrong.append("agents is 'per-cluster' without clusters; name clusters or choose agents home")
        if self.agents == "per-cluster" and self.use != "forecast":
            wrong.append(f"use is {self.use!r}, which acts for single homes; choose agents home or use forecast")
        if wrong:
            raise ValueError("; ".join(wrong))

    @property
    def private(self) -> bool:
        """Whether a home acts on its own: under ``lookahead`` it asks a critic that sees all homes."""
        return self.use != "lookahead" and self.agents == "home"

    @classmethod
    def paper(cls) -> MBA3C3:
        """The published values where they are known: Conv1d, LSTM, four DTW clusters, 4,000 episodes.

        Returns
        -------
        MBA3C3
            The rest as in ``A3C3.paper``.
        """
        base = {k: v for k, v in vars(A3C3.paper()).items() if k != "body"}
        return cls(**base, number=4)

    def start(self, spec: Spec) -> MBA3C3Learner:
        """Start the learners.

        Parameters
        ----------
        spec : Spec
            Of a retail game (streams ``weights``, ``exploration``, ``world model`` and ``clusters``).

        Returns
        -------
        MBA3C3Learner
            Without a world model yet.

        Raises
        ------
        Misfit
            If there is no retail game, or imagined rewards would not be those of the game.
        """
        from hmarl.policies.mb_a3c3_learner import MBA3C3Learner  # noqa: PLC0415  the learner needs the recipe

        game = spec.retail
        beyond = {
            f"reward {game.reward}": game.reward != "own",
            f"dispatch {game.dispatch}": game.dispatch != "committed",
            "curtailment": game.curtail,
            "devices besides batteries": game.equipment.present,
            "a price on its peak": game.peak is not None and game.peak.rule != "report",
        }
        if self.use != "forecast" and any(beyond.values()):
            raise Misfit(
                f"followers.use {self.use!r} imagines the own bill of committed moves of batteries, but the game has "
                f"{', '.join(name for name, there in beyond.items() if there)}; choose use forecast, or drop these."
            )
        return MBA3C3Learner(self, spec)
