"""Identity providers, one for each algorithm: writes their public keys into FOLDER, and prints the tokens that they issue."""

import json
import os
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

MAKERS = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def issue(algorithm, key, stranger):
    def token(user, key=key, audience="chat", expires_in=600):
        now = int(time.time())
        claims = {"iss": f"https://{algorithm}.example", "aud": [audience, "mail"], "sub": user}
        claims |= {"iat": now, "nbf": now, "exp": now + expires_in}
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": "new"})

    return {
        "ana": token("ana"),
        "ben": token("ben"),
        "expired": token("ana", expires_in=-600),
        "elsewhere": token("ana", audience="calendar"),
        "stranger": token("ana", key=stranger),
    }


def jwk(algorithm, key, kid):
    public = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
    return public | {"kid": kid, "alg": algorithm, "use": "sig"}


issued = {"HS256": issue("HS256", os.environ["SECRET"], "another secret with at least 32 characters")}
for algorithm, maker in MAKERS.items():
    old, new, stranger = maker(), maker(), maker()
    with open(os.path.join(os.environ["FOLDER"], algorithm), "w") as file:
        json.dump({"keys": [jwk(algorithm, old, "old"), jwk(algorithm, new, "new")]}, file)
    issued[algorithm] = issue(algorithm, new, stranger)
print(json.dumps(issued))
