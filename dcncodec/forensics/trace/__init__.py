"""Where was a photo manipulated? ManTra-Net (Wu et al., CVPR 2019), networks in ``models.trace``.

``synthesis`` makes photos with a manipulated part and its mask, to learn from and to measure with;
``localise`` draws the map of any photo; ``masks`` and ``evaluate`` measure maps against masks.
"""
