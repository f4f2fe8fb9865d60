"""Fictional phone numbers: +1 NXX 555 01xx is never assigned."""

import itertools
from collections.abc import Iterator

# Without the codes of services: 5xx and 6xx (personal numbers, VoIP), 8xx (toll-free), 900 (premium).
_AREAS = (*range(200, 500), *range(701, 800), *range(901, 1000))
COUNT = len(_AREAS) * 100


def phones(first: int = 0) -> Iterator[str]:
    """Yield numbers; a number repeats only after all others.

    Neighbours have different area codes, so that requests are spread evenly over blocks of 1,000 numbers, which have
    limits on unverified codes.
    """
    for number in itertools.count(first):
        yield f"+1{_AREAS[number % len(_AREAS)]}55501{number // len(_AREAS) % 100:02d}"
