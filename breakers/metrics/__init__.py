"""Metrics over time: snapshots summed up by the minute and by the hour, and read as evenly spaced points."""
