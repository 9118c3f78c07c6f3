"""What programs do to photos, by the functions of their libraries (Pillow, OpenCV, scipy,
scikit-image), as values that can be listed, named and applied.

``hierarchy`` holds the 385 manipulations of ManTra-Net in its six levels, ``variants`` several
implementations and strengths of each class of the DCN paper. All take and give uint8 (H, W, 3)::

    from dcncodec.forensics.operations.variants import VARIANTS
    operation = VARIANTS["sharpen"][0]
    changed = operation.apply(pixels, np.random.default_rng(0))

The manipulations that a codec is tuned through, differentiable and in torch, are
``forensics.manipulations``.
"""
