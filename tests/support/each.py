"""Many short checks in one test. A case of `pytest.mark.parametrize` takes ten times as long as such a check."""

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any

Test = Callable[..., Any]


def each(names: str, values: Collection[Any], ids: Callable[[Any], object] = str) -> Callable[[Test], Test]:
    """Call a test with each value, as `parametrize` would; it fails with a line for each value that fails.

    With several names, separated by commas, each value is a tuple.
    """
    assert values, "nothing to check"
    keys = names.replace(" ", "").split(",")

    def decorate(test: Test) -> Test:
        signature = inspect.signature(test)
        rest = [parameter for name, parameter in signature.parameters.items() if name not in keys]

        if inspect.iscoroutinefunction(test):

            @functools.wraps(test)
            async def run(**fixtures: Any) -> None:
                failures = []
                for value in values:
                    try:
                        await test(**fixtures, **_named(keys, value))
                    except AssertionError as error:
                        failures.append(f"{ids(value)}: {error}")
                    except Exception as error:
                        error.add_note(f"at {ids(value)}")
                        raise
                assert not failures, "\n".join(failures)
        else:

            @functools.wraps(test)
            def run(**fixtures: Any) -> None:
                failures = []
                for value in values:
                    try:
                        test(**fixtures, **_named(keys, value))
                    except AssertionError as error:
                        failures.append(f"{ids(value)}: {error}")
                    except Exception as error:
                        error.add_note(f"at {ids(value)}")
                        raise
                assert not failures, "\n".join(failures)

        run.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]  # as inspect documents
        return run

    return decorate


def _named(keys: list[str], value: Any) -> dict[str, Any]:
    return dict(zip(keys, value if len(keys) > 1 else (value,), strict=True))
