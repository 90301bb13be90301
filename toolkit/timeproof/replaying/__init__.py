"""Replay: artifacts run again in their own environment, and judged against their reference."""
