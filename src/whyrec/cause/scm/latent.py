"""An unmeasured common cause Z seen through proxies, by amortised variational inference: CEVAE.

    z ~ N(0, I),  proxies | z, c,  t | z, c,  y | t, z, c,      q(z | proxies, t, y, c) = N(mu, diag sigma^2) by a network

fitted by the evidence lower bound (Louizos, Shalit, Mooij, Sontag, Zemel and Welling 2017). With linear decoders and at least
three proxies that depend on each other through Z only, Z is identified (Kuroki and Pearl 2014); otherwise what comes out hangs
on choices that no data settle (Rissanen and Marttinen 2021), so the answer is always given with its spread over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.inputs import binary_treatment, cluster_codes, feature_matrix, numbers
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, jsonable, normal_quantile
from whyrec.progress import track

if TYPE_CHECKING:
    from torch import Tensor

ASSUMPTIONS = (
    "given Z and the covariates the proxies, the treatment and the outcome share no other cause",
    "Z is normal of the dimension given, and the decoders have the form given",
)


@dataclass(frozen=True)
class Variant:
    """One fit under other choices: what was varied, the effect, and the evidence lower bound a row."""

    choice: str
    effect: float
    bound: float


@dataclass(frozen=True)
class LatentSensitivity:
    """How far the answer hangs on what was assumed of Z.

    adjusted: the effect with proxies and covariates as plain confounders (no Z). variants: other dimensions, decoders and
    seeds; low, high: their range, the fit itself included.
    """

    estimate: float
    adjusted: float
    variants: tuple[Variant, ...]
    low: float
    high: float
    words: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        content: dict[str, Any] = jsonable({**vars(self), "variants": [vars(v) for v in self.variants]})
        return content

    def to_text(self) -> str:
        """A line a variant, and the sentence."""
        lines = [f"  {v.choice}: {v.effect:+.4g} (bound {v.bound:.4f})" for v in self.variants]
        return "\n".join([self.words, *lines])


class LatentCauseModel:
    """Effect of a binary treatment with a hidden cause, from proxies.

    latent: dimensions of Z. decoder: "linear", or "network" of one hidden layer. steps: of Adam. repeats: refits under
    exponential weights of the clusters, from other seeds: their spread makes the interval. loadings: None to learn how Z moves
    treatment and outcome, or the two assumed: log odds of treatment, and outcome in its standard deviations (log odds where it is 0 or 1), for one of Z.

    After `fit`: `effect_` (Estimate), `unit_effects_` (n,), `sensitivity_` (LatentSensitivity).
    """

    def __init__(
        self,
        latent: int = 1,
        *,
        decoder: Literal["linear", "network"] = "linear",
        hidden: int = 32,
        steps: int = 1_200,
        repeats: int = 5,
        loadings: tuple[float, float] | None = None,
        level: float = 0.95,
        random_state: int = 0,
    ) -> None:
        self.latent = latent
        self.decoder = decoder
        self.hidden = hidden
        self.steps = steps
        self.repeats = repeats
        self.loadings = loadings
        self.level = level
        self.random_state = random_state

    def fit(
        self,
        proxies: ArrayLike | None,
        treatment: ArrayLike,
        outcome: ArrayLike,
        *,
        covariates: ArrayLike | None = None,
        clusters: ArrayLike | None = None,
        variants: bool = True,
    ) -> Self:
        """Learn from proxies (n, p), treatment (n,) of 0 and 1, outcome (n,) of numbers or of 0 and 1, covariates (n, d).

        Without proxies nothing tells Z from noise: BadInput, unless `loadings` are assumed. variants: whether to fit the
        others of `sensitivity_` too.
        """
        if self.latent < 1 or self.steps < 1 or self.repeats < 0:
            raise BadInput(f"latent={self.latent}, steps={self.steps}, repeats={self.repeats}: give positive numbers")
        if self.decoder not in ("linear", "network"):
            raise BadInput(f"decoder={self.decoder!r}: choose 'linear' or 'network'")
        if self.loadings is not None and self.latent != 1:
            raise BadInput("loadings: assumed for one dimension of Z; pass latent=1")
        n = len(np.asarray(treatment).ravel())
        if n == 0:
            raise BadInput("treatment: no rows; there is nothing to learn from")
        if proxies is None and self.loadings is None:
            raise BadInput(
                "no proxies: nothing would tell Z from noise; give columns that Z moves, or assume how strong it is with loadings"
            )
        x = np.zeros((n, 0)) if proxies is None else feature_matrix(proxies, None)[0]
        c = np.zeros((n, 0)) if covariates is None else feature_matrix(covariates, None)[0]
        for name, part in (("proxies", x), ("covariates", c)):
            if len(part) != n:
                raise BadInput(f"{name}: {len(part):,} rows, treatment {n:,}")
        still = np.flatnonzero(x.std(axis=0) <= 1e-12)
        if len(still):
            raise BadInput(f"proxies: column {int(still[0])} is constant and says nothing of Z; leave it out")
        t, y = binary_treatment(treatment, n), numbers(outcome, "outcome", n)
        if np.all(y == y[0]):
            raise BadInput(f"outcome: all {n:,} values are {y[0]:g}; a constant outcome has no effect to estimate")
        groups = np.arange(n) if clusters is None else cluster_codes(clusters, n)[:, 0]
        self.data_ = _Data.of(x, c, t, y)
        even = np.ones(n)
        self.network_ = self._network(self.latent, self.decoder, even, self.random_state)
        self.unit_effects_ = self._units(self.network_)
        value = float(self.unit_effects_.mean())
        draws = []
        for repeat in track(range(self.repeats), "Refits of the latent cause"):
            generator = np.random.default_rng([self.random_state, repeat])
            weight = generator.exponential(size=int(groups.max()) + 1)[groups]
            again = self._network(self.latent, self.decoder, weight, self.random_state + 1 + repeat)
            draws.append(float(np.average(self._units(again), weights=weight)))
        error = float(np.std(draws, ddof=1)) if len(draws) > 1 else float("nan")
        # few refits: the quantile of Student's t makes up for the error's own error
        from scipy.stats import t as student

        half = error * (
            float(student.ppf(0.5 + self.level / 2, len(draws) - 1)) if len(draws) > 1 else normal_quantile(self.level)
        )
        self.effect_ = Estimate(
            estimate=value, interval=(value - half, value + half), standard_error=error, n=int(groups.max()) + 1,
            estimand="E[Y | do(A = 1)] - E[Y | do(A = 0)]", method="latent cause (CEVAE)", level=self.level,
            assumptions=ASSUMPTIONS, diagnostics={"refits": draws, "bound": self.network_.bound},
        )  # fmt: skip
        self.sensitivity_ = self._sensitivity(value) if variants else None
        return self

    def counterfactual(
        self,
        proxies: ArrayLike | None,
        treatment: ArrayLike,
        outcome: ArrayLike,
        do: float,
        *,
        covariates: ArrayLike | None = None,
        draws: int = 200,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Outcome of cases had the treatment been `do`: expected, and the ends of its interval, each (n,).

        Z is drawn from its posterior given the case; a continuous outcome keeps its noise, y + f_do(z) - f_t(z); one of 0 and 1
        moves monotonely with its chance. The interval is that of the posterior of Z, not of the model's parameters.
        """
        import torch

        if do not in (0, 1):
            raise BadInput(f"do={do!r}: the treatment is 0 or 1")
        n = len(np.asarray(treatment).ravel())
        x = np.zeros((n, 0)) if proxies is None else feature_matrix(proxies, None)[0]
        c = np.zeros((n, 0)) if covariates is None else feature_matrix(covariates, None)[0]
        t, y = numbers(treatment, "treatment", n), numbers(outcome, "outcome", n)
        data = self.data_.like(x, c, t, y)
        normal = np.random.default_rng(self.random_state).standard_normal((draws, 1, self.latent))
        with torch.no_grad():
            mean, spread = self.network_.encode(data)
            z = mean[None] + spread[None] * torch.as_tensor(normal, dtype=mean.dtype)
            seen, other = (
                self.network_.outcome_mean(z, data.c[None].expand(draws, -1, -1), torch.as_tensor(arm)[None, :, None])
                for arm in (data.t.numpy(), np.full(n, float(do), dtype=np.float32))
            )
        before, after = seen.numpy().astype(np.float64), other.numpy().astype(np.float64)
        if self.data_.binary:
            p, q = (np.clip(part, 1e-6, 1 - 1e-6) for part in (before, after))
            values = np.where(y == 1, np.minimum(1.0, q / p), np.maximum(0.0, (q - p) / (1 - p)))
        else:
            values = y + self.data_.scale * (after - before)
        tail = 0.5 - self.level / 2
        low, high = np.quantile(values, [tail, 1 - tail], axis=0)
        return values.mean(axis=0), low, high

    def _network(self, latent: int, decoder: str, weight: FloatArray, seed: int) -> _Network:
        return _Network(self.data_, latent, decoder, self.hidden, self.loadings, seed).train(
            self.data_, weight, self.steps, seed
        )

    def _units(self, network: _Network) -> FloatArray:
        """Effect of each row at the posterior of its Z, (n,)."""
        import torch

        with torch.no_grad():
            mean, spread = network.encode(self.data_)
            normal = torch.as_tensor(np.random.default_rng(0).standard_normal((16, 1, mean.shape[1])), dtype=mean.dtype)
            z = mean[None] + spread[None] * torch.cat([normal, -normal])
            c = self.data_.c[None].expand(len(z), -1, -1)
            treated, control = (
                network.outcome_mean(z, c, torch.full((1, 1, 1), float(arm))).mean(dim=0) for arm in (1, 0)
            )
            difference: FloatArray = (treated - control).numpy().astype(np.float64)
        return difference * (1.0 if self.data_.binary else self.data_.scale)

    def _sensitivity(self, value: float) -> LatentSensitivity:
        even = np.ones(len(self.data_.t))
        choices = [(1, "linear", 11), (2, "linear", 12), (3, "linear", 13), (1, "network", 14), (2, "network", 15)]
        if self.loadings is not None:
            choices = [(1, "linear", 11), (1, "network", 14)]
        found = []
        for latent, decoder, seed in track(choices, "Other assumptions on the latent cause"):
            network = self._network(latent, decoder, even, self.random_state + seed)
            name = f"{latent} dimension{'s' * (latent > 1)}, {decoder} decoders, another seed"
            found.append(Variant(name, float(self._units(network).mean()), network.bound))
        every = [value, *(variant.effect for variant in found)]
        low, high, adjusted = min(every), max(every), self.data_.adjusted()
        words = (
            f"With Z as assumed the effect is {value:+.4g}; other dimensions, decoders and seeds give {low:+.4g} to {high:+.4g}; "
            f"without Z, adjusting for the proxies themselves, {adjusted:+.4g}. "
            + (
                "The choices change the sign: the data do not settle the effect."
                if low < 0 < high
                else "No choice tried changes the sign."
            )
        )
        return LatentSensitivity(value, adjusted, tuple(found), low, high, words)


@dataclass(frozen=True)
class _Data:
    """Standardised tensors; scale: standard deviation of the outcome (1 where it is binary)."""

    x: Tensor
    c: Tensor
    t: Tensor
    y: Tensor
    flags: tuple[bool, ...]
    binary: bool
    centre: float
    scale: float
    x_stats: tuple[FloatArray, FloatArray]
    c_stats: tuple[FloatArray, FloatArray]

    @classmethod
    def of(cls, x: FloatArray, c: FloatArray, t: Any, y: FloatArray) -> _Data:
        flags = tuple(bool(np.all((column == 0) | (column == 1))) for column in x.T)
        binary = bool(np.all((y == 0) | (y == 1)))
        mean, spread = x.mean(axis=0), x.std(axis=0)
        mean, spread = np.where(flags, 0.0, mean), np.where(flags, 1.0, np.maximum(spread, 1e-12))
        c_spread = np.where(c.std(axis=0) > 1e-12, c.std(axis=0), 1.0)
        centre, scale = (0.0, 1.0) if binary else (float(y.mean()), float(y.std()))
        return cls._made(x, c, t, y, flags, binary, centre, scale, (mean, spread), (c.mean(axis=0), c_spread))

    def like(self, x: FloatArray, c: FloatArray, t: Any, y: FloatArray) -> _Data:
        """Other cases in the same scale; BadInput for other columns."""
        for name, part, size in (("proxies", x, self.x.shape[1]), ("covariates", c, self.c.shape[1])):
            if part.shape[1] != size:
                raise BadInput(f"{name}: {part.shape[1]} columns; the model was fitted on {size}")
        return self._made(x, c, t, y, self.flags, self.binary, self.centre, self.scale, self.x_stats, self.c_stats)

    @classmethod
    def _made(
        cls, x: FloatArray, c: FloatArray, t: Any, y: FloatArray, flags: tuple[bool, ...], binary: bool, centre: float,
        scale: float, x_stats: tuple[FloatArray, FloatArray], c_stats: tuple[FloatArray, FloatArray],
    ) -> _Data:  # fmt: skip
        import torch

        def tensor(values: Any) -> Tensor:
            return torch.as_tensor(np.asarray(values), dtype=torch.float32)

        return cls(
            tensor((x - x_stats[0]) / x_stats[1]), tensor((c - c_stats[0]) / c_stats[1]), tensor(t), tensor((y - centre) / scale),
            flags, binary, centre, scale, x_stats, c_stats,
        )  # fmt: skip

    def adjusted(self) -> float:
        """Effect by least squares with proxies and covariates as they are."""
        design = np.column_stack([self.t.numpy(), np.ones(len(self.t)), self.x.numpy(), self.c.numpy()])
        return float(np.linalg.lstsq(design, self.y.numpy(), rcond=None)[0][0]) * self.scale


class _Network:
    """Encoder and decoders, trained by the evidence lower bound."""

    def __init__(
        self, data: _Data, latent: int, decoder: str, hidden: int, loadings: tuple[float, float] | None, seed: int
    ) -> None:
        import torch
        from torch import nn

        self.latent, self.flags, self.binary, self.loadings = latent, data.flags, data.binary, loadings
        proxies, covariates = data.x.shape[1], data.c.shape[1]

        def net(inputs: int, outputs: int, deep: bool) -> Any:
            if not deep:
                return nn.Linear(inputs, outputs)
            return nn.Sequential(nn.Linear(inputs, hidden), nn.ELU(), nn.Linear(hidden, outputs))

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inner = latent + covariates
            deep = decoder == "network"
            known = covariates if loadings is not None else inner
            self.parts = nn.ModuleDict(
                {
                    "line": nn.Linear(proxies + covariates + 2, 2 * latent),
                    "encoder": net(proxies + covariates + 2, 2 * latent, True),
                    "proxies": net(inner, proxies, deep) if proxies else nn.Identity(),
                    "treatment": net(known, 1, deep) if known else _level(1),
                    "outcome": net(known, 2, deep) if known else _level(2),
                }
            )
            self.noise = nn.Parameter(torch.zeros(proxies + 1))

    def encode(self, data: _Data, rows: Any = slice(None)) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(z | case), each (n, latent)."""
        import torch

        inputs = torch.cat([data.x[rows], data.c[rows], data.t[rows, None], data.y[rows, None]], dim=1)
        mean, log_spread = (self.parts["line"](inputs) + self.parts["encoder"](inputs)).chunk(2, dim=1)
        return mean, torch.exp(torch.clamp(log_spread, -5.0, 1.5))

    def outcome_mean(self, z: Tensor, c: Tensor, t: Tensor) -> Tensor:
        """E[y | t, z, c] in the scale of the data, (...); t broadcasts with a last axis of one."""
        import torch

        both = self._of("outcome", z, c)
        chosen = both[..., :1] + t * (both[..., 1:] - both[..., :1])
        if self.loadings is not None:
            shift = self.loadings[1] * z[..., :1]
            chosen = chosen + shift
        mean = torch.sigmoid(chosen) if self.binary else chosen
        return mean[..., 0]

    def bound_of(self, data: _Data, rows: Any, normal: Tensor) -> Tensor:
        """Evidence lower bound of each row, one draw."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits as cross

        mean, spread = self.encode(data, rows)
        z, c = mean + spread * normal, data.c[rows]
        total = -0.5 * (mean**2 + spread**2 - 1 - 2 * spread.log()).sum(dim=1)
        logit = self._of("treatment", z, c)[:, 0]
        if self.loadings is not None:
            logit = logit + self.loadings[0] * z[:, 0]
        total = total - cross(logit, data.t[rows], reduction="none")
        noise = torch.clamp(self.noise, -4.0, 3.0)
        if len(self.flags):
            told = self.parts["proxies"](torch.cat([z, c], dim=1))
            for place, flag in enumerate(self.flags):
                seen = data.x[rows, place]
                total = total + (
                    -cross(told[:, place], seen, reduction="none")
                    if flag
                    else _normal(seen - told[:, place], noise[place])
                )
        mean_y = self.outcome_mean(z, c, data.t[rows, None])
        if self.binary:
            p = mean_y.clamp(1e-6, 1 - 1e-6)
            return total + data.y[rows] * p.log() + (1 - data.y[rows]) * (1 - p).log()
        return total + _normal(data.y[rows] - mean_y, noise[-1])

    def train(self, data: _Data, weight: FloatArray, steps: int, seed: int) -> _Network:
        """Adam with a falling rate; `bound` is the evidence lower bound a row at the end, mean of 8 draws."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        n = len(data.t)
        share = torch.as_tensor(weight / weight.mean(), dtype=torch.float32)
        parameters = [*self.parts.parameters(), self.noise]
        optimiser = torch.optim.Adam(parameters, lr=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=2e-4)
        batch = min(n, 512)
        for _ in range(steps):
            rows = torch.randint(n, (batch,), generator=generator)
            normal = torch.randn((batch, self.latent), generator=generator)
            loss = -(share[rows] * self.bound_of(data, rows, normal)).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            normals = [torch.randn((n, self.latent), generator=generator) for _ in range(8)]
            self.bound = float(np.mean([float(self.bound_of(data, slice(None), each).mean()) for each in normals]))
        return self

    def _of(self, name: str, z: Tensor, c: Tensor) -> Tensor:
        import torch

        inputs = c if self.loadings is not None else torch.cat([z, c], dim=-1)
        found: Tensor = self.parts[name](inputs)
        return found


def _level(size: int) -> Any:
    """A number for all rows, where nothing else is known."""
    import torch
    from torch import nn

    class Level(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.level = nn.Parameter(torch.zeros(size))

        def forward(self, x: Tensor) -> Tensor:
            return self.level.expand(*x.shape[:-1], size)

    return Level()


def _normal(left: Tensor, log_spread: Tensor) -> Tensor:
    import torch

    return -0.5 * (left / torch.exp(log_spread)) ** 2 - log_spread - 0.9189385
