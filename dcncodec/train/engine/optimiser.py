"""Adam for the paper's recipes; Muon for the fast ones.

Muon (Jordan et al., 2024) orthogonalises the momentum of every weight matrix before it steps, so
that all directions of a layer learn at the same pace. With equal steps it trains these networks,
which have no normalisation layers, much faster than Adam
(``python -m dcncodec.bench.paper.recipes``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from dcncodec.runtime.devices import choose_precision

MOMENTUM = 0.95
ITERATIONS = 5
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Muon's quintic: five iterations bring all singular values between about 0.7 and 1.2."""
MUON_RATIO = 3.0
"""Muon's learning rate over Adam's: its steps have a spectral, not an element-wise norm."""


class Optimiser:
    """Adam for all parameters, or Muon for convolution kernels and Adam for the rest.

    Args:
        model: the network; its named parameters define the state's names.
        muon: whether convolution kernels step by Muon: those that mix channels, which depthwise
            ones do not.
        shares: of the learning rate, by the first parts of a parameter's name, of which the most
            count; 1 for others.
        adam: first parts of the names of kernels that step by Adam all the same. Muon's steps
            have a norm of their own, which no small gradient shrinks, and so turn away what a
            kernel was started as.
    """

    def __init__(
        self,
        model: nn.Module,
        muon: bool,
        shares: Mapping[str, float] | None = None,
        adam: Collection[str] = (),
    ) -> None:
        named = dict(model.named_parameters())
        self.kernels = {
            n: p
            for n, p in named.items()
            if muon
            and p.ndim == 4
            and p.shape[1] > 1
            and not any(part in adam for part in _parts(n))
        }
        self.rest = {n: p for n, p in named.items() if n not in self.kernels}
        self.shares = {n: _share(n, shares or {}) for n in named}
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.rest.items():
            groups.setdefault(self.shares[name], []).append(parameter)
        device = next(model.parameters()).device
        self.on_gpu = device.type == "cuda"
        # On a GPU they are tensors, which a captured step reads anew each time it is replayed.
        self.rate = torch.zeros((), device=device)
        self.adam = torch.optim.Adam(
            [
                {
                    "params": p,
                    "share": s,
                    "lr": torch.zeros((), device=device) if self.on_gpu else 0.0,
                }
                for s, p in groups.items()
            ],
            capturable=self.on_gpu,
        )
        self.momentum = {n: torch.zeros_like(p) for n, p in self.kernels.items()}

    def set_rate(self, rate: float) -> None:
        """Set the learning rate (Adam's) of the steps to come."""
        self.rate.fill_(rate)
        for group in self.adam.param_groups:
            if self.on_gpu:
                group["lr"].fill_(rate * group["share"])
            else:
                group["lr"] = rate * group["share"]

    def update(self) -> None:
        """One step at the rate that is set.

        Parameters that have had no gradient yet stay as they are.
        """
        for parameter in self.rest.values():
            if parameter.grad is None:
                # Adam counts its steps parameter by parameter; a checkpoint keeps one number.
                parameter.grad = torch.zeros_like(parameter)
        self.adam.step()
        with torch.no_grad():
            self._step_kernels()

    def _step_kernels(self) -> None:
        """Muon's part: kernels of one shape are orthogonalised together."""
        groups: dict[tuple[int, int, float], list[str]] = {}
        for name, kernel in self.kernels.items():
            if kernel.grad is not None:  # else there is nothing to orthogonalise
                shape = (kernel.shape[0], kernel[0].numel(), self.shares[name])
                groups.setdefault(shape, []).append(name)
        for (rows, columns, share), names in groups.items():
            kernels: list[Tensor] = [self.kernels[name] for name in names]
            gradients = [kernel.grad for kernel in kernels if kernel.grad is not None]
            momenta = [self.momentum[name] for name in names]
            torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
            directions = torch._foreach_lerp(gradients, momenta, MOMENTUM)
            updates = orthogonalise(torch.stack([d.flatten(1) for d in directions]))
            # Keeps the update's gain alike for wide and tall matrices.
            gain = max(1.0, rows / columns) ** 0.5
            updates *= self.rate * (share * MUON_RATIO * gain)
            steps = [u.view_as(k) for u, k in zip(updates, kernels, strict=True)]
            torch._foreach_sub_(kernels, steps)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in (*self.kernels.values(), *self.rest.values()):
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Everything but the step count, by name."""
        tensors = {f"momentum.{n}": t for n, t in self.momentum.items()}
        for name, parameter in self.rest.items():
            tensors[f"first.{name}"] = self.adam.state[parameter]["exp_avg"]
            tensors[f"second.{name}"] = self.adam.state[parameter]["exp_avg_sq"]
        return tensors

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """Take back what ``state`` gave after ``step`` steps.

        Raises:
            KeyError: a tensor is missing, as in the state of the other kind of optimiser.
        """
        for name, momentum in self.momentum.items():
            momentum.copy_(tensors[f"momentum.{name}"])
        for name, parameter in self.rest.items():
            self.adam.state[parameter] = {
                "step": torch.tensor(float(step), device=parameter.device if self.on_gpu else None),
                "exp_avg": torch.empty_like(parameter).copy_(tensors[f"first.{name}"]),
                "exp_avg_sq": torch.empty_like(parameter).copy_(tensors[f"second.{name}"]),
            }


def _parts(name: str) -> list[str]:
    """First parts of a parameter's name, from the most to the fewest: a.b.c, a.b, a."""
    words = name.split(".")
    return [".".join(words[:count]) for count in range(len(words), 0, -1)]


def _share(name: str, shares: Mapping[str, float]) -> float:
    return next((shares[part] for part in _parts(name) if part in shares), 1.0)


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest (semi-)orthogonal matrices, roughly: float32 (n, rows, columns) to the same.

    Newton-Schulz iterations, which converge on singular values of at most 1; in bfloat16 where
    that is the faster format.
    """
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-12)
    x = x.to(choose_precision("auto", matrices.device))
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.transpose(1, 2)).float()
