"""The kinds of applications."""

from typing import Literal

# web: on a server, with a secret. spa: in a browser. native: on a device. machine: a server that acts for itself.
Kind = Literal["web", "spa", "native", "machine"]
