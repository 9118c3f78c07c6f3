"""The ``dcn`` command: one module per sub-command; parses, prints, exits."""
