"""What stands in the documents of an archive, and the steps from one version to the next."""
