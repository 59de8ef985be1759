"""Hypothesis: long random uses beside plain models, and random bytes for whatever reads bytes."""
