"""What a training is described by: one recipe class for each kind.

``presets`` has the values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from dcncodec.models.families.fan import CONVOLUTIONAL
from dcncodec.quantise import CODEBOOK_BITS, Histogram

DECAY_EPOCHS = 100
"""Of forensic training (section 4.2)."""
WARMUP_SHARE = 0.1
"""Of the budget that the warm-up takes at most: short runs would be little else."""
LAMBDA_H = 250.0
"""Weight of the entropy (bits per feature) against the L2 loss summed over the paper's batch."""

LAMBDA_LOW, LAMBDA_HIGH = 0.0015, 0.5
"""Weights of 255^2 mean squared error against bits per pixel at rates 0 and 255."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how weights are reached from data.

    Attributes:
        batch: crops per step (over all processes).
        patch: side of a crop in pixels, a multiple of 8.
        learning_rate: Adam's, at its highest.
        schedule: ``halving`` every ``halving_epochs`` epochs; ``decay`` by 10% every
            ``DECAY_EPOCHS``; ``cosine`` or ``linear`` to zero at the end of the budget (steps or
            minutes, whichever ends first) after ``warmup_steps``, or after ``WARMUP_SHARE`` of the
            budget where that is less; or ``constant`` after those.
        max_steps: steps of a full run.
        lambda_h: weight of the entropy.
        lambda_ssim: weight of 1 - SSIM beside the L2 loss of a codec, 0 for L2 alone.
        histogram: entropy of one histogram over all features (the paper's) or of one for each
            channel, which is what the ``channel`` entropy mode spends.
        average_decay: decay of the exponential weight average that is validated and exported;
            0 for the last weights themselves.
        clip_norm: limit of the gradient's norm, 0 for none.
        muon: step convolution kernels by Muon instead of Adam.
        straight_through: pass the gradient of the distortion through the quantiser unchanged
            instead of through the soft assignment.
        bits: of the codebook, ``Quantiser.bits``.
    """

    CHECKPOINT: ClassVar = "dcn-checkpoint-1"
    """The format of the checkpoints of such runs."""
    COMMAND: ClassVar = "dcn train"
    """What trains by such recipes, and goes on with their runs or exports them."""
    RETIRED: ClassVar[Mapping[str, Any]] = {}
    """Fields that checkpoints of earlier versions have, with the only values that go on."""

    batch: int
    patch: int
    learning_rate: float
    schedule: Literal["halving", "decay", "cosine", "linear", "constant"]
    max_steps: int
    lambda_h: float = LAMBDA_H
    lambda_ssim: float = 0.0
    histogram: Histogram = "global"
    warmup_steps: int = 0
    halving_epochs: int = 1000
    average_decay: float = 0.0
    clip_norm: float = 0.0
    muon: bool = False
    straight_through: bool = False
    bits: int = CODEBOOK_BITS

    def rate_at(self, step: int, progress: float, epoch_steps: float) -> float:
        """Learning rate of one step.

        Args:
            step: steps done so far.
            progress: share of the budget used so far, 0..1.
            epoch_steps: steps in one pass over the data.
        """
        if self.schedule == "halving":
            halvings = int(step / epoch_steps) // self.halving_epochs
            return self.learning_rate * 2.0**-halvings
        if self.schedule == "decay":
            return self.learning_rate * 0.9 ** (int(step / epoch_steps) // DECAY_EPOCHS)
        warm = max((step + 1) / max(1, self.warmup_steps), progress / WARMUP_SHARE)
        warmed = self.learning_rate * min(1.0, warm)
        left = 1 - min(1.0, progress)
        if self.schedule == "linear":
            return warmed * left
        if self.schedule == "constant":
            return warmed
        return warmed * 0.5 * (1 - math.cos(math.pi * left))


@dataclass(frozen=True)
class ForensicRecipe(Recipe):
    """Joint optimisation of codec, camera pipeline and FAN (section 4.2).

    ``batch`` counts photos; each becomes one picture of every class.

    Attributes:
        channel: ``dcn``, ``jpeg:QF`` or ``none``.
        downsample: whether the channel halves the pictures first.
        classes: manipulations that the FAN tells apart; none for no FAN.
        lambda_c: weight of the distortion and rate against the FAN's cross-entropy.
        trainable: of ``dcn`` and ``nip``, what learns together with the FAN.
        vary_strengths: draw the strength of each manipulation anew for every photo.
        implementations: ``paper`` for the paper's operators, ``field`` for those of several
            programs besides (``forensics.field``), ``both`` for half of the photos as in that field
            and half by the paper's protocol.
        grid: where the codec's lattice begins: ``aligned`` with a JPEG's, or ``random``.
        history: of half of the photos before they are manipulated (``forensics.history``).
        retake: make half of the photos before that what cameras give (``forensics.retake``).
        rate_low, rate_high: of a codec for all rates, drawn for every photo between the two.
        rate_fall: share of the budget over which the lowest rate that is drawn falls from
            ``rate_high`` to ``rate_low``.
        lambda_low, lambda_high: lambda at rates 0 and 255 of such a codec, as in ``VRRecipe``.
        ssim_share: of its distortion that is 1 - SSIM, as there; patches are too small for MS-SSIM.
        resave: cut half of what the FAN sees at a random place, turn, mirror or scale down some
            of it, and save some as JPEG again (``tasks.forensic_passing``).
        stored: photos that go through the channel before the first step, where nothing but the FAN
            learns, for the steps to take from (``tasks.forensic_store``); 0 for new ones in each.
        nip: name of the camera pipeline that develops the photos, or ``standard``; empty for
            finished photos.
        lambda_n: weight of the pipeline's distortion against the FAN's cross-entropy.
        network: which FAN, of ``models.families.fan.NETWORKS``.
        fan: name of the forensic folder whose FAN it began with, empty for random weights.
        critic: names of forensic folders with FANs that stay as they are, know no channel, and
            judge decoded pictures, too.
        critic_weight: of their mean cross-entropy against that of the FAN that learns.
        distil_weight: of how far their features of decoded pictures are from those of the pictures
            before, in shares of what these differ among themselves.
        keep: ``prnu`` where the codec learns to keep the fingerprints of sensors, too.
        keep_weight: bits per pixel that an NCC of 1 is worth, at whatever rate: of the residuals of
            decoded photos with what their sensors left in them.
        tuning_rate: learning rate of codec and pipeline over that of the FAN. Their gradient from
            it is small beside its noise: at the full rate they would lose what they have learned
            before they learn anything new.
    """

    CHECKPOINT: ClassVar = "dcn-forensic-checkpoint-2"
    COMMAND: ClassVar = "dcn train forensic"
    RETIRED: ClassVar = {"gauges": False, "encoder_rest": 0.0}

    channel: str = "dcn"
    downsample: bool = False
    classes: tuple[str, ...] = ()
    lambda_c: float = 0.001
    trainable: tuple[str, ...] = ()
    vary_strengths: bool = False
    implementations: str = "paper"
    grid: str = "aligned"
    history: str = "none"
    retake: bool = False
    resave: bool = False
    stored: int = 0
    rate_low: int = 0
    rate_high: int = 255
    rate_fall: float = 0.6
    lambda_low: float = LAMBDA_LOW
    lambda_high: float = LAMBDA_HIGH
    ssim_share: float = 0.0
    nip: str = ""
    lambda_n: float = 0.001
    network: str = CONVOLUTIONAL
    fan: str = ""
    critic: tuple[str, ...] = ()
    critic_weight: float = 1.0
    distil_weight: float = 0.0
    keep: tuple[str, ...] = ()
    keep_weight: float = 6.0
    tuning_rate: float = 1.0

    def __post_init__(self) -> None:
        # JSON, in which checkpoints keep a recipe, has lists only.
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "keep", tuple(self.keep))
        # Where there could be only one, its name alone was kept.
        kept: Any = self.critic
        names = [kept] if isinstance(kept, str) else kept
        object.__setattr__(self, "critic", tuple(name for name in names if name))
        object.__setattr__(self, "trainable", tuple(self.trainable))


@dataclass(frozen=True)
class NipRecipe(Recipe):
    """Training of a camera pipeline (NIP paper, section 3.1): mean squared error alone.

    ``batch`` counts pairs of a frame's part and its picture, of ``patch`` pixels a side.

    Attributes:
        network: ``inet``, ``unet`` or ``dnet``.
        to_srgb: rows of the camera's colour matrix (``formats.raw.Frame``), with which it begins.
    """

    CHECKPOINT: ClassVar = "dcn-nip-checkpoint-1"
    COMMAND: ClassVar = "dcn train nip"

    network: str = "dnet"
    to_srgb: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        # As in ForensicRecipe.
        object.__setattr__(self, "to_srgb", tuple(tuple(row) for row in self.to_srgb))


@dataclass(frozen=True)
class VRRecipe(Recipe):
    """Training of the family ``vr``: R + lambda D for all rates at once.

    R is bits per pixel, D 255^2 times the mean squared error or partly likeness, lambda (in
    1 / 255^2 bits) grows geometrically with the rate, which is drawn for every crop.

    Attributes:
        latent_channels: N.
        blocks: of the synthesis at stride 8.
        hidden: units of the context model.
        analysis_blocks, analysis_fine_blocks: of the analysis at strides 8 and 4.
        lambda_low, lambda_high: lambda at rates 0 and 255.
        balance: losses are divided by (lambda / lambda_low) to this power, so that no rate drowns
            the others.
        linear_share: learning rate of the linear maps over that of the context model and gains.
        network_share: that of the networks beside the linear maps, likewise.
        synthetic: share of crops that are replaced by pictures that are no photos.
        noise: count the bits of latents with uniform noise, not those of rounded ones with the
            slope that noise gives them.
        ssim_share, ms_ssim_share: of the distortion that are 1 - SSIM and 1 - MS-SSIM, brought to
            the scale of 255^2 times the mean squared error.
        decay_from: step and seconds at which the learning rate began to fall; None while the run
            goes on at a constant one.
    """

    CHECKPOINT: ClassVar = "dcn-vr-checkpoint-2"
    COMMAND: ClassVar = "dcn train vr"

    latent_channels: int = 96
    blocks: int = 3
    hidden: int = 192
    analysis_blocks: int = 6
    analysis_fine_blocks: int = 2
    lambda_low: float = LAMBDA_LOW
    lambda_high: float = LAMBDA_HIGH
    balance: float = 0.5
    linear_share: float = 0.02
    network_share: float = 1.0
    synthetic: float = 0.02
    noise: bool = False
    ssim_share: float = 0.0
    ms_ssim_share: float = 0.0
    decay_from: tuple[int, float] | None = None

    def __post_init__(self) -> None:
        # As in ForensicRecipe.
        if self.decay_from is not None:
            step, seconds = self.decay_from
            object.__setattr__(self, "decay_from", (step, seconds))


@dataclass(frozen=True)
class ContextRecipe(Recipe):
    """Training of a context model on the latents of a codec: bits per pixel alone.

    ``batch`` counts crops of ``patch`` pixels a side.

    Attributes:
        hidden: units of the context model.
        crops: whose latents it is trained on, over and over.
    """

    CHECKPOINT: ClassVar = "dcn-context-checkpoint-1"
    COMMAND: ClassVar = "dcn train context"

    hidden: int = 192
    crops: int = 1200


@dataclass(frozen=True)
class TraceRecipe(Recipe):
    """Training of ManTra-Net in stages (CVPR 2019, section 5.2).

    ``batch`` counts patches of ``patch`` pixels a side.

    Attributes:
        stage: of ``models.families.trace.STAGES``: the features as a classifier of manipulations,
            the map with features that stay, or both together.
        size: of ``models.trace.SIZES``.
        classes: of the hierarchy's level that the classifier learns.
        features_share: learning rate of the features over the rest's in the last stage.
        codecs: names of the codecs that a quarter of the forgeries go through.
    """

    CHECKPOINT: ClassVar = "dcn-trace-checkpoint-1"
    COMMAND: ClassVar = "dcn train trace"

    stage: str = "features"
    size: str = "8"
    classes: int = 25
    features_share: float = 0.2
    codecs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # As in ForensicRecipe.
        object.__setattr__(self, "codecs", tuple(self.codecs))
