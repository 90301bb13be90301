"""The toolkit's own programs inside a container: what they need there, and how they answer."""
