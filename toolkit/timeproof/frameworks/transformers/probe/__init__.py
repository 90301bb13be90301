"""What runs Transformers models inside the container. `timeproof_probe.loaders` says what it must define."""
