"""Write the list of errors in docs/errors-and-events.md: `python -m tests.docs.errors_table`."""

from auth1.errors import ALL
from tests.docs.events_table import PAGE

BEGIN, END = "<!-- errors: python -m tests.docs.errors_table -->\n", "<!-- end of errors -->\n"


def table() -> str:
    """Return one row for each error, by status and code."""
    rows = [
        f"| {error.status} | `{error.code}` | {(error.__doc__ or '').splitlines()[0]} |"
        for error in sorted(ALL, key=lambda error: (error.status, error.code))
    ]
    return "\n".join(["| status | `code` | default `detail` |", "|---|---|---|", *rows, ""])


def replace(page: str) -> str:
    """Return the page with the current table."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(replace(PAGE.read_text()))
