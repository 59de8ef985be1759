"""The synchronisation primitives and shared values: typed faces over the native objects.

Not here: sleeping, waking and recovery (the native core), queues (`_channels`), who may start what (`_processes`).
"""
