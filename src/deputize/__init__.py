"""Deputize gives an agent a badge, not your keys: agents hold nothing, and a person approves exactly what runs."""

__version__ = "0.1.0"
