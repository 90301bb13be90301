"""What a model file or folder is, by its bytes: nothing is loaded, unpickled or run.

Each framework says of its own files whether they can be archived as they are (`FrameworkSpec.sniff`); what no
framework knows, `foreign_files` names, with a way that works.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from timeproof.frameworks import foreign_files
from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.foreign_files import Foreign
from timeproof.frameworks.registry import specs
from timeproof.frameworks.spec import FrameworkSpec, load_attribute

# True: a file of the framework, which can be archived as it is. False: not one of the framework's.
Sniff = Callable[[ModelFile], bool | Foreign]
# The same of a folder that is one model.
SniffFolder = Callable[[Path], bool | Foreign]


def identify(path: Path) -> FrameworkSpec | Foreign | None:
    """Give the framework, or what the file is instead; None where the bytes tell nothing. Raises OSError."""
    file = ModelFile.at(path)
    for spec in specs():
        if spec.sniff:
            sniff: Sniff = load_attribute(spec.sniff)
            answer = sniff(file)
            if answer is not False:
                return spec if answer is True else answer
    return foreign_files.identify(file)


def identify_folder(path: Path) -> FrameworkSpec | Foreign | None:
    """Give the framework that a folder is a model of, or what it is instead. Raises OSError."""
    for spec in specs():
        if spec.sniff_folder:
            sniff: SniffFolder = load_attribute(spec.sniff_folder)
            answer = sniff(path)
            if answer is not False:
                return spec if answer is True else answer
    return None
