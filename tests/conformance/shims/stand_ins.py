"""Fills in what procession lacks, so that the rest of the suite can run: a stand-in fails when it is used.

`NEEDED` is what the suite reads while it is imported; what of it is lacking goes to `LACKING`, a line each. Once that
file exists, the package `test` of the prefix calls `fill_all` in every process that imports it: children that
procession starts install it by themselves and never see the shim.
"""

import importlib
import os
import sys

NEEDED = ()  # filled in by prefix.py: (submodule, name or ""), ...
LACKING = os.path.join(os.path.dirname(__file__), "multiprocessing", "lacking.txt")


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


def fill(package, submodule, name, lacking):
    """Make sure that `multiprocessing.<submodule>.<name>` can be read."""
    full = "multiprocessing." + submodule
    try:
        target = importlib.import_module(full)
    except ImportError as error:
        lacking.append(f"{full}: {error}")
        target = sys.modules[full] = type(sys)(full)
        setattr(package, submodule, target)
    if name and not hasattr(target, name):
        lacking.append(f"{full}.{name}")
        setattr(target, name, stand_in(f"{submodule}.{name}"))


def fill_all():
    package, lacking = importlib.import_module("multiprocessing"), []
    for submodule, name in NEEDED:
        fill(package, submodule, name, lacking)
    if lacking and not os.path.exists(LACKING):
        with open(LACKING, "w") as file:
            file.write("\n".join(lacking) + "\n")


def fill_if_lacking():
    if os.path.exists(LACKING):
        fill_all()
