"""The trainings: codec, forensic network, camera pipeline; each with its setup."""
