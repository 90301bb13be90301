"""The command `timeproof`: one file a command."""
