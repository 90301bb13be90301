"""What a model file is, by its bytes: nothing is loaded, unpickled or run.

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


def identify(path: Path) -> FrameworkSpec | Foreign | None:
    """Give the framework, or what the file is instead; None where the bytes tell nothing.

    A folder is held for a model only by frameworks that archive folders. Raises OSError.
    """
    file = ModelFile.at(path)
    for spec in specs():
        if spec.sniff and (spec.folders or not file.is_folder):
            sniff: Sniff = load_attribute(spec.sniff)
            answer = sniff(file)
            if answer is not False:
                return spec if answer is True else answer
    return None if file.is_folder else foreign_files.identify(file)
