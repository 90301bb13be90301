"""What runs exported programs inside the container. `timeproof_probe.loaders` says what it must define."""
