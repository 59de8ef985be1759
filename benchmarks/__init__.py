"""Us beside the standard library, in one run: interleaved, each measurement a process of its own, medians and ratios."""
