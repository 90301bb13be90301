"""What the container runs of a Keras or TensorFlow model."""
