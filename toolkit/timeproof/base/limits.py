"""Every bound that the toolkit keeps, with its unit, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Limits:
    json_bytes: int = 16 * 2**20  # bytes: a metadata file, an image.json, an index.json
    json_depth: int = 64  # levels of nesting
    json_digits: int = 40  # decimal digits in one number
    report_bytes: int = 2**30  # bytes: a regression's report.json
    lock_bytes: int = 64 * 2**20  # bytes: a conda-lock.yml
    integer: int = 2**53  # the largest integer: what every JSON reader holds exactly
    layer_bytes: int = 32 * 2**30  # bytes of one layer that a registry may send
    image_bytes: int = 128 * 2**30  # bytes of all layers of one image that a registry may send
    manifest_bytes: int = 4 * 2**20  # bytes of an artifact's manifest: what every registry takes
    pack_layers: int = 10_000  # layers of an artifact in a registry
    remote_tries: int = 3  # times that a transfer which was cut is begun again
    remote_seconds: float = 60.0  # seconds that a registry may be silent
    reservation_seconds: float = 3 * 86400.0  # seconds, after which who keeps a version in a bucket is dead
    cluster_cleanup: float = 30.0  # seconds that the end of a run waits for a dead worker's successor
    cluster_patience: float = 120.0  # seconds without a scheduler or a worker, then a run ends
    path_bytes: int = 1024  # bytes of a whole relative path, UTF-8
    name_bytes: int = 200  # bytes of one component, UTF-8
    array_bytes: int = 8 * 2**30  # bytes of one input or output array
    output_bytes: int = 2 * 2**30  # bytes that one artifact's outputs may take
    cell_log_bytes: int = 4096  # characters kept of what one artifact printed, in a report
    log_bytes: int = 64 * 2**10  # bytes kept of what a process printed
    frame_header_bytes: int = 4 * 2**20  # bytes of one header in the probe's stream
    artifact_seconds: float = 300.0  # seconds for one artifact inside the container
    witness_work: int = 50 * 10**9  # of double_work, for a witness that nobody asked for by name: about 10 s
    container_seconds: float = 3600.0  # seconds for one container
    simulated_factor: float = 12.0  # how many times longer a simulated CPU may take
    container_memory: int = 8 * 2**30  # bytes
    container_pids: int = 512  # processes and threads
    prefix_bytes: int = 16 * 2**30  # bytes of the conda packages of one environment, laid out
    prefix_entries: int = 2_000_000  # files, folders and links of them
    prefix_seconds: float = 3600.0  # seconds for laying them out
    solve_seconds: float = 1800.0  # seconds for solving an environment.yml
    solve_bytes: int = 4 * 2**30  # bytes that solving may write
    unpacked_bytes: int = 64 * 2**30  # bytes of an image's layers, uncompressed
    import_bytes: int = 2 * 2**30  # bytes of one file that is imported; protobuf's messages end there, too
    program_bytes: int = 256 * 2**20  # bytes of the graph in a .pt2 file
    npy_header_bytes: int = 65536  # bytes of one .npy header
    tokenizer_bytes: int = 256 * 2**20  # bytes of one file of a tokenizer
    safetensors_header_bytes: int = 100_000_000  # bytes of one .safetensors header: the format's own bound

    def bounded(
        self,
        *,
        artifact_seconds: float | None = None,
        container_mebibytes: int | None = None,
        cluster_cleanup: float | None = None,
    ) -> Limits:
        """These limits, with the bounds that a user sets; None leaves a bound as it is."""
        limits = self
        if artifact_seconds is not None:
            limits = replace(limits, artifact_seconds=artifact_seconds)
        if container_mebibytes is not None:
            limits = replace(limits, container_memory=container_mebibytes * 2**20)
        if cluster_cleanup is not None:
            limits = replace(limits, cluster_cleanup=cluster_cleanup)
        return limits


LIMITS = Limits()
