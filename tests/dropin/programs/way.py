"""How a program comes to procession: imported first of all. DROPIN_WAY is "run" (by `python -m procession`), "install" or "beside"."""

import os
import sys

WAY = os.environ.get("DROPIN_WAY", "run")
METHOD = os.environ.get("DROPIN_METHOD", "fork")

if WAY == "install":
    import procession

    procession.install()


def context():
    """The context to give to a package."""
    if WAY == "beside":
        import procession as module
    else:
        import multiprocessing as module
    return module.get_context(METHOD)


def check():
    """Is `multiprocessing` what it has to be?"""
    name = sys.modules["multiprocessing"].__name__ if "multiprocessing" in sys.modules else None
    assert name in ("multiprocessing", None) if WAY == "beside" else name == "procession", name
    print("ok")
