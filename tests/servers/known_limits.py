"""What servers are known not to do, and why. A listed test that passes all the same fails: then strike it out."""

from __future__ import annotations

_NO_DENIAL = "it has no denial responses (`websocket.http.response`): every refusal becomes a bare 403"
_NO_HEADERS = "it drops the headers that come with `websocket.accept`"
_NO_EARLY_DISCONNECT = "it does not tell before the application has answered"

# Name of the test, then of the server.
LIMITS = {
    "test_a_refusal_arrives_as_it_was_written": {"daphne": _NO_DENIAL, "gunicorn": _NO_DENIAL},
    "test_the_guard_dresses_the_101": {"daphne": _NO_HEADERS, "granian": _NO_HEADERS},
    "test_the_426_names_websocket": {"h2corn": "it refuses responses with `Upgrade` or `Connection`"},
    "test_empty_messages_pass": {"daphne": "it loses empty messages"},
    "test_the_application_says_why_it_closes": {"daphne": "it drops the reason"},
    "test_the_application_closes_and_receives": {
        "h2corn": "it sends the close frame only when the application has returned"
    },
    "test_the_client_leaves_before_it_is_accepted": {
        "granian": _NO_EARLY_DISCONNECT,
        "h2corn": _NO_EARLY_DISCONNECT,
    },
    "test_the_client_closes": {"hypercorn, not extended": "it reports 1006 for every close"},
}
