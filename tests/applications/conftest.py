"""Applications of kind machine."""

from tests.oauth.machine import machine as machine
from tests.oauth.machine import new_machine as new_machine
