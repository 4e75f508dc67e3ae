"""A monotone flow: noise that is standard normal and a value that rises with it, in a shape that the parents set.

    z = (y - m(x)) / s(x),   noise = g(z; x),   g a rational-quadratic spline, rising, identity beyond [-5, 5]

(Durkan, Bekasov, Murray and Papamakarios 2019; as a mechanism: Pawlowski, Castro and Glocker 2020). Where noise and
parents are independent and the value rises with the noise, the noise is the value's conditional quantile and the
counterfactual is identified (Lu et al. 2020; Nasr-Esfahany, Alizadeh and Shah 2023).
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from whyrec.cause.scm.additive import Abduction
from whyrec.estimate import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

BINS, _REACH, _LEAST = 8, 5.0, 1e-3
_MOST_ROWS = 20_000


class Flow:
    """Conditional rational-quadratic spline flow; its conditioner is a linear map plus a small network.

    hidden: width of its two layers. epochs: at most; the held-out seventh stops it earlier.
    """

    kind, width = "flow", 1
    abduction: Abduction = "point"

    def __init__(self, hidden: int = 32, epochs: int = 150, random_state: int = 0) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.random_state = random_state

    def fit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Self:
        """Maximum likelihood by Adam, stopped by the held-out likelihood."""
        import torch

        self.centre_, self.scale_ = x.mean(axis=0), np.where(x.std(axis=0) > 1e-12, x.std(axis=0), 1.0)
        self.middle_, self.spread_ = float(y.mean()), max(float(y.std()), 1e-12)
        generator = torch.Generator().manual_seed(self.random_state)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            self.network_ = Conditioner.build(x.shape[1], self.hidden, 3 * BINS - 1)
        self._learn(x, y, weight, self.epochs, 5e-3, generator)
        return self

    def refit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Flow:
        """A few passes under other weights from where it stands."""
        import torch

        again = Flow(self.hidden, self.epochs, self.random_state)
        again.centre_, again.scale_, again.middle_, again.spread_ = (
            self.centre_, self.scale_, self.middle_, self.spread_,
        )  # fmt: skip
        again.network_ = deepcopy(self.network_)
        again._learn(x, y, weight, 15, 3e-3, torch.Generator().manual_seed(self.random_state), hold=False)
        return again

    def abduct(self, x: FloatArray, y: FloatArray, uniform: FloatArray) -> FloatArray:
        """The standard normal number that gave the value."""
        import torch

        with torch.no_grad():
            shift, scale, spline = self._shape(x)
            z = (self._tensor((y - self.middle_) / self.spread_) - shift) / scale
            noise: FloatArray = _spline(z, *spline)[0].numpy()
        return noise[:, None]

    def noise(self, uniform: FloatArray) -> FloatArray:
        """Standard normal."""
        from scipy.special import ndtri

        result: FloatArray = ndtri(uniform)
        return result

    def apply(self, x: FloatArray, noise: FloatArray) -> FloatArray:
        """The value whose noise this is."""
        import torch

        with torch.no_grad():
            shift, scale, spline = self._shape(x)
            z = _inverse(self._tensor(noise[:, 0]), *spline)
            values: FloatArray = (shift + scale * z).numpy()
        return self.middle_ + self.spread_ * values

    def moved(self, x: FloatArray, y: FloatArray, other: FloatArray) -> FloatArray | None:
        """The same quantile at the other parents."""
        return self.apply(other, self.abduct(x, y, np.empty((len(y), 1))))

    def score(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Log density of each value."""
        import torch

        with torch.no_grad():
            density: FloatArray = self._log_density(self._inputs(x), self._standard(y)).numpy()
        return density - float(np.log(self.spread_))

    def _learn(
        self,
        x: FloatArray,
        y: FloatArray,
        weight: FloatArray,
        epochs: int,
        rate: float,
        generator: Any,
        hold: bool = True,
    ) -> None:
        import torch

        rows = np.random.default_rng(self.random_state).permutation(len(y))[:_MOST_ROWS]
        inputs, target = self._inputs(x[rows]), self._standard(y[rows])
        share = self._tensor(weight[rows] / weight[rows].mean())
        held = len(rows) // 7 if hold else 0
        optimiser = torch.optim.Adam(self.network_.parameters(), lr=rate, weight_decay=1e-4)
        best, state, waited = np.inf, deepcopy(self.network_.state_dict()), 0
        batch = int(np.clip((len(rows) - held) // 8, 64, 1_024))
        for _ in range(epochs):
            order = held + torch.randperm(len(rows) - held, generator=generator)
            for start in range(0, len(order), batch):
                part = order[start : start + batch]
                loss = -(share[part] * self._log_density(inputs[part], target[part])).mean()
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(self.network_.parameters(), 5.0)
                optimiser.step()
            if not held:
                continue
            with torch.no_grad():
                now = -float((share[:held] * self._log_density(inputs[:held], target[:held])).mean())
            if now < best - 1e-4:
                best, state, waited = now, deepcopy(self.network_.state_dict()), 0
            else:
                waited += 1
                if waited == 6:
                    for group in optimiser.param_groups:
                        group["lr"] /= 4
                if waited >= 12:
                    break
        if held:
            self.network_.load_state_dict(state)

    def _log_density(self, inputs: Tensor, target: Tensor) -> Tensor:
        shift, scale, spline = _split(self.network_(inputs))
        noise, slope = _spline((target - shift) / scale, *spline)
        return -0.5 * noise**2 - 0.5 * float(np.log(2 * np.pi)) + slope.log() - scale.log()

    def _shape(self, x: FloatArray) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        return _split(self.network_(self._inputs(x)))

    def _inputs(self, x: FloatArray) -> Tensor:
        return self._tensor((x - self.centre_) / self.scale_)

    def _standard(self, y: FloatArray) -> Tensor:
        return self._tensor((y - self.middle_) / self.spread_)

    @staticmethod
    def _tensor(values: FloatArray) -> Tensor:
        import torch

        return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float64)


class Conditioner:
    """Builds the map from parents to (shift, log scale, spline): a line plus a network that starts at nothing."""

    @staticmethod
    def build(d: int, hidden: int, size: int) -> Any:
        """d parents, `hidden` units in each of two layers, `size` numbers of the spline."""
        import torch
        from torch import nn

        class Sum(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.line = nn.Linear(d, size + 2)
                self.net = nn.Sequential(
                    nn.Linear(d, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, size + 2)
                )
                last: Any = self.net[-1]
                for part in (self.line, last):
                    nn.init.zeros_(part.weight)
                    nn.init.zeros_(part.bias)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                total: torch.Tensor = self.line(x) + self.net(x)
                return total

        return Sum().double()


def _split(out: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Shift, scale and the spline's knots (x, y) and slopes; zeros give the identity."""
    import torch
    from torch.nn.functional import pad, softmax, softplus

    widths, heights, slopes = out[:, 2 : 2 + BINS], out[:, 2 + BINS : 2 + 2 * BINS], out[:, 2 + 2 * BINS :]

    def knots(raw: Tensor) -> Tensor:
        sizes = _LEAST + (1 - _LEAST * BINS) * softmax(raw, dim=1)
        inside = -_REACH + 2 * _REACH * sizes.cumsum(dim=1)[:, :-1]
        ends = torch.full_like(inside[:, :1], _REACH)
        return torch.cat([-ends, inside, ends], dim=1)

    identity = float(np.log(np.expm1(1 - _LEAST)))
    inner = _LEAST + softplus(slopes + identity)
    return (
        out[:, 0],
        torch.exp(torch.clamp(out[:, 1], -6.0, 6.0)),
        (knots(widths), knots(heights), pad(inner, (1, 1), value=1.0)),
    )


def _bin(values: Tensor, knots: Tensor) -> Tensor:
    import torch

    place = torch.searchsorted(knots.contiguous(), values[:, None].contiguous()) - 1
    return place.clamp(0, BINS - 1)


def _spline(z: Tensor, xs: Tensor, ys: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """g(z) and its slope, equations 4 and 5 of Durkan et al."""
    import torch

    inside = z.abs() < _REACH
    kept = torch.where(inside, z, torch.zeros_like(z))
    k = _bin(kept.detach(), xs.detach())
    x0, x1, y0, y1 = xs.gather(1, k), xs.gather(1, k + 1), ys.gather(1, k), ys.gather(1, k + 1)
    d0, d1 = slopes.gather(1, k), slopes.gather(1, k + 1)
    s = (y1 - y0) / (x1 - x0)
    t = (kept[:, None] - x0) / (x1 - x0)
    bottom = s + (d1 + d0 - 2 * s) * t * (1 - t)
    value = y0 + (y1 - y0) * (s * t**2 + d0 * t * (1 - t)) / bottom
    slope = s**2 * (d1 * t**2 + 2 * s * t * (1 - t) + d0 * (1 - t) ** 2) / bottom**2
    return torch.where(inside, value[:, 0], z), torch.where(inside, slope[:, 0], torch.ones_like(z))


def _inverse(noise: Tensor, xs: Tensor, ys: Tensor, slopes: Tensor) -> Tensor:
    """The z with g(z) = noise: the root of a quadratic, equations 6 to 8 of Durkan et al."""
    import torch

    inside = noise.abs() < _REACH
    kept = torch.where(inside, noise, torch.zeros_like(noise))
    k = _bin(kept, ys)
    x0, x1, y0, y1 = xs.gather(1, k), xs.gather(1, k + 1), ys.gather(1, k), ys.gather(1, k + 1)
    d0, d1 = slopes.gather(1, k), slopes.gather(1, k + 1)
    s, up = (y1 - y0) / (x1 - x0), kept[:, None] - y0
    bend = d1 + d0 - 2 * s
    a, b, c = (y1 - y0) * (s - d0) + up * bend, (y1 - y0) * d0 - up * bend, -s * up
    t = 2 * c / (-b - torch.sqrt(torch.clamp(b**2 - 4 * a * c, min=0.0)))
    return torch.where(inside, (x0 + t * (x1 - x0))[:, 0], noise)
