"""Wait for a condition, never for a time."""

import time


class Timeout(AssertionError):
    pass


def until(what, condition, seconds=60.0, step=0.02):
    """Call condition until it gives something true, which is returned; one that raises because what it looks at is not there yet
    has given nothing. what: a sentence for the failure; a callable is asked for it at the end, to show the last state seen."""
    deadline = time.monotonic() + seconds
    problem = None
    while True:
        try:
            got = condition()
            problem = None
        except (OSError, RuntimeError, LookupError, StopIteration, ValueError, AssertionError) as e:
            got, problem = None, e
        if got:
            return got
        if time.monotonic() >= deadline:
            words = what() if callable(what) else what
            raise Timeout(f"not within {seconds:g} s: {words}" + (f" ({problem!r})" if problem else ""))
        time.sleep(step)
