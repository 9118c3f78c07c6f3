"""Networks on a device: windows with a halo, memory, precision."""
