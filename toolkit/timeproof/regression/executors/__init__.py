"""Who runs a regression's batches: this machine, or a cluster."""
