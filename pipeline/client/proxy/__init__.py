"""`sealift proxy`: an OpenAI-compatible server on this machine, before every service of a stack.

A client names a service as its model and sends what it sends to OpenAI; the answer is the container's own. `access`,
`asking` and `openai_errors` decide, `directory` knows which endpoint serves, `upstream` asks it, `application` puts
them together. Refuses to change a request, or an answer.
"""

from typing import Final

PORT: Final = 5056
"""Where it listens unless it is told otherwise: beside the local cloud's 5055."""
