"""The command line: parses, calls one flow, prints its result."""
