"""Rate-distortion and speed benchmarks; each module runs as ``python -m dcncodec.bench.NAME``."""
