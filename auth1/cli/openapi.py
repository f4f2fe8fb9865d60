"""`auth1 openapi`."""

import sys
from argparse import Namespace

from auth1.openapi.document import MissingMetadata, describe, render
from auth1.routes import ROUTES


def openapi(options: Namespace) -> None:
    """Print the OpenAPI document of the routes. Exits 1 where a route lacks its metadata."""
    try:
        text = render(describe(ROUTES))
    except MissingMetadata as error:
        sys.exit(f"auth1: {error}")
    sys.stdout.buffer.write(text)
