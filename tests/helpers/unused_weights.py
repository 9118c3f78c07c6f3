"""Which weights of a training no step changes."""

from __future__ import annotations

import torch

from dcncodec.train.engine.run import Run


def unused_weights(run: Run) -> list[str]:
    """Names of those that want a gradient and get none in the next step, of which
    DistributedDataParallel has to be told (``Run.SOME_REST``)."""
    run.losses(run.objective, torch.Generator().manual_seed(0))[0].backward()
    weights = run.objective.named_parameters()
    return [name for name, weight in weights if weight.requires_grad and weight.grad is None]
