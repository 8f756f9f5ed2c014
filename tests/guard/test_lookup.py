# SPDX-License-Identifier: Apache-2.0
"""Programs that reach the driver past the usual lookup of symbols are limited too."""

import os
from pathlib import Path

import pytest

from gpushare.guard import library_path
from gpushare.model.units import MIB
from support import native

LIMIT = 300 * MIB
CONTEXT = 100 * MIB
WHOLE = (LIMIT + CONTEXT) // MIB


def _program() -> Path:
    libraries = ("libplugin.so", "libloader.so", "libwrapper.so")
    built = [native.program(f"lookup/{name}") for name in ("lookup_test", *libraries)]
    return built[0]


@pytest.fixture
def look_up(guarded):
    """What a plug-in saw and got, in MiB: total in its constructor, total later, allocated."""
    share = guarded(LIMIT, context=CONTEXT)
    program = _program()

    def run(how: str, library: str = "libplugin.so", **env: str) -> list[int]:
        ended = share.run(program, how, str(program.with_name(library)), env=env)
        assert ended.returncode == 0, ended.stderr
        assert share.region.snapshot().unhooked == 0
        return [int(word) for word in ended.stdout.split()]

    return run


@pytest.mark.parametrize("how", ["now", "deep", "lazy", "space", "spaces"])
def test_a_plug_in_is_limited_however_it_is_loaded(look_up, how):
    early, later, got = look_up(how)
    assert (early, later) == (WHOLE, WHOLE)
    assert WHOLE // 2 < got <= LIMIT // MIB


def test_a_plug_in_that_its_loader_finds_by_runpath_is_found_and_limited(look_up):
    early, later, got = look_up("now", "libloader.so")
    assert (early, later) == (WHOLE, WHOLE)
    assert got <= LIMIT // MIB


@pytest.mark.parametrize("version", ["GLIBC_2.2.5", "GLIBC_2.34"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names versions of x86-64")
def test_another_wrapper_of_dlsym_changes_nothing_in_either_order(look_up, version, first):
    wrapper = str(native.program("lookup/libwrapper.so"))
    guard = str(library_path())
    preload = f"{wrapper}:{guard}" if first else f"{guard}:{wrapper}"
    assert look_up("own-dlsym", LD_PRELOAD=preload, WRAPPED=version)[0] == WHOLE
    assert look_up("now", LD_PRELOAD=preload, WRAPPED=version)[0] == WHOLE


def test_a_dlsym_of_the_c_library_itself_finds_the_hooks(look_up):
    assert look_up("own-dlsym")[0] == WHOLE


def test_without_a_share_a_plug_in_has_the_whole_gpu(machine):
    program = _program()
    env = {"LD_PRELOAD": str(library_path())}
    ended = machine.run(program, "deep", str(program.with_name("libplugin.so")), env=env)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout.split()[0]) > 100_000
