"""The workflow: written in `definition.py`, rendered to `deploy.asl.json`."""
