"""How heavy work is spread over threads and processes."""
