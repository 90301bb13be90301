"""From an environment to a lock and its packages: captured, solved, fetched."""
