"""The one program that runs inside the container: it loads artifacts, and gives their outputs.

A recipe freezes this package, and the loaders of the frameworks that its environment holds, into
`/opt/timeproof/probe` of the image, where `python3 -s -B /opt/timeproof/probe job.json` runs it. It needs
Python 3.6 or newer and the standard library alone, and imports nothing of the toolkit. The toolkit may import
from it what both sides of the stream share.
"""
