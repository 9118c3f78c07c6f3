"""The loss of a forensic training, see ``forensic``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcncodec.forensics.channel import Channel, as_bytes
from dcncodec.forensics.djpeg import DJPEG
from dcncodec.forensics.manipulations import manipulate_all
from dcncodec.forensics.prnu.learning import NoiseResidual, correlation
from dcncodec.formats.geometry import STRIDE
from dcncodec.models.families.fan import LEARNS_CODEC, LEARNS_NIP
from dcncodec.models.fan import FAN
from dcncodec.models.nip import Pipeline
from dcncodec.models.vr import VR
from dcncodec.train.engine.recipes import ForensicRecipe
from dcncodec.train.tasks.codec import codec_loss, distortion
from dcncodec.train.tasks.forensic_passing import QUALITIES, Passing, draw_passing, passed_on
from dcncodec.train.tasks.forensic_rates import RatedCodec, draw_rates

DESCRIBED = 2
"""Dimensions of descriptions."""
TINY = 1e-6
"""Least variance of a critic's features among pictures that others are compared with."""


class ForensicLoss(nn.Module):
    """Manipulations, channel and FAN with their common loss, and that of a fingerprint.

    Args:
        channel: with the codec, if it has one.
        fan: the classifier; None where there are no classes to tell apart.
        recipe: classes, weights and what is trainable.
        precision: bfloat16 for mixed precision, float32 otherwise.
        nip: the camera pipeline, if there is one.
        critics: FANs that stay as they are. They know the traces before the FAN that learns does,
            and so show the codec which of them it loses from the first step: by their answers, and
            by the features that these rest on.
    """

    def __init__(
        self,
        channel: Channel,
        fan: FAN | None,
        recipe: ForensicRecipe,
        precision: torch.dtype,
        nip: Pipeline | None = None,
        critics: Sequence[FAN] = (),
    ) -> None:
        super().__init__()
        self.critics = tuple(critics)
        # Where they go is decided with the rest; a tuple's modules are not seen.
        self.registered = nn.ModuleList(critics)
        self.channel, self.fan, self.nip = channel, fan, nip
        self.recipe, self.precision = recipe, precision
        codec = channel.codec
        self.rated = RatedCodec(codec, recipe, precision) if isinstance(codec, VR) else None
        self.noise = NoiseResidual() if recipe.keep else None
        self.jpeg = DJPEG(max(QUALITIES), "420", "hard") if recipe.resave else None
        self.share = 1.0
        """Of the budget that is used: rates are drawn by it."""

    def forward(
        self,
        photos: Tensor | None,
        generator: torch.Generator | None,
        stacks: Tensor | None = None,
        labels: Tensor | None = None,
        taken: Tensor | None = None,
        patterns: Tensor | None = None,
        rates: Tensor | None = None,
        passing: Passing | None = None,
        coded: bool = False,
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Figures of a batch, and what went into the compression and came out.

        Args:
            photos: float32 (B, 3, P, P) in [0, 1]; with a pipeline what it should give. None
                without classes.
            generator: of the noise, and of rates and what becomes of decoded pictures where that is
                not given; None where nothing is drawn.
            stacks: float32 (B, 4, P/2, P/2), what a pipeline develops.
            labels: (K * B,), where photos are manipulated already: (K * B, 3, P, P).
            taken: (T, 3, P, P), photos of sensors whose fingerprints should be kept.
            patterns: (T, P, P), what the sensors left in those.
            rates: (B + T,), of a codec that has some.
            passing: of the K * B decoded pictures, with ``resave``.
            coded: whether photos went through the channel before, where nothing but the FAN learns;
                they may be what it describes of those then, (K * B, C).

        Returns:
            Scalars by name: loss, cross_entropy, accuracy, mse, bpp, nip_mse, prnu (mean NCC of
            residuals and patterns); of those for which there is something. Pictures
            (K * B + T, 3, P, P) before and after the compression.
        """
        if coded:
            assert photos is not None
            assert labels is not None
            logits, _ = self._judge(photos, passing, generator)
            assert logits is not None
            loss, figures = _classified(logits, labels)
            return {"loss": loss} | figures, photos, photos
        recipe = self.recipe
        learns, develops = (LEARNS_CODEC in recipe.trainable), (LEARNS_NIP in recipe.trainable)
        grad = torch.is_grad_enabled()
        figures = {}
        parts = []
        with torch.set_grad_enabled(develops and grad):
            if photos is not None:
                versions, labels, nip_mse = self._versions(photos, generator, stacks, labels)
                figures["nip_mse"] = nip_mse.detach()
                parts.append(self.channel.prepare(versions))
            if taken is not None:
                parts.append(self.channel.prepare(taken))
            sent = torch.cat(parts).contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled((learns or develops) and grad):
            others = 0 if taken is None else len(taken)
            received, cost, bpp, price = self._compress(sent, others, rates, generator)
        judged = len(received) - others
        logits, told = self._judge(received[:judged], passing, generator)
        figures["mse"] = (received - sent).square().mean().detach()
        figures["bpp"] = bpp
        loss = recipe.lambda_c * cost if learns else torch.zeros_like(cost)
        if logits is not None:
            assert labels is not None
            cross_entropy, classified = _classified(logits, labels)
            figures |= classified
            loss = loss + cross_entropy
            for critic, features in told:
                answers = critic.head(features).float()
                judgement = recipe.critic_weight * functional.cross_entropy(answers, labels)
                if recipe.distil_weight:
                    lost = self._lost(critic, features, sent[:judged])
                    judgement = judgement + recipe.distil_weight * lost
                loss = loss + judgement / len(told)
        if taken is not None:
            assert self.noise is not None
            assert patterns is not None
            kept = correlation(self.noise(received[-others:]), patterns)
            worth = recipe.lambda_c * recipe.keep_weight * price[-others:]
            loss = loss + (worth * (1 - kept)).mean()
            figures["prnu"] = kept.detach().mean()
        if develops:
            loss = loss + recipe.lambda_n * distortion(nip_mse)
        return {"loss": loss} | figures, sent, received

    @torch.no_grad()
    def coded(self, versions: Tensor, rates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the channel makes of manipulated photos.

        Args:
            versions: float32 (K * B, 3, P, P) in [0, 1].
            rates: (B,), of a codec that has some.

        Returns:
            As many pictures, mean squared error and bits per pixel.
        """
        sent = self.channel.prepare(versions).contiguous(memory_format=torch.channels_last)
        received, _, bpp, _ = self._compress(sent, 0, rates, None)
        return received, (received - sent).square().mean(), bpp

    @torch.no_grad()
    def described(self, received: Tensor, generator: torch.Generator) -> Tensor:
        """What the FAN sees in coded pictures (N, 3, P, P): (N, C), of one draw of what becomes of
        them."""
        assert self.fan is not None
        return self._answers(self.fan.describe, *self._seen(received, None, generator))

    def _versions(
        self,
        photos: Tensor,
        generator: torch.Generator | None,
        stacks: Tensor | None,
        labels: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Manipulated versions of photos, their labels, and the pipeline's mean squared error."""
        developed = photos
        if self.nip is not None:
            assert stacks is not None
            with self._mixed(photos):
                developed = self.nip(stacks.contiguous(memory_format=torch.channels_last))
        nip_mse = (developed - photos).square().mean()
        if labels is not None:
            return developed, labels, nip_mse
        recipe = self.recipe
        versions, labels = manipulate_all(
            as_bytes(developed), recipe.classes, generator, recipe.vary_strengths
        )
        return versions, labels, nip_mse

    def _compress(
        self,
        sent: Tensor,
        others: int,
        drawn: Tensor | None,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is received of pictures, of which the last are not manipulated.

        Returns:
            Pictures; the codec's own loss (0 where it does not learn); bits per pixel; and what one
            of those costs in that loss, (1,) or of each picture.
        """
        recipe = self.recipe
        nothing = torch.zeros(1, device=sent.device)
        if self.rated is not None:
            # All versions of a photo have its rate.
            kinds = max(1, len(recipe.classes))
            count = (len(sent) - others) // kinds
            if drawn is None:
                assert generator is not None
                drawn = draw_rates(recipe, self.share, count + others, generator)
            rates = torch.cat([drawn[:count].repeat(kinds), drawn[count:]]).to(sent.device)
            compressed = self.rated.compress(sent, rates)
            received, bpp = as_bytes(compressed.pictures), compressed.bpp.detach().mean()
            if LEARNS_CODEC not in recipe.trainable:
                return received, nothing.sum(), bpp, nothing
            cost = self.rated.cost(sent, received, rates, compressed)
            return received, cost, bpp, self.rated.price(rates)
        with self._mixed(sent):
            received, entropy = self.channel.compress(sent)
        if entropy is None:
            return received, nothing.sum(), nothing.sum(), nothing
        assert self.channel.codec is not None
        features = self.channel.codec.latent_channels / STRIDE**2
        bpp = entropy.detach() * features
        if LEARNS_CODEC not in recipe.trainable:
            return received, nothing.sum(), bpp, nothing
        mse = (received - sent).square().mean()
        cost = codec_loss(recipe, sent, received, mse, entropy)
        return received, cost, bpp, nothing + recipe.lambda_h / features

    def _judge(
        self, received: Tensor, passing: Passing | None, generator: torch.Generator | None
    ) -> tuple[Tensor | None, list[tuple[FAN, Tensor]]]:
        """What the FAN answers, None without one, and critics with what they describe where that
        is learned from."""
        if self.fan is None:
            return None, []
        if received.ndim == DESCRIBED:
            return self.fan.head(received).float(), []
        grad = torch.is_grad_enabled()
        seen, order = self._seen(received, passing, generator) if grad else ((received,), None)
        logits = self._answers(self.fan, seen, order)
        if not grad:
            return logits, []
        with self._mixed(received):
            exact = _laid_out(received)
            return logits, [(critic, critic.describe(exact).float()) for critic in self.critics]

    def _answers(
        self, network: Callable[[Tensor], Tensor], seen: Sequence[Tensor], order: Tensor | None
    ) -> Tensor:
        """Of a network to what ``_seen`` gives, in the order of the decoded pictures."""
        with self._mixed(seen[0]):
            found = torch.cat([network(_laid_out(some)) for some in seen if len(some)])
        return found if order is None else torch.zeros_like(found).index_copy(0, order, found)

    def _seen(
        self, received: Tensor, passing: Passing | None, generator: torch.Generator | None
    ) -> tuple[Sequence[Tensor], Tensor | None]:
        """What is left of decoded pictures when the FAN gets them, and in which order."""
        if self.jpeg is None:
            return (received,), None
        if passing is None:
            assert generator is not None
            drawn = draw_passing(len(received), received.shape[-1], generator)
            passing = Passing(*(part.to(received.device) for part in drawn))
        return passed_on(received, passing, self.jpeg), passing.order

    def _lost(self, critic: FAN, told: Tensor, sent: Tensor) -> Tensor:
        """What descriptions lack of those of the pictures before: 1 if all were the mean."""
        with torch.no_grad(), self._mixed(sent):
            aim = critic.describe(sent).float()
        return (told - aim).square().mean() / aim.var(0, correction=0).mean().clamp_min(TINY)

    def _mixed(self, pixels: Tensor) -> torch.autocast:
        """Within it networks run in the training's precision."""
        mixed = self.precision != torch.float32
        return torch.autocast(pixels.device.type, self.precision, enabled=mixed)


def _classified(logits: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy, and the figures of a classification, which have no gradient."""
    cross_entropy = functional.cross_entropy(logits, labels)
    accuracy = (logits.argmax(1) == labels).float().mean()
    return cross_entropy, {"cross_entropy": cross_entropy.detach(), "accuracy": accuracy}


def _laid_out(pictures: Tensor) -> Tensor:
    """As the FANs' convolutions are fastest."""
    return pictures.contiguous(memory_format=torch.channels_last)
