"""A page of Streamlit: it has the script run, moves a slider, and is told what the script writes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from .pages import page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.server.support.process import Server


@contextmanager
def client(server: Server, headers: Mapping[str, str], path: str) -> Iterator[Any]:
    text = page(server, "/")
    url = server.url("ws", "/_stcore/stream")
    with connect(url, subprotocols=[Subprotocol("streamlit")], additional_headers=headers, proxy=None) as websocket:

        def run(**changed: int) -> tuple[str, str]:
            """Have the script run; gives what it writes, and the slider's identity."""
            message = BackMsg()
            message.rerun_script.query_string = ""
            for identity, value in changed.items():
                widget = message.rerun_script.widget_states.widgets.add()
                widget.id = identity
                widget.double_array_value.data.append(value)
            websocket.send(message.SerializeToString())
            written = slider = ""
            while True:
                forward = ForwardMsg()
                forward.ParseFromString(websocket.recv(timeout=20))
                element = forward.delta.new_element
                written = element.markdown.body or written
                slider = element.slider.id or slider
                if forward.WhichOneof("type") == "script_finished":
                    return written, slider

        first, slider = run()
        second, _ = run(**{slider: 30})
        yield "<html" in text, websocket.subprotocol, first, second
