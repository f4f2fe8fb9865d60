"""The shapes of load: the rate of arrivals over the time of a run. `bench.load` and `locustfile.py` use them.

A shape maps the elapsed part of the run (0 to 1) to a multiple of the base rate.

    steady   the base rate
    morning  up from a tenth to the base rate, a plateau, and down to a half: the peak of a day, compressed
    launch   a fiftieth, then suddenly the base rate, which decays to a fifth: ×50 within a second
    attack   the base rate; of ten arrivals, seven are an attacker's (`bench.load.ATTACKS`)
"""

from collections.abc import Callable, Iterator

Shape = Callable[[float], float]


def steady(_: float) -> float:
    """Return the base rate."""
    return 1.0


def morning(part: float) -> float:
    """Rise for 40 % of the time, stay for 30 %, fall for the rest."""
    if part < 0.4:
        return 0.1 + 0.9 * part / 0.4
    return 1.0 if part < 0.7 else 1.0 - 0.5 * (part - 0.7) / 0.3


def launch(part: float) -> float:
    """Stay at a fiftieth for 20 % of the time, jump to the base rate, and decay from the middle on."""
    if part < 0.2:
        return 1 / 50
    return 1.0 if part < 0.5 else max(0.2, 1.0 - 0.8 * (part - 0.5) / 0.3)


SHAPES: dict[str, Shape] = {"steady": steady, "morning": morning, "launch": launch, "attack": steady}


def arrivals(shape: Shape, rate: float, seconds: float) -> Iterator[float]:
    """Yield the times of arrivals, in seconds from the start of the run, evenly spaced at each moment's rate."""
    moment = 0.0
    while moment < seconds:
        yield moment
        moment += 1 / (rate * shape(moment / seconds))
