"""Ask an endpoint for many chat completions: live or through its Batch API, and lose or pay twice for none."""
