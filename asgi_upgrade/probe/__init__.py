"""What a running server does with each kind of offer to upgrade, asked over plain sockets.

- `exchange`: one request on a connection of its own, and its answer; every wait and every buffer has an end.
- `offers`: the requests.
- `findings`: what an answer means, in words.
"""
