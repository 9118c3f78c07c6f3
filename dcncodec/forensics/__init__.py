"""Forensics: camera, manipulations, channel, analysis and detection around the codec."""
