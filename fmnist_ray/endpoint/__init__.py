"""The endpoint as a web application: requests in, answers or problems out. Knows nothing of Ray."""
