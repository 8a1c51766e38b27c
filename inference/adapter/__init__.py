"""llama-server behind SageMaker's contract: what the image `custom` runs, and no archive brings."""
