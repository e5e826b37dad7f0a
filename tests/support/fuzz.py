"""A pytest plugin for `make fuzz`: properties meet many more examples than in an ordinary run."""

from hypothesis import settings

settings.register_profile("fuzz", max_examples=20_000, deadline=None)
settings.load_profile("fuzz")
