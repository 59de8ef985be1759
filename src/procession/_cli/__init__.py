"""The command line, and the way in for programs that were written for the standard library."""
