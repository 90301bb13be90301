"""Every error that timeproof raises, grouped by who must act. No IO here.

A difference between two outputs is a *verdict*, never one of these.

.. code-block:: text

    TimeproofError                       exit
    ├── BadRequest                         2   the caller asked for something impossible
    │   ├── BadGridSize
    │   ├── NotFound
    │   └── BadPlugin
    ├── BadArchive                         3   the bytes on disk are not what they should be
    │   ├── Missing / Unlisted / NotRegular / Unreadable
    │   ├── SizeMismatch / DigestMismatch
    │   ├── UnsafePath
    │   ├── Malformed / NewerSchema / Limit
    │   ├── Exists
    │   └── ManyFindings
    ├── BadEnvironment                     4   the environment can't be locked, fetched or built
    │   ├── NotCapturable
    │   ├── LockFailed / FetchFailed / InterpreterAbsent
    │   ├── BuildFailed
    │   └── WrongImage / WrongPlatform
    ├── BadModel                           5   the model can't be archived as it is
    │   ├── NotArchivable / NotImportable / NotAModelPack
    │   └── SealFailed
    ├── EngineFailed                       6   the container engine is missing or failed
    │   ├── EngineMissing / EngineLost
    │   └── ToolMissing / ToolFailed
    ├── StorageFailed                      7   disk full, read-only, I/O error
    │   └── NoSpace
    └── RemoteFailed                       7   a bucket or a registry can't be reached, or gives other bytes
        └── AccessDenied
"""

from timeproof.errors.archive import (
    BadArchive,
    DigestMismatch,
    Exists,
    Limit,
    Malformed,
    ManyFindings,
    Missing,
    NewerSchema,
    NotRegular,
    SizeMismatch,
    Unlisted,
    Unreadable,
    UnsafePath,
    raise_findings,
)
from timeproof.errors.environment import (
    BadEnvironment,
    BuildFailed,
    FetchFailed,
    InterpreterAbsent,
    LockFailed,
    NotCapturable,
    WrongImage,
    WrongPlatform,
)
from timeproof.errors.machine import (
    AccessDenied,
    EngineFailed,
    EngineLost,
    EngineMissing,
    NoSpace,
    RemoteFailed,
    StorageFailed,
    ToolFailed,
    ToolMissing,
)
from timeproof.errors.model import BadModel, NotAModelPack, NotArchivable, NotImportable, SealFailed
from timeproof.errors.request import BadGridSize, BadPlugin, BadRequest, NotFound
from timeproof.errors.root import TimeproofError, sayable

__all__ = [
    "AccessDenied",
    "BadArchive",
    "BadEnvironment",
    "BadGridSize",
    "BadModel",
    "BadPlugin",
    "BadRequest",
    "BuildFailed",
    "DigestMismatch",
    "EngineFailed",
    "EngineLost",
    "EngineMissing",
    "Exists",
    "FetchFailed",
    "InterpreterAbsent",
    "Limit",
    "LockFailed",
    "Malformed",
    "ManyFindings",
    "Missing",
    "NewerSchema",
    "NoSpace",
    "NotAModelPack",
    "NotArchivable",
    "NotCapturable",
    "NotFound",
    "NotImportable",
    "NotRegular",
    "RemoteFailed",
    "SealFailed",
    "SizeMismatch",
    "StorageFailed",
    "TimeproofError",
    "ToolFailed",
    "ToolMissing",
    "Unlisted",
    "Unreadable",
    "UnsafePath",
    "WrongImage",
    "WrongPlatform",
    "raise_findings",
    "sayable",
]
