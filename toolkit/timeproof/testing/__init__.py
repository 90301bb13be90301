"""For tests: a conformance suite for frameworks, and an archive and an engine that need no container.

A plugin's own tests subclass `timeproof.testing.conformance.FrameworkTests` and run under pytest.
`fake_engine`, `local_probe` and `archives` are what the suite, and the toolkit's own tests, are made with.
"""
