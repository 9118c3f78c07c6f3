"""The recipes by name. ``paper`` follows section 3.4; ``fast`` needs far fewer steps.

``python -m dcncodec.bench.paper.recipes`` measures what each deviation of ``fast`` buys.
"""

from dcncodec.train.engine.recipes import (
    ContextRecipe,
    ForensicRecipe,
    NipRecipe,
    Recipe,
    TraceRecipe,
    VRRecipe,
)

PAPER_BATCH = 50
PAPER_PATCH = 128
FAST_LAMBDA_H, FAST_LAMBDA_SSIM = 600.0, 10_000.0
"""1 - SSIM then counts about as much as L2: the same rate and PSNR give a higher SSIM."""

RECIPES = {
    "paper": Recipe(
        batch=PAPER_BATCH,
        patch=PAPER_PATCH,
        learning_rate=1e-4,
        schedule="halving",
        max_steps=250_000,
    ),
    "fast": Recipe(
        batch=8,
        patch=PAPER_PATCH,
        learning_rate=1e-3,
        schedule="cosine",
        max_steps=20_000,
        lambda_h=FAST_LAMBDA_H,
        lambda_ssim=FAST_LAMBDA_SSIM,
        histogram="channel",
        warmup_steps=200,
        average_decay=0.998,
        clip_norm=20_000.0,
        muon=True,
        straight_through=True,
    ),
}

FORENSIC_RECIPES = {
    "paper": ForensicRecipe(
        batch=20,
        patch=PAPER_PATCH,
        learning_rate=1e-4,
        schedule="decay",
        max_steps=100_000,
        histogram="channel",
    ),
    "fast": ForensicRecipe(
        batch=4,
        patch=PAPER_PATCH,
        learning_rate=1e-3,
        schedule="cosine",
        max_steps=6_000,
        lambda_h=FAST_LAMBDA_H,
        lambda_ssim=FAST_LAMBDA_SSIM,
        histogram="channel",
        warmup_steps=100,
        average_decay=0.995,
        muon=True,
        straight_through=True,
        vary_strengths=True,
        implementations="field",
        grid="random",
        history="88-100",
        retake=True,
        resave=True,
        tuning_rate=0.2,
    ),
}

NIP_RECIPES = {
    "paper": NipRecipe(
        batch=20,
        patch=PAPER_PATCH,
        learning_rate=1e-4,
        schedule="decay",
        max_steps=50_000,
    ),
    "fast": NipRecipe(
        batch=8,
        patch=PAPER_PATCH,
        learning_rate=1e-3,
        schedule="cosine",
        max_steps=10_000,
        warmup_steps=100,
        average_decay=0.995,
        muon=True,
    ),
}

CONTEXT_RECIPES = {
    "fast": ContextRecipe(
        batch=2,
        patch=256,
        learning_rate=5e-3,
        schedule="cosine",
        max_steps=8_000,
        warmup_steps=50,
        average_decay=0.995,
        clip_norm=1.0,
        muon=True,
    ),
}

VR_RECIPES = {
    "fast": VRRecipe(
        batch=8,
        patch=PAPER_PATCH,
        learning_rate=3e-3,
        schedule="constant",
        max_steps=500_000,
        warmup_steps=100,
        average_decay=0.999,
        clip_norm=1.0,
        muon=True,
    ),
}

TRACE_RECIPES = {
    "paper": TraceRecipe(
        batch=64,
        patch=PAPER_PATCH,
        learning_rate=1e-4,
        schedule="halving",
        max_steps=500_000,
        size="paper",
        classes=385,
    ),
    "fast": TraceRecipe(
        batch=32,
        patch=64,
        learning_rate=2e-3,
        schedule="cosine",
        max_steps=8_000,
        warmup_steps=50,
        average_decay=0.995,
        clip_norm=1.0,
        muon=True,
    ),
}
