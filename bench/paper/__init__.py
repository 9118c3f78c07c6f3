"""Redraws the paper's figures; each module runs as ``python -m dcncodec.bench.paper.NAME``."""
