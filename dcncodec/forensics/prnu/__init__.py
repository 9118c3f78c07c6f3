"""Sensor fingerprints (PRNU): which camera took a photo, and where it was changed.

Every photo-site of a sensor has a gain of its own, 1 + K. What a denoiser takes out of photos holds
a trace of K; averaged over many photos of one camera it gives the camera's fingerprint (NIP paper,
section 3.3; Chen, Fridrich, Goljan, Lukáš 2008). ``fingerprint`` estimates it, ``match`` compares a
photo with it, ``localise`` finds the parts of a photo that lack it; ``transfer`` and ``survive``
measure what camera pipelines and codecs leave of it.
"""
