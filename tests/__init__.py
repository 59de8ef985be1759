"""The tests, as a package: children that are spawned import their targets from here by full name."""
