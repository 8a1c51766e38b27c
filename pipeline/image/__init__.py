"""Container images without a container engine: layers, manifests, and the registries that hold them.

An image is a few tars in gzip, a configuration and a manifest that names them by digest. Refuses to run one, and to
know which image an endpoint takes (`pipeline.sizing.images`).
"""
