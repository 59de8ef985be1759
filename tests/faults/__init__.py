"""Kills, stops and exceptions at every named fault point, and the failures that users of other packages suffer from."""
