"""Images in an OCI registry: its client, its credentials, its names."""
