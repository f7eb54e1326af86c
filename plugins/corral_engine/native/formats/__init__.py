"""Weight formats: one module each."""
