"""timeproof: archive a model with its answers and its environment, and replay it bit for bit.

    >>> import timeproof
    >>> timeproof.archive(model, {"x": x}, grid_size=8)          # doctest: +SKIP
    >>> timeproof.replay("grid-size-8/pytorch/v1").passes()      # doctest: +SKIP

Importing it imports no framework.
"""

from timeproof.api import archive, import_models, replay
from timeproof.version import VERSION as __version__

__all__ = ["__version__", "archive", "import_models", "replay"]
