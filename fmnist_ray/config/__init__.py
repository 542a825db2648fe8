"""Settings: frozen, keyword-only dataclasses, one module per command family, checked on construction."""
