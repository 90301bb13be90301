"""What an answer depends on beside its model: CPU, profile, image, versions. Two sides, and what differs.

Values only, no IO. What a container says of its machine is not trusted, and is taken as text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from timeproof.frameworks.registry import module_of, runtime_of
from timeproof.store.schema.v1 import Metadata, ProfileRecord

# The flags that choose kernels, of x86 and of ARM; the others (virtualisation, mitigations, …) don't round.
_RELEVANT = re.compile(
    r"(?:sse|ssse|pni|avx|fma|f16c|amx|xop|asimd|sve|sme|neon|bf16|i8mm|fphp)[0-9a-z_]*", re.ASCII
)
_NAMED = 6  # flags named in a sentence


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One side. An empty value is unknown, and counts as equal to any other."""

    cpu: str = ""
    flags: tuple[str, ...] = ()  # of its instruction set, those that choose kernels
    arch: str = ""
    kernel: str = ""
    libc: str = ""
    python: str = ""
    framework: str = ""  # name and version
    profile: ProfileRecord | None = None
    image: str = ""  # the digest of its configuration

    def to_json(self) -> dict[str, Any]:
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        profile = self.profile.model_dump(mode="json") if self.profile is not None else None
        return plain | {"flags": list(self.flags), "profile": profile}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs between both sides: `what`, `then` and `now` are words for people."""

    what: str
    then: str
    now: str

    def __str__(self) -> str:
        if self.what == "profile":
            return f"replayed under the profile {self.now}; recorded under {self.then}"
        return f"the {self.what} is {self.now}; the recorded one is {self.then}"


def _machine(report: object) -> dict[str, Any]:
    facts = report if isinstance(report, dict) else {}
    flags = facts.get("flags")
    listed = [str(f) for f in flags] if isinstance(flags, list) else []
    return {
        **{key: str(facts.get(key) or "") for key in ("cpu", "arch", "kernel", "libc")},
        "flags": tuple(sorted({f for f in listed if _RELEVANT.fullmatch(f)})),
    }


def versioned(framework: str, version: str | None) -> str:
    """Name a framework, or the library that runs its models, with its version; "" where it has none."""
    return f"{runtime_of(framework)} {version}" if version else ""


def recorded(metadata: Metadata) -> Fingerprint:
    """The side on which the artifact was sealed. Of an imported one only its environment is known."""
    return Fingerprint(
        **_machine(metadata.machine.model_dump()),
        python=metadata.framework.python,
        framework=versioned(metadata.framework.name, metadata.framework.version),
        profile=metadata.profile,
        image=metadata.environment.image.config,
    )


def present(
    metadata: Metadata,
    hello: Mapping[str, Any],
    versions: Mapping[str, str],
    profile: ProfileRecord,
    image: str,
    *,
    simulated: str = "",
) -> Fingerprint:
    """The side on which it is replayed.

    Args:
        hello: what the probe said of itself and its machine.
        versions: of the libraries that the probe loaded.
        image: the digest of its configuration.
        simulated: the CPU that was simulated for the probe; it hides the machine's own.
    """
    machine = _machine(hello.get("machine"))
    if simulated:
        machine |= {"cpu": f"{simulated}, simulated", "flags": ()}
    name = metadata.framework.name
    library = metadata.framework.module or module_of(name)
    return Fingerprint(
        **machine,
        python=str(hello.get("python") or ""),
        framework=versioned(name, versions.get(library)),
        profile=profile,
        image=image,
    )


def differences(then: Fingerprint, now: Fingerprint) -> list[Difference]:
    """List what differs between both sides, the likeliest cause of other bits first."""
    differing = []

    def compare(name: str, before: str, after: str) -> None:
        if before and after and before != after:
            differing.append(Difference(name, before, after))

    compare("image", then.image, now.image)
    compare("framework", then.framework, now.framework)
    compare("Python", then.python, now.python)
    if then.profile is not None and now.profile is not None and then.profile != now.profile:
        names = then.profile.name, now.profile.name
        alike = names[0] == names[1]
        differing.append(Difference("profile", names[0], f"another {names[1]}" if alike else names[1]))
    compare("architecture", then.arch, now.arch)
    if then.flags and now.flags and then.flags != now.flags:
        lost, gained = set(then.flags) - set(now.flags), set(now.flags) - set(then.flags)
        differing.append(Difference("instruction set", _listed(lost), _listed(gained)))
    compare("CPU", then.cpu, now.cpu)
    compare("C library", then.libc, now.libc)
    compare("kernel", then.kernel, now.kernel)
    return differing


def same(then: Fingerprint, now: Fingerprint) -> list[str]:
    """Name what is known to be equal on both sides."""
    words = {
        "image": "the image",
        "profile": "the profile",
        "cpu": "the CPU",
        "flags": "its instruction set",
        "kernel": "the kernel",
    }
    return [
        word
        for name, word in words.items()
        if getattr(then, name) and getattr(then, name) == getattr(now, name)
    ]


def _listed(flags: set[str]) -> str:
    if not flags:
        return "without more"
    first = sorted(flags)[:_NAMED]
    more = f" and {len(flags) - _NAMED} more" if len(flags) > _NAMED else ""
    return f"with {', '.join(first)}{more}"


def cause(differing: list[Difference]) -> str:
    """Name the likeliest cause of other bits, in one word or two."""
    names = {d.what for d in differing}
    for likely in ("image", "framework", "Python", "profile", "architecture", "instruction set", "CPU"):
        if likely in names:
            return likely
    return differing[0].what if differing else "nothing that was recorded is another"


def is_other_cpu(differing: list[Difference]) -> bool:
    """Whether this is another CPU than the recorded one: no profile promises identity there."""
    return any(d.what in {"architecture", "instruction set", "CPU"} for d in differing)
