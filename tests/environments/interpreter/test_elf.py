"""ELF files: what they need, and a run path that is written over in place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from timeproof.environments.interpreter import elf


def test_a_run_path_is_rewritten_in_place_or_not_at_all() -> None:
    binary = next(
        p for p in Path(sys.base_prefix, "lib").glob(f"python{sys.version_info[0]}.*/lib-dynload/*.so")
    )
    data = binary.read_bytes()
    before = elf.parse(data)
    if before.runpath is None:
        with pytest.raises(elf.NoRoom):
            elf.with_runpath(data, "$ORIGIN")
        return
    after = elf.with_runpath(data, "$ORIGIN")
    assert len(after) == len(data)
    assert elf.parse(after) == elf.Elf(before.machine, before.needed, before.soname, "$ORIGIN")
    with pytest.raises(elf.NoRoom):
        elf.with_runpath(data, before.runpath + "/longer")


def test_a_home_is_replaced_byte_for_byte_and_the_tail_stays() -> None:
    data = b"\0/home/ann/.pyenv/versions/3.11.7/lib\0rest 3.11.7\0"
    new = elf.without_home(data, "/home/ann/.pyenv/versions/3.11.7", "/opt/env")
    assert len(new) == len(data)
    assert b"ann" not in new
    assert new.endswith(b"/3.11.7/lib\0rest 3.11.7\0")


def test_the_newest_c_library_that_a_file_asks_for_is_read() -> None:
    assert elf.glibc_needed([b"x\0GLIBC_2.4\0GLIBC_2.34\0", b"\0GLIBC_2.9\0"]) == "2.34"
    assert elf.glibc_needed([b"no symbols", b""]) == ""


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"MZ" * 40, b"\x7fELF\x01" + bytes(60)])
def test_what_is_no_elf_file_of_64_bits_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        elf.parse(data)


def test_a_program_names_its_loader_and_its_machine() -> None:
    data = Path(sys.executable).resolve().read_bytes()
    assert elf.interpreter(data).startswith("/")
    assert elf.parse(data).machine == elf.parse(Path("/bin/sh").resolve().read_bytes()).machine
