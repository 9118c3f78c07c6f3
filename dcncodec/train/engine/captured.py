"""Whole steps as one CUDA graph: the GPU no longer waits for hundreds of launches from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UP = 3
"""Steps before the capture: kernels are compiled and chosen, the optimiser makes its state."""
AHEAD = 2
"""Steps that may be under way at once: the clock of a run must not run ahead of its GPU."""


class CapturedStep:
    """Steps of one shape: the first ones as they are, then replays of a recording.

    Args:
        work: everything that a step does with its input, all on one GPU, without waiting for it:
            gradients, optimiser. It must read what changes from tensors.
    """

    def __init__(self, work: Callable[[Sequence[Tensor]], Tensor]) -> None:
        self.work = work
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.steps = 0
        self.graph = torch.cuda.CUDAGraph()
        self.inputs: list[Tensor] = []
        self.output: Tensor
        self.done: list[torch.cuda.Event] = []

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """One step; tensors of the same shapes each time. Returns what ``work`` does."""
        current = torch.cuda.current_stream()
        if self.steps < WARM_UP:
            self.stream.wait_stream(current)
            with torch.cuda.stream(self.stream):
                result = self.work(inputs)
            current.wait_stream(self.stream)
        else:
            if self.steps == WARM_UP:
                self.inputs = [value.clone() for value in inputs]
                with torch.cuda.graph(self.graph, stream=self.stream):
                    self.output = self.work(self.inputs)
            for static, value in zip(self.inputs, inputs, strict=True):
                static.copy_(value)
            self.graph.replay()
            result = self.output.clone()
        self.steps += 1
        self.done.append(torch.cuda.Event())  # type: ignore[no-untyped-call]
        self.done[-1].record()
        if len(self.done) > AHEAD:
            self.done.pop(0).synchronize()
        return result
