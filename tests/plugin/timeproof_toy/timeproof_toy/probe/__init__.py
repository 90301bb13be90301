"""What runs toy models inside the container."""
