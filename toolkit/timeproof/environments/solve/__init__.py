"""From an environment.yml to a lock, solved inside a container."""
