"""What is true of SageMaker's hosting whoever asks: its records, states, quotas, limits, time and sentences.

Refuses to start anything, and to know an operation.
"""
