"""CPython's own test suite of `multiprocessing`, run on this package. How: run.py; what may fail: exceptions.toml."""
