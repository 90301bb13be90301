""".pt2 files, by their bytes: what torch.export.save writes, before and since 2.8. Nothing is loaded here."""

from __future__ import annotations

from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.foreign_files import LIVE, Foreign

# What torch.export.save wrote before 2.8, where the members lie in no folder.
EARLIER_PROGRAM = "serialized_exported_program.json"
EARLIER_SAMPLES = "serialized_example_inputs.pt"
PROGRAM = "models/model.json"
SAMPLES = "data/sample_inputs/model.pt"
_COMPILED = "data/aotinductor/"

_AHEAD_OF_TIME = Foreign(
    "an exported PyTorch program that was compiled ahead of time (AOTInductor): code for one kind of CPU",
    "save the program itself before it is compiled: torch.export.save(torch.export.export(model, args),"
    " 'model.pt2'), and archive that file; or archive the nn.Module that it was made from: "
    f"{LIVE}",
)
_OTHER = Foreign(
    "a .pt2 archive without a program of the name 'model'",
    "save one program with torch.export.save(program, 'model.pt2'), and archive that file",
)


def sniff(file: ModelFile) -> bool | Foreign:
    """Say whether it is a program as torch.export.save writes it; what else a .pt2 may hold is named."""
    if not file.is_zip:
        return False
    members = file.members or frozenset()
    if EARLIER_PROGRAM in members:
        return True
    names = {name.partition("/")[2] for name in members}
    if "archive_format" not in names:
        return False
    if any(name.startswith(_COMPILED) for name in names):
        return _AHEAD_OF_TIME
    return True if PROGRAM in names else _OTHER
