"""Pools: jobs given to a crew of workers, and their results.

Not here: how a worker process is started (`_processes`), how a message travels (`_channels`, native/queue.h).
"""
