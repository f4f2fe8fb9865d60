"""Auth1: self-hosted phone and email authentication."""

__version__ = "0.1.0"
