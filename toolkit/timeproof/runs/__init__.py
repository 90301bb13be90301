"""Run artifacts in containers: provide the image and the files, and read what the probe sends back."""
