"""Send requests to OpenAI-compatible endpoints, live or by batch."""
