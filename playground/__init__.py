"""Beyond Attention's playground: requests, runs, measurements, picture payloads and, in `ui`, the web app."""
