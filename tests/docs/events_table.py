"""Write the list of events in docs/errors-and-events.md: `python -m tests.docs.events_table`."""

from pathlib import Path

from auth1.events.types import FIELDS, EventType

PAGE = Path(__file__).parents[2] / "docs" / "errors-and-events.md"
BEGIN, END = "<!-- events: python -m tests.docs.events_table -->\n", "<!-- end of events -->\n"


def table() -> str:
    """Return the tables of types and fields."""
    types = [
        f"| `{event.value}` | {event.subject} | {event.condition} | {' '.join(f'`{name}`' for name in event.fields)} |"
        for event in EventType
    ]
    fields = [f"| `{name}` | {text} |" for name, text in FIELDS.items()]
    return "\n".join(
        [
            *("| type | subject | condition | data |", "|---|---|---|---|", *types, ""),
            *("| field of `data` | is |", "|---|---|", *fields, ""),
        ]
    )


def replace(page: str) -> str:
    """Return the page with the current tables."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(replace(PAGE.read_text()))
