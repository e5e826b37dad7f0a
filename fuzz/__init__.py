"""Programs that try a great many mutated inputs: `python -m fuzz.jose 1000000`."""
