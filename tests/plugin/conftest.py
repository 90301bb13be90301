"""The plugin is installed into an environment of its own; its tests run there, and not here."""

collect_ignore = ["timeproof_toy"]
