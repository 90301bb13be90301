"""A frozen Dockerfile may say what a recipe says, and nothing else: an archive may be anyone's."""

from __future__ import annotations

import pytest

from timeproof.errors import Malformed
from timeproof.images.dockerfile import check_dockerfile

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
        "ARG X",
        "ONBUILD RUN x",
        'SHELL ["/bin/sh"]',
        "VOLUME /x",
        'ENTRYPOINT ["/x"] \\',
        "from scratch",
    ],
)
def test_every_other_line_is_named(line):
    with pytest.raises(Malformed, match="line 14"):
        check_dockerfile(GOOD + line + "\n", "Dockerfile")
