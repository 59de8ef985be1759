"""Connections, queues and waiting, with real processes."""
