"""What hypercorn needs to serve a connection for as long as a run takes."""

keep_alive_max_requests = 10**9
