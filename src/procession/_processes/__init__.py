"""Processes: started, watched, joined, ended.

Not here: which start method a context uses (`_context`), how shared objects travel (`_primitives.sharing`).
"""
