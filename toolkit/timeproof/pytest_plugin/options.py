"""The plugin's options: those of `timeproof replay`, by the same names.

Imports nothing else of timeproof before one of them is used.
"""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from timeproof.store.layout import Archive, Ref

_REPLAY_OPTIONS: dict[str, dict[str, Any]] = {
    "allow": {
        "metavar": "VERDICT",
        "default": "identical",
        "help": "the worst verdict that passes: identical (the default), rounding, drift, outliers, broken",
    },
    "strict": {
        "action": "store_true",
        "help": "no witness makes good for a native answer on another CPU",
    },
    "image": {
        "metavar": "HOW",
        "default": "auto",
        "help": "where images come from: auto (the default), ready, registry, rebuild, stored",
    },
    "registry": {
        "metavar": "HOST/NAME",
        "default": None,
        "help": "an OCI registry; images are pulled from it by digest (or TIMEPROOF_REGISTRY)",
    },
    "no-cache": {"action": "store_true", "help": "a rebuild runs every step again"},
    "engine": {
        "metavar": "ENGINE",
        "default": None,
        "help": "docker, podman or none (or TIMEPROOF_ENGINE); by default what answers at a Docker socket",
    },
    "profile": {
        "metavar": "PROFILE",
        "default": None,
        "help": "other numeric settings than the recorded ones: a name, or a .toml file",
    },
    "timeout": {"metavar": "SECONDS", "type": float, "default": None, "help": "for one artifact"},
    "memory": {"metavar": "MIB", "type": int, "default": None, "help": "for the container"},
    "explain": {
        "action": "store_true",
        "help": "run what differs natively, portably and emulated, too: what restores it?",
    },
}


def add_options(parser: pytest.Parser) -> None:
    """Add the plugin's options to pytest's."""
    group = parser.getgroup("timeproof", "timeproof: replay archived models")
    group.addoption(
        "--timeproof-archive",
        metavar="DIR",
        type=Path,
        help="replay each artifact of this archive, as a test of its own; a folder, or an address such as"
        " s3://bucket/models",
    )
    group.addoption(
        "--timeproof-artifact",
        metavar="PATTERN",
        action="append",
        default=[],
        help="only these: grid-size-8/xgboost/v1, or a pattern such as '*/xgboost/*'; may be given again",
    )
    for name, settings in _REPLAY_OPTIONS.items():
        group.addoption(f"--timeproof-{name}", **settings)


def check_options(options: argparse.Namespace) -> None:
    """Refuse a wrong option before anything is collected. Raises pytest.UsageError."""
    from timeproof.engines.registry import NAMES
    from timeproof.errors import TimeproofError
    from timeproof.replaying.policy import check_allowed
    from timeproof.runs.image_provider import MODES
    from timeproof.runs.profiles import profile_named

    try:
        check_allowed(options.timeproof_allow)
    except TimeproofError as error:
        allow = options.timeproof_allow
        raise pytest.UsageError(f"--timeproof-allow={allow}: {error.message}; {error.advice}") from None
    if options.timeproof_image not in MODES:
        image = options.timeproof_image
        raise pytest.UsageError(f"--timeproof-image={image}: it is none of {', '.join(MODES)}")
    engine = engine_name(options)
    if engine is not None and engine not in NAMES:
        raise pytest.UsageError(f"--timeproof-engine={engine}: it is none of {', '.join(NAMES)}")
    for name, least in (("timeout", 0.1), ("memory", 64)):
        value = getattr(options, f"timeproof_{name}")
        if value is not None and not value >= least:
            raise pytest.UsageError(f"--timeproof-{name}={value}: it must be {least} or more")
    if options.timeproof_profile is not None:
        try:
            profile_named(options.timeproof_profile)
        except TimeproofError as error:
            profile = options.timeproof_profile
            raise pytest.UsageError(f"--timeproof-profile={profile}: {error.message}") from None


def engine_name(options: argparse.Namespace) -> str | None:
    """The engine that replays; None takes what answers at a Docker socket."""
    return options.timeproof_engine or os.environ.get("TIMEPROOF_ENGINE") or None


def registry_name(options: argparse.Namespace) -> str:
    """The registry that images come from; "" for none."""
    return str(options.timeproof_registry or os.environ.get("TIMEPROOF_REGISTRY", ""))


def reproduce(ref: Ref, archive: Archive, options: argparse.Namespace) -> str:
    """The command, quoted for a shell, that replays one artifact in the same way."""
    words = ["timeproof", "replay", str(ref), "--archive", archive.name]
    for name, settings in _REPLAY_OPTIONS.items():
        value = getattr(options, f"timeproof_{name.replace('-', '_')}")
        if value is True:
            words.append(f"--{name}")
        elif value != settings.get("default") and value is not False:
            words += [f"--{name}", str(value)]
    return shlex.join(words)
