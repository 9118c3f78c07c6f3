"""Network definitions and the trained weights that come with the package."""
