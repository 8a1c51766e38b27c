"""The endpoint that serves a service, as far as whoever asks it has to know. Refuses to find it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.gguf import questions


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """The endpoint that serves."""

    service: str
    name: str
    streams: bool
    """Whether it can be answered piece by piece: SageMaker streams from instances alone."""
    form: str = questions.MESSAGES
    """The field that its smoke test asked with: what suits the model."""
    component: bool = False
    """Whether it hosts an inference component, which every call names."""
    parameter: str = ""
    """The name of the parameter that names the service's endpoint; empty where that is not told."""
