"""REPLAY.md: how to replay an environment's artifacts with docker alone. Text in, text out."""

from __future__ import annotations

from collections.abc import Sequence

from timeproof.store.schema.v1 import ImageIdentity, PackageEntry

_TEXT = """\
# Replaying the artifacts of `{folder}` with docker alone

Nothing of the timeproof toolkit is needed, and no Python: a container engine (`docker`, or `podman` in its
place), `tar`, `sha256sum` and what every Unix has (`sed`, `awk`, `grep`, `cp`, `mktemp`), and this archive,
which is only read. All commands are run by `sh`, in the archive's own folder, the one that holds
`environments/`.

## 1. Check the bytes of the image

Each blob is named by its SHA-256; nothing must be printed:

    (cd images/blobs/sha256 && sha256sum *) | awk '$1 != $2 {{print $2 " is damaged"}}'

## 2. Load the image

    tar -C images -cf - . | docker load

and see that the engine now holds it. Engines with a containerd image store know an image by its manifest
digest, the others by its config digest:

    image={manifest}
    docker image inspect $image >/dev/null 2>&1 || image={config}
    docker image inspect --format '{{{{.Id}}}} {{{{.Os}}}}/{{{{.Architecture}}}}' $image

| | |
|---|---|
| manifest digest | `{manifest}` |
| config digest | `{config}` |
| platform | `{platform}` |

The diff_ids (of the uncompressed layers) are in `image.json`. On a machine of another architecture, add
`--platform {platform}` to `docker run` below: it takes an engine that emulates.

## 3. Run the artifacts, and compare

For every artifact of this environment: its files against the SHA-256 in its metadata, then the frozen probe
in a locked-down container, then its answers against the recorded ones, also by SHA-256. The probe takes
the numeric profile (thread counts, instruction sets) out of the metadata by itself; to run anything else in
such a container, give `--env-file {recipe}/profile-portable.env`, or none for an artifact whose profile
is `native`.

    top=$(mktemp -d)
    for metadata in $(grep -l '"name": "{folder}"' grid-size-*/*/metadata_*_v*.json); do
      folder=$(dirname $metadata)
      answers=$top/$folder/$(basename $metadata .json)
      mkdir -p $answers
      sed -n '/^  "files": \\[/,/^  \\]/p' $metadata \\
        | awk -F '"' '$2 == "path" {{path = $4}} $2 == "sha256" {{print $4 "  " path}}' > $answers/files
      (cd $folder && sha256sum -c --quiet) < $answers/files \\
        || {{ echo "$metadata: FILES ALTERED"; continue; }}
      docker run --rm --pull never --network none --read-only --cap-drop ALL \\
        --security-opt no-new-privileges --user 65534:65534 --tmpfs /tmp:mode=1777,size=1g \\
        --pids-limit 512 --memory 8g --memory-swap 8g --ulimit nofile=4096:4096 \\
        --mount type=bind,source="$PWD/$folder",target=/in,readonly \\
        $image --artifact /in/$(basename $metadata) | tar -xf - -C $answers
      sed -n '/^  "outputs": \\[/,/^  \\]/p' $metadata \\
        | awk -F '"' '/^      "sha256"/ {{print $4 "  output_" n++}}' > $answers/recorded
      (cd $answers && sha256sum -c --quiet recorded) \\
        && echo "$metadata: identical" || echo "$metadata: DIFFERENT"
    done
    echo "the answers lie in $top"

There is each output as the bytes of its array in C order; names, dtypes and shapes stand in the
metadata under `outputs`, in the same order.

## 4. Or build it again

`recipe/` is the frozen build context. It is staged with the packages, each checked and under its hash, and
built by BuildKit, without a network:

    recipe={recipe}
    contexts=$(mktemp -d)
    context=$contexts/{folder}
    tools=$(sed -n 's/^    "folder": "\\(.*\\)",$/\\1/p' $recipe/recipe.json)
    mkdir -p $context/$tools
    cp $recipe/Dockerfile $context
    cp $recipe/install_wheel.py $context/$tools
    cp $recipe/probe.tar $context/$(sha256sum < $recipe/probe.tar | awk '{{print $1}}').tar
    sed -n '/^  "packages": \\[/,/^  \\]/p' $recipe/recipe.json | awk -F '"' '
        $2 == "kind" {{kind = $4}}  $2 == "file" {{file = $4}}
        $2 == "sha256" {{print kind, $4, "packages/sha256/" substr($4, 1, 2) "/" $4 "/" file}}
      ' > $contexts/packages
    awk '{{print $2 "  " $3}}' $contexts/packages | sha256sum -c --quiet
    while read -r kind sha256 path; do
      case $kind in
        wheel) mkdir -p $context/$sha256 && cp $path $context/$sha256/ ;;
        *) cp $path $context/$sha256.tar ;;
      esac
    done < $contexts/packages
    CONTEXTS=$contexts ENVIRONMENTS={folder} PLATFORM={platform} docker buildx bake --builder default \\
      -f $recipe/docker-bake.hcl --metadata-file $contexts/built.json {target}
    grep -q '"containerimage.config.digest": "{config}"' $contexts/built.json \\
      && echo "built again: the same image" || echo "built again: ANOTHER IMAGE"

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
        target=f"environment-{folder.replace('.', '_')}",
        recipe=f"environments/{folder}/recipe",
        manifest=image.manifest,
        config=image.config,
        platform=image.platform,
        count=len(packages),
        megabytes=sum(p.size for p in packages) / 1e6,
        table="\n".join(rows),
    )
