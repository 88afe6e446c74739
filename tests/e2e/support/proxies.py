"""Reverse proxies in front of a server: those of `examples/proxies`, and lighttpd."""

from __future__ import annotations

import json
import os
import re
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from tests.e2e.support.daemon import START_TIMEOUT, daemon, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.server.support.certificates import Certificate
    from tests.server.support.process import Log, Server

EXAMPLES = Path(__file__).parents[3] / "examples" / "proxies"

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""

# A login in the proxy: what `location = /login` answers decides.
LOGIN = """
server {{
    listen 127.0.0.1:{port};
    location / {{
        auth_request /login;
        proxy_pass http://{host};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
    }}
    location = /login {{
        internal;
        proxy_pass http://{host};
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
    }}
}}
"""

APACHE = """
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog /dev/stderr
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
LoadModule headers_module {modules}/mod_headers.so
{site}
"""

CADDY = """
{{
    admin off
    auto_https off
    storage file_system {folder}
}}
{site}
"""

LIGHTTPD = """
server.document-root = "{folder}"
server.port = {port}
server.bind = "127.0.0.1"
server.modules = ("mod_proxy")
server.errorlog = "/dev/stderr"
proxy.server = ("" => (("host" => "{host}", "port" => {upstream})))
proxy.header = ("upgrade" => "enable")
"""

APACHE_MODULES = "/usr/lib/apache2/modules"


@dataclass(frozen=True)
class Proxy:
    """A running proxy."""

    port: int
    scheme: str = "http"

    @property
    def host(self) -> str:
        """What a client would write into its Host field."""
        return f"127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        """The origin of pages that come through it."""
        return f"{self.scheme}://{self.host}"

    def url(self, path: str = "/") -> str:
        return self.origin + path

    def websocket_url(self, path: str) -> str:
        return self.url(path).replace("http", "ws", 1)


@contextmanager
def nginx(
    server: Server, folder: Path, *, certificate: Certificate | None = None, without: Sequence[str] = ()
) -> Iterator[Proxy]:
    """nginx with the configuration of `examples/proxies`, with TLS if there is a certificate.

    `without` names fields that it shall not forward as documented: nginx then does with them what it does by default.
    """
    port = free_port()
    listen = f"listen 127.0.0.1:{port};"
    if certificate is not None:
        listen = (
            f"listen 127.0.0.1:{port} ssl; "
            f"ssl_certificate {certificate.certfile}; ssl_certificate_key {certificate.keyfile};"
        )
    site = _example("nginx.conf")
    site = _replace(site, r"listen 443 ssl;", listen)
    site = _replace(site, r"http://127\.0\.0\.1:8000;", f"http://{server.host};")
    for field in without:
        site = _replace(site, rf"proxy_set_header {re.escape(field)} .*", "")
    with _nginx(site, folder, port):
        yield Proxy(port, "https" if certificate else "http")


@contextmanager
def nginx_with_login(server: Server, folder: Path) -> Iterator[Proxy]:
    """nginx that asks the server before each request and each WebSocket, with `auth_request`."""
    port = free_port()
    with _nginx(LOGIN.format(port=port, host=server.host), folder, port):
        yield Proxy(port)


@contextmanager
def _nginx(site: str, folder: Path, port: int) -> Iterator[None]:
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, site=site))
    with daemon("nginx", "-p", str(folder), "-e", "stderr", "-c", str(configuration), port=port):
        yield


@contextmanager
def haproxy(server: Server, folder: Path) -> Iterator[Proxy]:
    """HAProxy, which forwards Host and offers by itself, but none of a request that has a body."""
    port = free_port()
    configuration = folder / "haproxy.cfg"
    site = _example("haproxy.cfg")
    site = _replace(site, r"bind :443 .*", f"bind 127.0.0.1:{port}")
    configuration.write_text(_replace(site, r"127\.0\.0\.1:8000", server.host))
    with daemon("haproxy", "-db", "-f", str(configuration), port=port):
        yield Proxy(port)


@contextmanager
def apache(server: Server, folder: Path) -> Iterator[Proxy]:
    """Apache with the configuration of `examples/proxies`, without TLS."""
    port = free_port()
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    configuration = folder / "apache.conf"
    site = _replace(_example("apache.conf"), r"\*:443", f"127.0.0.1:{port}")
    site = _replace(site, r"127\.0\.0\.1:8000", server.host)
    site = _replace(site, r"(?m)^ *SSLEngine.*\n.*\n.*SSLCertificateKeyFile.*\n", "")
    configuration.write_text(APACHE.format(port=port, folder=folder, user=user, modules=APACHE_MODULES, site=site))
    with daemon("apache2", "-X", "-d", str(folder), "-f", str(configuration), port=port):
        yield Proxy(port)


def _example(name: str) -> str:
    """The configuration that the documentation includes."""
    return (EXAMPLES / name).read_text(encoding="utf-8")


def _replace(text: str, pattern: str, replacement: str) -> str:
    text, count = re.subn(pattern, lambda _: replacement, text)
    assert count == 1, f"{pattern!r} is {count} times in the configuration"
    return text


@contextmanager
def caddy(server: Server, folder: Path) -> Iterator[Proxy]:
    """Caddy with the configuration of `examples/proxies`, without TLS."""
    port = free_port()
    configuration = folder / "Caddyfile"
    site = _replace(_example("Caddyfile"), r"chat\.example\.com", f"http://127.0.0.1:{port}")
    site = _replace(site, r"127\.0\.0\.1:8000", server.host)
    configuration.write_text(CADDY.format(folder=folder, site=site))
    with daemon("caddy", "run", "--config", str(configuration), "--adapter", "caddyfile", port=port):
        yield Proxy(port)


@contextmanager
def traefik(server: Server, folder: Path, *, certificate: Certificate | None = None) -> Iterator[Proxy]:
    """Traefik with the configuration of `examples/proxies`, with TLS if there is a certificate."""
    port = free_port()
    configuration = folder / "traefik.yaml"
    site = _replace(_example("traefik.yaml"), r"chat\.example\.com", "127.0.0.1")
    site = _replace(site, r"127\.0\.0\.1:8000", server.host)
    if certificate is None:
        site = _replace(site, r"(?m)^ *tls: \{\}\n", "")
    else:
        pair = {"certFile": str(certificate.certfile), "keyFile": str(certificate.keyfile)}
        site += f"tls: {json.dumps({'certificates': [pair]})}\n"
    configuration.write_text(site)
    # The first two are those of the documentation. The third keeps it from asking the Internet for a newer version.
    with daemon(
        "traefik",
        f"--entryPoints.websecure.address=127.0.0.1:{port}",
        f"--providers.file.filename={configuration}",
        "--global.checkNewVersion=false",
        port=port,
    ) as log:
        proxy = Proxy(port, "https" if certificate else "http")
        _await_route(proxy, log)
        yield proxy


def _await_route(proxy: Proxy, log: Log) -> None:
    """Traefik reads the file after it has begun to listen. Until then it ends TLS, and answers 404 without TLS."""
    deadline = time.monotonic() + START_TIMEOUT
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while True:
        try:
            urlopen(proxy.url(), timeout=START_TIMEOUT, context=context).close()
        except HTTPError as error:
            if error.read() != b"404 page not found\n":
                return
        except URLError as error:
            if not isinstance(error.reason, ssl.SSLError):
                raise
        else:
            return
        assert time.monotonic() < deadline, "it has no route:\n" + "\n".join(log.lines)
        time.sleep(0.02)


@contextmanager
def lighttpd(server: Server, folder: Path) -> Iterator[Proxy]:
    """lighttpd with the directive that lets upgrades pass."""
    port = free_port()
    host, _, upstream = server.host.partition(":")
    configuration = folder / "lighttpd.conf"
    configuration.write_text(LIGHTTPD.format(port=port, folder=folder, host=host, upstream=upstream))
    with daemon("lighttpd", "-D", "-f", str(configuration), port=port):
        yield Proxy(port)
