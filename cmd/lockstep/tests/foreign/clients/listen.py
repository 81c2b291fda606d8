"""Listens to a conversation's topic and prints a line of JSON for each message: an entry with its epoch, or raw bytes.

The test puts `entry`, which docs/nsq.md shows, before this, with its imports.
"""

import base64
import os
import uuid

import nsq


def envelope_key(pem):
    """The server's key, derived as docs/nsq.md says: HKDF-SHA-256 (RFC 5869), whose 32 bytes are one block."""
    lines = [line for line in pem.splitlines() if not line.startswith("-----")]
    extracted = hmac.new(b"lockstep", base64.b64decode("".join(lines)), hashlib.sha256).digest()
    return hmac.new(extracted, b"NSQ envelopes\x01", hashlib.sha256).digest()


with open(os.environ["SIGNING_KEY"]) as file:
    KEY = envelope_key(file.read())


def heard(message):
    found = entry(message.body, KEY)
    if found is None:
        line = {"raw": message.body.hex()}
    else:
        line = {"entry": found, "epoch": str(uuid.UUID(bytes=message.body[20:36]))}
    print(json.dumps(line), flush=True)
    return True


nsq.Reader(
    topic=os.environ["TOPIC"],
    channel=os.environ["CHANNEL"],
    nsqd_tcp_addresses=os.environ["NSQDS"].split(","),
    max_in_flight=10,
    message_handler=heard,
)
nsq.run()
