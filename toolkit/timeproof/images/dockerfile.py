"""What a frozen Dockerfile may say. Text in, findings out.

An archive may be anyone's, and its checksums fit whatever its maker wrote. So a Dockerfile is held to the
few lines that `recipe.dockerfile` writes: nothing that pulls, nothing that reaches a network, nothing
that mounts more than the context.
"""

from __future__ import annotations

import re

from timeproof.errors import Malformed

_STAGE = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_BIND = r"--mount=type=bind,source=[0-9a-f]{64},target=/(?:tools|wheel)"
_DIRECTIVE = re.compile(r"#\s*[A-Za-z]+\s*=")
_FROM = re.compile(rf"FROM ({_STAGE})(?: AS ({_STAGE}))?")
_COPY = re.compile(rf"COPY --link --from=({_STAGE}) /out/ /")
_OTHERS = (
    re.compile(r"#.*|"),
    re.compile(r"ADD (?:--link )?[0-9a-f]{64}\.tar /"),
    re.compile(rf"RUN --network=none {_BIND} {_BIND} \[\"[^\\]*\"\]"),
    re.compile(r"ENV [A-Z_]+=[\w./:-]+(?: [A-Z_]+=[\w./:-]+)*"),
    re.compile(r"USER \d+:\d+"),
    re.compile(r"ENTRYPOINT \[\"[^\\]*\"\]"),
)


def check_dockerfile(text: str, path: object) -> None:
    """Raise Malformed, naming every line that no recipe of ours holds."""
    stages = {"scratch"}
    issues = []
    for number, line in enumerate(text.splitlines(), 1):
        if _DIRECTIVE.match(line):
            issues.append(f"line {number} is a directive to the parser: {line[:80]!r}")
        elif start := _FROM.fullmatch(line):
            if start[1] not in stages:
                issues.append(f"line {number} starts from {start[1]!r}, which is no stage before it")
            if start[2]:
                stages.add(start[2])
        elif copy := _COPY.fullmatch(line):
            if copy[1] not in stages - {"scratch"}:
                issues.append(f"line {number} copies from {copy[1]!r}, which is no stage before it")
        elif not any(pattern.fullmatch(line) for pattern in _OTHERS):
            issues.append(f"line {number} is none that a recipe holds: {line[:80]!r}")
    if issues:
        raise Malformed(path, issues)
