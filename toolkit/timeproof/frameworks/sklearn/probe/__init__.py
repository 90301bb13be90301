"""What runs scikit-learn models inside the container. `timeproof_probe.loaders` says what it must define."""
