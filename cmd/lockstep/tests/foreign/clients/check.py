"""Prints a line of JSON for each token: what `claims`, which docs/rest.md shows, says of it; null if it refuses the token."""

import json
import os

for token in os.environ["TOKENS"].split(","):
    try:
        line = claims(token)
    except jwt.PyJWTError:
        line = None
    print(json.dumps(line))
