"""What every training stands on: runs, checkpoints, optimiser, data, log, export."""
