"""The standard library's `multiprocessing` at the other end of the wire."""
