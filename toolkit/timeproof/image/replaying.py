"""REPLAY.md: how to replay an environment's artifacts with docker alone. Text in, text out."""

from __future__ import annotations

from collections.abc import Sequence

from timeproof.archive.model import ImageIdentity, PackageEntry

_TEXT = """\
# Replaying the artifacts of `{folder}` with docker alone

Nothing of the timeproof toolkit is needed: a container engine, `tar`, `sha256sum`, and this archive.
All commands are run in the archive's own folder, the one that holds `environments/`.

## 1. Check the bytes

Each artifact's `metadata_*.json` lists its files with their SHA-256; so does this folder's
`image.json`. Compare them with `sha256sum FILE` before anything is loaded.

## 2. Load the image

    tar -C images -cf - . | docker load

and see that the engine now holds the image, by its digest:

    docker image inspect {manifest}

| | |
|---|---|
| manifest digest | `{manifest}` |
| config digest | `{config}` |
| platform | `{platform}` |

The diff_ids (of the uncompressed layers) are in `image.json`.

## 3. Run the frozen probe

The image's entry point is the probe. It takes a job file, and writes frames to its standard output: a
JSON header and raw array bytes each. This runs grid-size-8/pytorch/v1; the sizes and hashes of
`files`, the `options` and the profile's variables (`--env`) stand in that artifact's metadata.

    docker run --rm --pull never --network none --read-only --cap-drop ALL \\
      --security-opt no-new-privileges --user 65534 --tmpfs /tmp:mode=1777 \\
      --ulimit nofile=4096:4096 \\
      --mount type=bind,source="$PWD/grid-size-8/pytorch",target=/in/0,readonly \\
      --mount type=bind,source="$PWD/job.json",target=/job/job.json,readonly \\
      --env OMP_NUM_THREADS=1 … \\
      {manifest} /job/job.json > frames

Without the probe, any script can do the same in this container:
`docker run … --entrypoint /opt/env/bin/python3 {manifest} …`.

## 4. Or build it again

`recipe/` is the frozen build context. Stage it with the packages, each in a folder named by its hash
(`recipe/recipe.json` lists them; a `wheel` lies at `<sha256>/<file>`, a `base` and a `conda-part` at
`<sha256>.tar`, the `tools` files in their folder, the probe at `<sha256>.tar`), then:

    CONTEXTS=<folder above> ENVIRONMENTS=<its name> docker buildx bake -f recipe/docker-bake.hcl

The config digest and the diff_ids must be the ones above; they don't depend on compression.

## The packages ({count}, {megabytes:.0f} MB)

{table}
"""


def replay_md(folder: str, image: ImageIdentity, packages: Sequence[PackageEntry]) -> str:
    """Write REPLAY.md for one environment."""
    rows = ["| package | version | SHA-256 |", "|---|---|---|"]
    rows += [f"| {p.name} | {p.version} | `{p.sha256}` |" for p in packages]
    return _TEXT.format(
        folder=folder,
        manifest=image.manifest,
        config=image.config,
        platform=image.platform,
        count=len(packages),
        megabytes=sum(p.size for p in packages) / 1e6,
        table="\n".join(rows),
    )
