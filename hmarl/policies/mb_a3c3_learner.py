"""The live MB-A3C3: A3C3 on observations that a world model has added to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from hmarl.clustering import Method, group, mean_days
from hmarl.imagination import Imagination
from hmarl.nets.bodies import Carried
from hmarl.policies.a3c3_learner import A3C3Learner
from hmarl.policies.base import Misfit, Rollout, Seen, Spec
from hmarl.policies.mb_a3c3 import MBA3C3
from hmarl.readings import Readings
from hmarl.world_model import Trail, WorldModel, fit, inputs, predict, trail
from retail.observation import PRICE_SCALE, Features
from retail.streams import torch_stream

FORECASTS = 2
ROWS = 8192
"""Days times homes that a fit looks back at, at most."""
UNKNOWN = ("community_net", "community_today_against_expected")
"""Common features of the next step that nobody knows in this one."""


class MBA3C3Learner(A3C3Learner):
    """Live learners and their world model; see `hmarl.policies.mb_a3c3.MBA3C3`."""

    policy: MBA3C3

    def __init__(self, policy: MBA3C3, spec: Spec) -> None:
        self.game, self.homes = spec.retail, spec
        self.readings, self.imagination = Readings(self.game), Imagination(self.game)
        _check(policy, spec)
        agents = replace(spec, personal=spec.personal + FORECASTS)
        self.labels: Tensor | None = None
        if policy.agents == "per-cluster":
            days = self.game.scale_days
            every = torch.arange(self.game.community.days) if days is None else days
            self.labels = self._grouped_by(policy, mean_days(self.game, every))
            count = int(self.labels.max()) + 1
            decides = torch.stack([spec.controls[self.labels == k].any(0) for k in range(count)])
            agents = replace(agents, agents=count, controls=decides, clusters=torch.arange(count))
            member = torch.nn.functional.one_hot(self.labels).T.float()
            self.mix = member / member.sum(1, keepdim=True)
        super().__init__(policy, agents)
        self.world = torch_stream(spec.seed, "world model")
        self.model: WorldModel | None = None
        self.trails: Trail | None = None
        self.series: Tensor | None = None
        self.days_seen, self.next_fit = 0, policy.warm_days
        self.before: Features | None = None
        self.remembered: Carried = None
        self.raw: Features | None = None

    def _grouped_by(self, policy: MBA3C3, series: Any) -> Tensor:
        """Labels of homes by their days [N, T]."""
        homes = self.homes
        if policy.clusters == "none":
            return torch.arange(homes.agents)
        method: Method = policy.clusters
        given = {"number": policy.number, "postcodes": homes.postcodes, "series": series}
        return group(self.game, torch.empty(0, dtype=torch.int64), method, homes.seed, **given).labels

    def _agents(self, features: Features) -> Features:
        """What agents see of what homes see; cluster agents see the mean of their homes."""
        if self.labels is None:
            return features
        return Features(features.common, torch.matmul(self.mix, features.personal))

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Forecast, then act as A3C3; under ``lookahead`` the best candidate when not exploring.

        Parameters
        ----------
        seen : Seen
            Of all homes.
        explore : bool
            Sample (stream ``exploration``).

        Returns
        -------
        Tensor [B, N, A] float32
            One column for each of ``heads``; zero for those with nothing to decide.
        """
        if seen.step == 0:
            self.before, self.remembered = None, None
        forecast = self._next_forecast(seen.features)
        own = torch.cat([seen.features.personal, forecast], -1)
        features = self._agents(Features(seen.features.common, own))
        action = super().act(Seen(features, seen.whole, seen.step), explore)
        if self.labels is not None:
            action = action[:, self.labels] * self._moves()
        elif self.policy.use == "lookahead" and self.model is not None and not explore:
            action = self._best(seen, features, action)
        return action

    def _moves(self) -> Tensor:
        """Which heads move anything, [N, A]."""
        return self.homes.controls[:, [self.homes.heads.index(h) for h in self.heads]].float()

    def _next_forecast(self, features: Features) -> Tensor:
        """Forecast of this step, [B, N, 2]; zeros as long as there is no model."""
        batch, homes, _ = features.personal.shape
        if self.model is None:
            return torch.zeros(batch, homes, FORECASTS)
        known = [features] if self.before is None else [self.before, features]
        stretch = Features(*(torch.stack(part) for part in zip(*known, strict=True)))
        common, personal = inputs(self.readings, stretch)
        quantity, price, self.remembered = predict(self.model, common[-1:], personal[:, -1:], self.remembered)
        self.before = features
        return torch.stack([quantity[0], price[0]], -1)

    def _forecasts(self, features: Features) -> Tensor:
        """Forecasts of whole days, [T + 1, B, N, 2]."""
        if self.model is None:
            return torch.zeros(*features.personal.shape[:3], FORECASTS)
        quantity, price, _ = predict(self.model, *inputs(self.readings, features))
        return torch.stack([quantity, price], -1)

    def learn(self, rollout: Rollout, progress: float) -> Mapping[str, float]:
        """Gradient steps on a batch of days, and now and then a fit of the world model.

        Parameters
        ----------
        rollout : Rollout
            Of all homes.
        progress : float
            Share of ``episodes`` used.

        Returns
        -------
        mapping of str to float
            As A3C3; after a fit also its errors and the number of clusters.
        """
        own = torch.cat([rollout.features.personal, self._forecasts(rollout.features)], -1)
        features = self._agents(Features(rollout.features.common, own))
        action, reward = rollout.action, rollout.reward
        if self.labels is not None:
            first = torch.stack([self._decider(self.labels == k) for k in range(self.spec.agents)])
            action, reward = action[:, :, first], torch.matmul(reward, self.mix.T)
        self.raw = rollout.features
        scalars = dict(super().learn(Rollout(features, action, reward, rollout.terminated), progress))
        self.raw = None
        days = trail(self.readings, rollout.features)
        most = min(self.policy.memory_days, max(2, ROWS // self.homes.agents))
        self.trails = days if self.trails is None else self.trails.and_then(days, most)
        self.days_seen += days.days
        if self.days_seen >= self.next_fit:
            scalars |= self._fit(self.trails)
        return scalars

    def _decider(self, members: Tensor) -> Tensor:
        """A home of a cluster [N] bool that shows what its agent did: one whose battery moves, if any."""
        mine = members.nonzero().flatten()
        return mine[self._moves()[mine].sum(1).argmax()]

    def _fit(self, trails: Trail) -> dict[str, float]:
        """Fit the world model, after grouping homes the first time."""
        if self.model is None:
            self.series = trails.target[0].mean(1).T.contiguous()
            labels = self.labels
            if labels is None:
                labels = self._grouped_by(self.policy, self.series.double().numpy())
            self.model = WorldModel(self.policy.model, labels, self.homes.steps, self.world)
        self.next_fit = self.days_seen + self.policy.refit_days
        made = fit(self.model, trails, self.readings.size, epochs=self.policy.model_epochs)
        return made | {"model_clusters": float(self.model.clusters_modelled)}

    def calibrate(self, rollout: Rollout) -> None:
        """As A3C3; forecasts, which are 0 in the first days, keep their own scale."""
        super().calibrate(rollout)
        self.standard.mean.personal[-FORECASTS:] = 0.0
        self.standard.scale.personal[-FORECASTS:] = 1.0

    def prepare(self, rollout: Rollout) -> dict[str, Tensor]:
        """As A3C3; imagined steps need the features as homes see them."""
        data = super().prepare(rollout)
        if self.policy.use == "dyna" and self.model is not None and self.raw is not None:
            data |= {"raw_common": self.raw.common, "raw_personal": self.raw.personal}
        return data

    def further(self, data: dict[str, Tensor], output: Tensor, value: Tensor) -> Tensor | float:
        """Under ``dyna``: one imagined step from every real state, judged by its reward and the value after it."""
        if "raw_common" not in data:
            return 0.0
        p, everybody = self.policy, data["everybody"]
        with torch.no_grad():
            action = self.density.sample(output, self.free.expand(*output.shape[:-1], -1), self.noise)
            reward, after = self._imagined(data, action)
            own = torch.cat([after, everybody[1:, ..., -FORECASTS:]], -1)
            common, shown = data["common"][1:], everybody[1:]
            scaled = (own - self.standard.mean.personal) / self.standard.scale.personal
            rows = self.grouped(scaled.clamp(-5, 5)).flatten(1, 2)
            then = self.critic(common.flatten(0, 1), shown.flatten(0, 1), rows).unflatten(1, tuple(common.shape[:2]))
            if bool(data["terminated"]):
                then[:, -1] = 0
            better = self.grouped(reward.unsqueeze(-1)) / self.reward_scale + p.gamma * then - value[:, :-1]
            better = self.normalised(better) if p.normalise else better
        log = self.density.log_probability(output, self.free, action)
        return -p.dyna_weight * (log * better * self.share(log)).sum()

    def _imagined(self, data: dict[str, Tensor], action: Tensor) -> tuple[Tensor, Tensor]:
        """Rewards [T, B, N] and next personal features [T, B, N, P] of actions [G, T, B, K, A]."""
        raw, everybody = Features(data["raw_common"], data["raw_personal"]), data["everybody"]
        steps, batch, homes = action.shape[1], action.shape[2], everybody.shape[2]
        full = torch.zeros(steps * batch, homes, action.shape[-1])
        full[:, self.groups.agents] = self.groups.scatter(action.flatten(1, 2))
        full = full.unflatten(0, (steps, batch))
        dearest = self.readings.price(raw, "buy")[:-1].amax(0)
        rewards, after = [], []
        for t in range(steps):
            now, then = (Features(*(part[k] for part in raw)) for k in (t, t + 1))
            asked = dict(zip(self.heads, full[t].unbind(-1), strict=True))
            made = self.imagination.step(now, t, asked, everybody[t, ..., -FORECASTS:].unbind(-1), dearest)
            rewards.append(made.reward.float())
            after.append(self.readings.moved_on(then, made.stored, made.traded, made.paid))
        return torch.stack(rewards), torch.stack(after)

    def _best(self, seen: Seen, features: Features, action: Tensor) -> Tensor:
        """The candidate with the largest imagined reward and value of what comes after, for each home."""
        forecast = features.personal[..., -FORECASTS:].unbind(-1)
        state, step = seen.state, seen.step
        dearest = state.tariff.dollars.buy.amax(-1, keepdim=True)
        best, chosen = torch.full(action.shape[:2], -torch.inf), action
        with torch.no_grad():
            for candidate in self._candidates(seen.features, forecast, action):
                asked = dict(zip(self.heads, candidate.unbind(-1), strict=True))
                made = self.imagination.step(seen.features, step, asked, forecast, dearest)
                score = made.reward.float() / self.reward_scale
                if not (step == self.homes.steps - 1 and self.game.terminates):
                    after = self.readings.moved_on(seen.features, made.stored, made.traded, made.paid)
                    score = score + self.policy.gamma * self._worth(seen, features, after)
                better = score > best
                best = torch.where(better, score, best)
                chosen = torch.where(better.unsqueeze(-1), candidate, chosen)
        return chosen * self._moves()

    def _candidates(self, features: Features, forecast: tuple[Tensor, ...], action: Tensor) -> list[Tensor]:
        """The policy's action, some around it, and the one that trades as the model says."""
        found = [action]
        if "battery" in self.heads:
            place, count = self.heads.index("battery"), self.policy.candidates
            for k in range(count):
                other = action.clone()
                other[..., place] += self.policy.noise * NormalDist().inv_cdf((k + 0.5) / count)
                found.append(other.clamp(-1, 1))
            model = action.clone()
            quantity = forecast[0].double() * self.readings.size
            model[..., place] = self.imagination.head_for(features, quantity).float()
            if "price" in self.heads:
                buy, sell = (self.readings.price(features, name) for name in ("buy", "sell"))
                share = (forecast[1] * PRICE_SCALE - sell) / (buy - sell).clamp(min=1e-9)
                model[..., self.heads.index("price")] = (2 * share - 1).clamp(-1, 1).float()
            found.append(model)
        return found

    def _worth(self, seen: Seen, features: Features, after: Tensor) -> Tensor:
        """Value [B, N] of the next step: its clock and tariff are known, loads and the others stay as they are."""
        observer, state = self.game.observer, seen.state
        common = features.common.clone()
        if seen.step + 1 < self.homes.steps:
            known = state.outlook.common[seen.step + 1]
            common[:, : known.shape[-1]] = known
            for name in UNKNOWN:
                if name in observer.common_names:
                    place = observer.common_names.index(name)
                    common[:, place] = features.common[:, place]
        own = torch.cat([after, features.personal[..., -FORECASTS:]], -1)
        common, own = self.standard(Features(common, own))
        _, everybody = self.standard(features)
        value = torch.zeros(*own.shape[:2])
        value[:, self.groups.agents] = self.groups.scatter(self.critic(common, everybody, self.groups.gather(own)))[
            ..., 0
        ]
        return value

    def state(self) -> dict[str, Any]:
        """As A3C3, with the world model and the days it looks back at."""
        trails = None if self.trails is None else vars(self.trails)
        return super().state() | {
            "world": self.world.get_state(),
            "model": None if self.model is None else self.model.state(),
            "trails": None if trails is None else {k: v.clone() for k, v in trails.items()},
            "series": self.series,
            "counted": [self.days_seen, self.next_fit],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict
            From ``state`` of the same policy and spec.
        """
        super().load(state)
        self.model = None
        if state["model"] is not None:
            self.model = WorldModel(self.policy.model, state["model"]["clusters"], self.homes.steps, self.world)
            self.model.load(state["model"])
        self.world.set_state(state["world"])
        self.trails = None if state["trails"] is None else Trail(**state["trails"])
        self.series = state["series"]
        self.days_seen, self.next_fit = state["counted"]


def _check(policy: MBA3C3, spec: Spec) -> None:
    """Refuse groups that cannot be made, before training starts."""
    if policy.clusters == "location" and (len(spec.postcodes) != spec.agents or not any(spec.postcodes)):
        raise Misfit(
            "followers.clusters 'location' needs postcodes, which this source does not give; choose dtw, euclidean, "
            "random or none."
        )
    if policy.number is not None and policy.number > spec.agents:
        raise Misfit(f"followers.number asks for {policy.number} clusters of {spec.agents} homes; lower it.")
