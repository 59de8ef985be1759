"""Stands where Lib/multiprocessing stood: makes that name, and its submodules, those of procession."""

import sys

import procession

del sys.modules["multiprocessing"]  # this very module, half imported: install() puts ours there
procession.install()

import _stand_ins  # noqa: E402 - it needs what stands above

_stand_ins.fill_all()
