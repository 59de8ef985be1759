"""Us beside the standard library and every rival installed: one run, interleaved, each measurement a process of its own.

What is here: `catalogue` (what a workload is), `workloads/` (the workloads), `libraries` (who is measured), `measuring` (a
measurement is a process), `limits` (a C program for what the machine allows), `report` and `picture` (what comes out).
A figure means little by itself: the machines are shared and noisy. Ratios within one run are what counts.
"""
