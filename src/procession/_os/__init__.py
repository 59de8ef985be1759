"""The seam to the operating system: the only place with platform words.

Promises: what the floors above see here means the same on every platform; another platform is another set of these files.
"""
