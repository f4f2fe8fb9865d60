"""Auth1: self-hosted phone and email authentication. The README holds the map of the house."""

__version__ = "0.1.0"
