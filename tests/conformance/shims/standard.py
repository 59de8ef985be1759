"""Stands where Lib/multiprocessing stood, and loads the interpreter's own package from another folder.

The baseline: with it the harness itself is what is tested.
"""

import importlib.util
import os
import sys

folder = os.path.join(os.path.dirname(os.path.dirname(__file__)), "_standard_multiprocessing")
spec = importlib.util.spec_from_file_location(
    "multiprocessing", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
)
sys.modules["multiprocessing"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["multiprocessing"])
