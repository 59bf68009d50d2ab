"""What `enginesmith deploy` puts on a Prefect server."""
