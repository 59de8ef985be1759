"""Protocols over shared words as small models, explored over every schedule and every death.

A protocol is written here before it is written in C, and the C code keeps the step names of its model.
`machine.py` says what one step may do, `explorer.py` runs all schedules, each other module is one protocol.
"""
