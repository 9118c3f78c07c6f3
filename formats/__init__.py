"""Bytes on disk: the dcn bit-stream and container, image files, and other codecs."""
