"""Sweeps of small trainings: `python -m models.sweeps --help`."""
