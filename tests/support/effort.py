"""The number of examples that tests try: enough to find a fault in CI, and more in `just thorough`."""

import os

IS_THOROUGH = os.environ.get("AUTH1_THOROUGH") == "1"


def effort(usual: int, thorough: int) -> int:
    """Return a number of examples, rounds or racing calls."""
    return thorough if IS_THOROUGH else usual
