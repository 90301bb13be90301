"""Batches on an existing Dask cluster."""
