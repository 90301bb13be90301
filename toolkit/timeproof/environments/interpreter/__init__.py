"""An interpreter: what it holds, and how it becomes a conda package."""
