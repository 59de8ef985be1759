"""What pools do when something goes wrong: ours and the rivals', measured. `python -m benchmarks.torture` prints the table."""
