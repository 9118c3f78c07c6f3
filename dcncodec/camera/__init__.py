"""RAW development: the standard pipeline, neural ones, simulated acquisition."""
