"""Write ops/nginx/conf.d/auth1-routes.conf, the route labels of nginx's access log, from the table of routes.

`just openapi` runs this module. A path without a label is logged as `none`, so that no secret in a path is logged.
"""

import re
from pathlib import Path

from auth1.routes import ROUTES

FILE = Path(__file__).parents[2] / "ops/nginx/conf.d/auth1-routes.conf"
HEADER = """\
# The label of each path in the access log. Goes to /etc/nginx/conf.d/.
# Generated from auth1/routes.py by `just openapi`: do not edit.
# All other paths are `none`: what a client writes into a path is never logged.
map $uri $auth1_route {
    default none;
"""


def render() -> str:
    """Return the file: one line per path, in the order in which Auth1 matches them."""
    paths = list(dict.fromkeys(route.path for route in ROUTES))
    return HEADER + "".join(f'    "{_pattern(path)}" "{path}";\n' for path in paths) + "}\n"


def _pattern(path: str) -> str:
    """Return a path as nginx's map matches it: exact, or a regular expression where it has parameters."""
    if "{" not in path:
        return path
    return "~^" + re.sub(r"\{\w+\}", "[^/]+", re.sub(r"([.])", r"\\\1", path)) + "$"


if __name__ == "__main__":
    FILE.write_text(render())
