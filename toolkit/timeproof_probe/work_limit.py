"""Counts what a model computes, so that this bounds a witness, and not how busy the machine is.

The unit is one multiply-add of a matrix product. Every operator costs some for being called, and some for
each element of its result. The sum is the same on every machine.
"""

from typing import Optional

from timeproof_probe.file_checks import Refused

_CALL = 50000  # of an operator: 10 microseconds, where a multiply-add takes 0.2 nanoseconds
_ELEMENT = 16  # of an element of its result: 3 nanoseconds


class Work:
    """What was computed so far, and how much may be. `bound` is None where there is none."""

    def __init__(self, bound: Optional[int]) -> None:
        self.bound = bound
        self.done = 0

    def add(self, elements: int, products: int) -> None:
        """Count one operator: the elements of its result, and its multiply-adds. Raises Refused."""
        self.done += _CALL + _ELEMENT * elements + products
        if self.bound is not None and self.done > self.bound:
            raise Refused(
                "its answer in float64 takes more than {:g} billion multiply-adds: it is computed only"
                " where it is asked for (--witness float64)".format(self.bound / 1e9)
            )
