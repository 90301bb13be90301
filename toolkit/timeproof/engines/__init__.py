"""Container engines behind one protocol: Docker, podman, and the kernel's own sandbox."""
