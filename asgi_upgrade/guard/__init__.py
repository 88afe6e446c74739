"""Brings each WebSocket handshake through every layer of an application once, in the form the layer was written for."""
