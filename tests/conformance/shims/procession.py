"""Stands where Lib/multiprocessing stood: makes that name, and its submodules, those of procession.

The names in `NEEDED` are read by the suite while it is imported; where procession lacks one, a stand-in that fails
when it is used takes its place, so that the rest of the suite can run, and its name goes to `LACKING`.
"""

import importlib
import os
import sys

import procession

NEEDED = ()  # filled in by prefix.py: (submodule, name or ""), ...
LACKING = os.path.join(os.path.dirname(__file__), "lacking.txt")


def lacks(name):
    raise NotImplementedError(f"procession has no multiprocessing.{name}")


def stand_in(name):
    """A class that can be named, subclassed and registered with, and nothing more."""

    class Meta(type):
        def __getattr__(cls, attribute):
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            return stand_in(f"{name}.{attribute}")

        def __call__(cls, *args, **kwargs):
            lacks(name)

    def register(*args, **kwargs):
        """Called while the suite is imported."""

    return Meta("StandIn", (), {"register": staticmethod(register), "__doc__": f"Lacking: {name}"})


def fill(submodule, name, lacking):
    """Make sure that `multiprocessing.<submodule>.<name>` can be read."""
    full = "multiprocessing." + submodule
    try:
        target = importlib.import_module(full)
    except ImportError as error:
        lacking.append(f"{full}: {error}")
        target = sys.modules[full] = type(sys)(full)
        setattr(procession, submodule, target)
    if name and not hasattr(target, name):
        lacking.append(f"{full}.{name}")
        setattr(target, name, stand_in(f"{submodule}.{name}"))


def install():
    del sys.modules["multiprocessing"]  # this very module, half imported: install() puts ours there
    procession.install()
    lacking = []
    for submodule, name in NEEDED:
        fill(submodule, name, lacking)
    if lacking and not os.path.exists(LACKING):
        with open(LACKING, "w") as file:
            file.write("\n".join(lacking) + "\n")


install()
