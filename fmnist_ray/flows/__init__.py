"""One module per thing a user can have done. No Ray and no print: what runs in parallel is handed to `execute`."""
