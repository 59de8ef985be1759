"""Managers: a server process that holds objects, and proxies to them in other processes, also over a network.

Not here: connections and their authentication (`_channels`), starting the server process (`_processes`).
"""
