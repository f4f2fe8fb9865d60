"""Phone numbers that nobody has: +1 NXX 555 01xx is kept free for fiction."""

import itertools
from collections.abc import Iterator

# Without the codes of services: 5xx and 6xx (personal numbers, VoIP), 8xx (toll-free), 900 (premium).
_AREAS = (*range(200, 500), *range(701, 800), *range(901, 1000))
COUNT = len(_AREAS) * 100


def phones(first: int = 0) -> Iterator[str]:
    """Give numbers, the same again only after all of them.

    Neighbours have different area codes, so that none of the blocks of 1,000 numbers, each of which has a limit of its
    own on unverified codes, is asked for more often than the others.
    """
    for number in itertools.count(first):
        yield f"+1{_AREAS[number % len(_AREAS)]}55501{number // len(_AREAS) % 100:02d}"
