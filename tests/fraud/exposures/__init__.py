"""Tests of exposures: acquired in Redis, settled, saved, and the copy of a worker."""
