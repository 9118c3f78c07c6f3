"""The networks of ``models.vr`` as layers."""

from __future__ import annotations

from dcncodec.formats.geometry import STRIDE
from dcncodec.models.arrays import Weights
from dcncodec.models.program import COLOURS, KNOTS, LEAK, Program, Transform
from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from dcncodec.formats.tensors import Tensor
    from dcncodec.models.card import ModelFolder

PARTS = {
    Transform.ANALYSIS: ("linear_analysis.", "analysis_net.", "gain"),
    Transform.SYNTHESIS: ("linear_synthesis.", "synthesis_net.", "degain"),
}
CONTEXT = "context_model."
"""Names of what is exported as integers (``models.context_export``)."""
FEATURES = 3 * STRIDE**2
"""Of a patch."""
WIDTH = 256
"""Channels of the networks at stride 8."""
FINE_WIDTH, FINE_BLOCKS = 96, 2
"""Channels of both networks at stride 4, and blocks of the synthesis there."""
FINE_STRIDE = STRIDE // 2
FINE_FEATURES = 3 * FINE_STRIDE**2
"""Of a patch of 4 x 4 pixels."""
EXPANSION = 2


def build(folder: ModelFolder, transform: Transform) -> Program:
    """One of the networks of a model; see ``CodecFamily.program``."""
    (others,) = (PARTS[other] for other in Transform if other is not transform)
    weights = Weights(folder, PARTS[transform], (*others, CONTEXT))
    shape, channels = folder.card["architecture"], folder.geometry.channels
    log_gains = weights.take(PARTS[transform][-1], KNOTS, channels)
    program = Program(folder.name, transform, channels, LEAK, log_gains=log_gains)
    builder = _Builder(program, weights)
    if transform is Transform.ANALYSIS:
        builder.analysis(shape["analysis_blocks"], shape["analysis_fine_blocks"])
    else:
        builder.synthesis(shape["blocks"])
    weights.check_all_taken()
    return program


class _Builder:
    """Follows ``models.vr.VR``, method by method."""

    def __init__(self, program: Program, weights: Weights) -> None:
        self.program, self.weights = program, weights

    def analysis(self, blocks: int, fine_blocks: int) -> None:
        p, weights, name = self.program, self.weights, "analysis_net"
        linear, x = p.buffer(p.channels, 1), p.buffer(WIDTH, 1)
        self._from_patches("linear_analysis", linear, wide=True)
        rate_bias = weights.take(f"{name}.rate_bias", KNOTS, WIDTH)
        self._from_patches(f"{name}.head", x, rate_bias=rate_bias)
        if fine_blocks:
            fine = self._stem(f"{name}.stem", fine_blocks)
            last = f"{name}.stem.{3 + fine_blocks}"
            p.multiply(
                fine,
                x,
                weights.take(f"{last}.weight", WIDTH, 4 * FINE_WIDTH, 1, 1),
                weights.take(f"{last}.bias", WIDTH),
                kernel=(2, 2, 0),
                inputs=lambda row, column, c: (c * 2 + row) * 2 + column,
                outputs=lambda row, column, c: c,
                add=x,
            )
        self._blocks([f"{name}.blocks.{i}" for i in range(blocks)], x)
        latent = p.buffer(p.channels, 1, local=True)
        p.convolve(weights, f"{name}.tail.0", x, latent, add=linear)

    def synthesis(self, blocks: int) -> None:
        p, weights, name = self.program, self.weights, "synthesis_net"
        linear, x = p.buffer(FINE_FEATURES, 2), p.buffer(WIDTH, 1)
        p.multiply(
            0,
            linear,
            weights.take("linear_synthesis.weight", FEATURES, p.channels, 1, 1),
            weights.take("linear_synthesis.bias", FEATURES),
            shuffle=2,
            inputs=lambda row, column, c: c,
            outputs=lambda row, column, c: (_fine_feature(c) * 2 + row) * 2 + column,
            wide=True,
        )
        rate_bias = weights.take(f"{name}.rate_bias", KNOTS, WIDTH)
        p.convolve(weights, f"{name}.head", 0, x, rate_bias=rate_bias)
        self._blocks([f"{name}.blocks.{i}" for i in range(blocks)], x)
        fine = p.buffer(FINE_WIDTH, 2)
        p.convolve(weights, f"{name}.tail.0", x, fine, shuffle=2)
        self._blocks([f"{name}.tail.{2 + i}" for i in range(FINE_BLOCKS)], fine)
        pixels = p.buffer(FINE_FEATURES, 2, local=True)
        last = f"{name}.tail.{2 + FINE_BLOCKS}"
        p.multiply(
            fine,
            pixels,
            weights.take(f"{last}.weight", FINE_FEATURES, FINE_WIDTH, 3, 3),
            weights.take(f"{last}.bias", FINE_FEATURES),
            kernel=(3, 1, 1),
            inputs=lambda row, column, c: (c * 3 + row) * 3 + column,
            outputs=lambda row, column, c: _fine_feature(c),
            add=linear,
        )

    def _from_patches(
        self, name: str, target: int, *, wide: bool = False, rate_bias: Tensor | None = None
    ) -> None:
        """A 1x1 convolution of what torch makes patches of."""
        outputs = self.program.buffers[target].channels
        self.program.multiply(
            0,
            target,
            self.weights.take(f"{name}.weight", outputs, FEATURES, 1, 1),
            self.weights.take(f"{name}.bias", outputs),
            kernel=(STRIDE, STRIDE, 0),
            inputs=_feature,
            outputs=lambda row, column, c: c,
            wide=wide,
            rate_bias=rate_bias,
        )

    def _stem(self, name: str, blocks: int) -> int:
        """The analysis at stride 4, up to where it goes back to stride 8."""
        fine = self.program.buffer(FINE_WIDTH, 2)

        def inputs(row: int, column: int, colour: int) -> int:
            """Of a 3x3 kernel over patches."""
            (y, row), (x, column) = divmod(row, FINE_STRIDE), divmod(column, FINE_STRIDE)
            feature = (colour * FINE_STRIDE + row) * FINE_STRIDE + column
            return (feature * 3 + y) * 3 + x

        self.program.multiply(
            0,
            fine,
            self.weights.take(f"{name}.1.weight", FINE_WIDTH, FINE_FEATURES, 3, 3),
            self.weights.take(f"{name}.1.bias", FINE_WIDTH),
            kernel=(3 * FINE_STRIDE, FINE_STRIDE, FINE_STRIDE),
            inputs=inputs,
            outputs=lambda row, column, c: c,
        )
        self._blocks([f"{name}.{2 + i}" for i in range(blocks)], fine)
        return fine

    def _blocks(self, names: list[str], x: int) -> None:
        """``models.vr.Block``s, one after the other, of a buffer."""
        p, weights = self.program, self.weights
        channels, scale = p.buffers[x].channels, p.buffers[x].scale
        # Depthwise filters look at neighbours, while the next block's first layer writes.
        planes = [p.buffer(channels, scale) for _ in names[:2]]
        filtered = p.buffer(channels, scale, local=True)
        wider = p.buffer(EXPANSION * channels, scale, local=True)
        for number, name in enumerate(names):
            plane = planes[number % 2]
            p.convolve(weights, f"{name}.p0", x, plane, leaky=True)
            p.filter(weights, f"{name}.depthwise", plane, filtered)
            p.convolve(weights, f"{name}.p1", filtered, wider, leaky=True)
            p.convolve(weights, f"{name}.p2", wider, x, add=x)


def _fine_feature(index: int) -> int:
    """Which feature of a patch of 4 x 4 pixels has a pixel's colour, given by row, column, colour;
    features go by colour, row, column."""
    place, colour = divmod(index, COLOURS)
    return colour * FINE_STRIDE**2 + place


def _feature(row: int, column: int, colour: int) -> int:
    """Which feature has a pixel of a patch of 8 x 8: those of 4 x 4 by which of the 2 x 2."""
    (y, row), (x, column) = divmod(row, FINE_STRIDE), divmod(column, FINE_STRIDE)
    fine = (colour * FINE_STRIDE + row) * FINE_STRIDE + column
    return (fine * 2 + y) * 2 + x
