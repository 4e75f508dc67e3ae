"""Does the gate keep its promise where rewards are skewed? Logs in which no policy gains, and logs in which one does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from whyrec.decide.deploy import deploy_check
from whyrec.decide.off_policy.rounds import Rounds
from whyrec.estimate import FloatArray
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part

_SEED = 20_263  # of logs that no choice was made on
MOST = 0.06
Reward = Callable[[np.random.Generator, FloatArray], FloatArray]


def losses(spread: float, share: float = 0.05) -> Reward:
    """Lognormal losses in a share of the rounds."""
    return lambda rng, new: -1.0 * (rng.random(len(new)) < share) * rng.lognormal(0, spread, len(new))


def gains(spread: float, share: float = 0.05, more: float = 1.0) -> Reward:
    """Lognormal gains in a share of the rounds, `more` times as many by the new action."""
    return lambda rng, new: (rng.random(len(new)) < share * more**new) * rng.lognormal(0, spread, len(new))


def returns(rng: np.random.Generator, new: FloatArray) -> FloatArray:
    """One round in ten buys, 15% of what is bought comes back at a cost."""
    value = (rng.random(len(new)) < 0.1) * rng.lognormal(3, 0.7, len(new))
    return np.asarray(np.where(rng.random(len(new)) < 0.15, -1.2 * value, value))


def refunds(rng: np.random.Generator, new: FloatArray) -> FloatArray:
    """A margin of 1 in every round, and a loss of 100 in eight of a thousand."""
    return np.asarray(1.0 - 100 * (rng.random(len(new)) < 0.008))


def clicks(more: float) -> Reward:
    """3% of the rounds, `more` times as many by the new action."""
    return lambda rng, new: (rng.random(len(new)) < 0.03 * more**new).astype(float)


NOTHING: dict[str, Reward] = {
    "losses, lognormal .5": losses(0.5), "losses, lognormal 1": losses(1), "losses, lognormal 1.5": losses(1.5),
    "losses, lognormal 2": losses(2), "rare large gains": gains(2, 0.01), "gains, lognormal 1": gains(1), "returns": returns,
    "refunds": refunds, "clicks": clicks(1), "normal": lambda rng, new: rng.normal(size=len(new)),
}  # fmt: skip
GAINS: dict[str, Reward] = {
    "gains, lognormal 1, doubled": gains(1, more=2),
    "clicks, doubled": clicks(2),
    "normal, .2 more": lambda rng, new: rng.normal(size=len(new)) + 0.2 * new,
}


def log(rng: np.random.Generator, reward: Reward, tried: float, rounds: int = 3_000) -> Rounds:
    """Rounds of a policy that takes the new action with chance `tried`, beside one that always does."""
    new = (rng.random(rounds) < tried).astype(float)
    return Rounds.of(reward(rng, new), np.where(new == 1, tried, 1 - tried), new)


def gate(
    logs: int = 1_000, *, tried: tuple[float, ...] = (0.1, 0.3, 0.5), kinds: tuple[str, ...] = (), draws: int = 300,
    random_state: int = 0,
) -> Part:  # fmt: skip
    """Share of logs that pass: of no gain at most 6% each; of a gain it is reported. kinds: of rewards, all where none is named."""
    rows, claims = [], []
    for rewards, gained in ((NOTHING, False), (GAINS, True)):
        for number, (name, reward) in enumerate(rewards.items()):
            if kinds and name not in kinds:
                continue
            for share in tried:
                passed, few = 0, 0
                for k in track(range(logs), f"Gate: {name}, {share:.0%} tried", total=logs):
                    rng = np.random.default_rng([_SEED, random_state, number, k, int(100 * share)])
                    found = deploy_check(log(rng, reward, share), draws=draws, random_state=k)
                    passed += found.deploy
                    few += any("carry half" in reason for reason in found.reasons)
                rows.append(
                    {
                        "rewards": name,
                        "gain": gained,
                        "tried": share,
                        "passed": passed / logs,
                        "too few decide": few / logs,
                    }
                )
                if not gained:
                    words = f"{name}, new action tried in {share:.0%}: {passed / logs:.3f} of {logs:,} logs without a gain pass"
                    claims.append(
                        Claim(f"{words} (at most {MOST})", passed / logs <= MOST + 3 * np.sqrt(0.05 * 0.95 / logs))
                    )
    return Part.of(
        "gate", "The deploy gate under skewed rewards", pl.DataFrame(rows),
        "3,000 rounds of a policy that tries a new action now and then; rewards have nothing to do with the action, or gain by it. too "
        "few decide: refused because fewer than 5 rounds carry half of what the policy earns", tuple(claims),
    )  # fmt: skip
