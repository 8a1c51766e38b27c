"""What runs inside the endpoint; as a package for tests and packaging, flat files in an archive."""
