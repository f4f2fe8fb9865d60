"""A model of a sliding window of ten parts: each request counts until its part leaves the window."""

from collections import defaultdict

from auth1.core.ratelimit import RateLimit


class Model:
    """All rate limits; times are whole milliseconds."""

    def __init__(self) -> None:
        self.acquired_until: dict[str, list[int]] = defaultdict(list)

    def used(self, bucket: RateLimit, moment: int) -> int:
        return sum(until > moment for until in self.acquired_until[bucket.key])

    def has_room(self, bucket: RateLimit, moment: int) -> bool:
        return self.used(bucket, moment) < bucket.limit

    def wait(self, bucket: RateLimit, moment: int) -> int:
        """Return the time until a request is allowed."""
        ends = [moment, *sorted(until for until in self.acquired_until[bucket.key] if until > moment)]
        return next(end for end in ends if self.has_room(bucket, end)) - moment

    def acquire(self, buckets: tuple[RateLimit, ...], moment: int) -> list[int]:
        """Acquire, and return what the script returns."""
        waits = [self.wait(bucket, moment) for bucket in buckets]
        longest = max(waits)
        limited_by = waits.index(longest) + 1 if longest else 0
        answer = [limited_by, longest]
        for bucket in buckets:
            this_tenth_ends = end_of_slot(bucket, moment)
            if not limited_by:
                self.acquired_until[bucket.key].append(this_tenth_ends)
            live = [until for until in self.acquired_until[bucket.key] if until > moment]
            answer += [max(0, bucket.limit - len(live)), min([*live, this_tenth_ends]) - moment]
        return answer

    def release(self, bucket: RateLimit, moment: int) -> int:
        """Release the newest request."""
        live = [until for until in self.acquired_until[bucket.key] if until > moment]
        if live:
            self.acquired_until[bucket.key].remove(max(live))
        return int(bool(live))


def end_of_slot(bucket: RateLimit, moment: int) -> int:
    """Return when a request stops counting: ten tenths after its tenth began."""
    tenth = bucket.window_ms // 10
    return moment - moment % tenth + 10 * tenth
