"""What a user says of a toy model."""

from timeproof.frameworks.options import FrameworkOptions


class ToyOptions(FrameworkOptions):
    """Options of a toy model. `scale`: what its answers are multiplied by."""

    scale: float = 1.0
