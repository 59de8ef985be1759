"""What every test stands under, as pytest plugins: random order, a hard deadline, nothing left behind."""
