"""The wheels that ship real models, fetched by the SHA-256 that stands in wheels.txt."""

from __future__ import annotations

from pathlib import Path

from support.fetching import fetched

HERE = Path(__file__).resolve().parent

# Of each wheel, the folder that is taken, and where it goes.
PARTS = {
    "silero_vad": ("silero_vad/data/", "silero_vad"),
    "magika": ("magika/models/standard_v3_3/", "magika"),
    "rapidocr_onnxruntime": ("rapidocr_onnxruntime/models/", "rapidocr"),
    "faster_whisper": ("faster_whisper/assets/", "faster_whisper"),
    "basic_pitch": ("basic_pitch/saved_models/icassp_2022/", "basic_pitch"),
}


def shipped(folder: Path) -> Path:
    """The folder with the models; fetched below `folder` on the first call."""
    return fetched(folder, requirements=HERE / "wheels.txt", parts=PARTS)
