"""Other codecs' files: JPEG and its like through Pillow, BPG and HEVC by hand."""
