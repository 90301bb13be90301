"""What everything stands on: digests, paths, JSON, whole writes, subprocesses, bounds, progress."""
