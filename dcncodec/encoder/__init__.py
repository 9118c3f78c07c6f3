"""What only an encoder decides: the rate for a quality, a size or a likeness."""
