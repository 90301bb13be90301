"""A frozen Dockerfile may say what a recipe says, and nothing else: an archive may be anyone's."""

from __future__ import annotations

import pytest

from timeproof.errors import Malformed
from timeproof.images.dockerfile import LAYERS, check_dockerfile, write_dockerfile
from timeproof.images.ingredients import Ingredients
from timeproof.store.schema.v1 import PackageEntry

H = "a" * 64
BIND = f"--mount=type=bind,source={H},target="
GOOD = f"""# Made from the lock, and frozen.
FROM scratch AS python
ADD {H}.tar /

FROM python AS wheel-numpy
RUN --network=none {BIND}/tools {BIND}/wheel ["/p", "x"]

FROM scratch
ADD --link {H}.tar /
COPY --link --from=wheel-numpy /out/ /
ENV PATH=/opt/env/bin LC_ALL=C.UTF-8
USER 65534:65534
ENTRYPOINT ["/opt/env/bin/python3", "-s"]
"""


def test_what_a_recipe_says_is_allowed():
    check_dockerfile(GOOD, "Dockerfile")


@pytest.mark.parametrize("count", [0, 1, 5, LAYERS + 3])
def test_what_is_written_is_allowed(count):
    """The law of the two: the checker takes whatever the writer writes."""
    entries = [
        PackageEntry(kind=kind, name=kind, version="1", file="x", size=k, sha256=f"{k:064x}")
        for k, kind in enumerate(["base", "conda-part", *["wheel"] * count])
    ]
    ingredients = Ingredients(entries[0], entries[1], tuple(entries[2:]), b"")
    check_dockerfile(write_dockerfile(ingredients, H, f"{H}.tar"), "Dockerfile")


@pytest.mark.parametrize(
    "line",
    [
        "# syntax=docker/dockerfile:1",
        "#syntax = example.org/frontend",
        "# escape=`",
        "FROM debian",
        "FROM debian AS python",
        "FROM wheel-later AS early",
        "COPY --link --from=debian /out/ /",
        "COPY --link --from=scratch /out/ /",
        "COPY . /",
        "ADD https://example.org/x.tar /",
        f"ADD {H}.tar /etc",
        'RUN ["/p"]',
        f'RUN --network=default --mount=type=bind,source={H},target=/tools ["/p"]',
        f'RUN --network=none --network=host --mount=type=bind,source={H},target=/tools ["/p"]',
        "RUN --network=none --mount=type=secret,id=x,target=/tools []",
        f"RUN --network=none --mount=type=bind,source={H},target=/tools curl example.org",
        'RUN --security=insecure ["/p"]',
        # A RUN that is not a list of texts is given to a shell; one that mounts otherwise is not ours.
        f"RUN --network=none {BIND}/tools {BIND}/wheel /p x",
        f'RUN --network=none {BIND}/tools {BIND}/wheel ["/p"] && ["x"]',
        f'RUN --network=none {BIND}/tools {BIND}/wheel ["/p", x]',
        f'RUN --network=none {BIND}/tools {BIND}/wheel ["/p",]',
        f'RUN --network=none {BIND}/tools {BIND}/wheel ["/p" "x"]',
        f'RUN --network=none {BIND}/tools {BIND}/wheel ["/p", "x\\"]',
        f"RUN --network=none {BIND}/tools {BIND}/wheel []",
        f'RUN --network=none {BIND}/tools ["/p"]',
        f'RUN --network=none {BIND}/wheel ["/p"]',
        f'RUN --network=none {BIND}/tools {BIND}/tools ["/p"]',
        f'RUN --network=none {BIND}/wheel {BIND}/tools ["/p"]',
        f'RUN --network=none {BIND}/tools {BIND}/wheel {BIND}/tools ["/p"]',
        f'RUN --network=none {BIND}/tools {BIND}/wheel,rw ["/p"]',
        f'RUN --network=none {BIND}/tools {BIND}/etc ["/p"]',
        f'RUN --network=none {BIND}/tools --mount=type=cache,target=/wheel ["/p"]',
        f'RUN --network=none {BIND}/tools --mount=type=bind,source=.,target=/wheel ["/p"]',
        f'RUN --network=none {BIND}/tools --mount=type=bind,from=x,source={H},target=/wheel ["/p"]',
        f'RUN {BIND}/tools {BIND}/wheel ["/p"]',
        f'RUN --network=none --security=insecure {BIND}/tools {BIND}/wheel ["/p"]',
        f'run --network=none {BIND}/tools {BIND}/wheel ["/p"]',
        f"RUN --network=none {BIND}/tools {BIND}/wheel <<EOF",
        "ENV PATH",
        "ENV PATH /opt/env/bin",
        "ENV A=$PATH",
        'ENV A="b c"',
        "ENV A=b\tC=d",
        "ENV a=b",
        "ENV A=é",
        "USER root",
        "USER 0",
        "USER 65534:nogroup",
        "USER ٠:٠",
        "ENTRYPOINT /x",
        "ENTRYPOINT []",
        'ENTRYPOINT ["/x"] "]',
        'ENTRYPOINT ["/x", "$(id)\\"]',
        'CMD ["/x"]',
        f"ADD --link --chmod=777 {H}.tar /",
        f"ADD --checksum=sha256:{H} https://example.org/x.tar /",
        "COPY --link --from=wheel-numpy / /",
        "COPY --link --from=wheel-numpy /out/ /etc",
        "FROM --platform=linux/arm64 scratch",
        "FROM scratch AS x AS y",
        " USER 1:1",
        "USER 1:1\r",
        "# x\n\u2028RUN x",
        "ARG X",
        "ONBUILD RUN x",
        'SHELL ["/bin/sh"]',
        "VOLUME /x",
        'ENTRYPOINT ["/x"] \\',
        "from scratch",
    ],
)
def test_every_other_line_is_named(line):
    with pytest.raises(Malformed, match=r"line 1[45]"):
        check_dockerfile(GOOD + line + "\n", "Dockerfile")
