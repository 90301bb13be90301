"""The engine `none`: unpacked images, run in namespaces of the kernel's."""
