"""Apache, nginx and Varnish, each started with its own configuration, directory and port on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import find_engine
from tests.faces.servers import keep_port
from tests.making import eventually

AS_ROOT = os.geteuid() == 0
MODULES = Path("/usr/lib/apache2/modules")


def _apache(directory: Path, port: int, app: int) -> list[str]:
    """`mod_cache_disk` as `a2enmod cache_disk` has it, switched on for all that is proxied."""
    names = "mpm_event authz_core proxy proxy_http cache cache_disk"
    loaded = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in names.split())
    (directory / "cache").mkdir()
    (directory / "cache").chmod(0o777)
    config = directory / "apache.conf"
    config.write_text(
        f"""
        {loaded}
        ServerRoot "{directory}"
        ServerName shop.example
        Listen 127.0.0.1:{port}
        PidFile "{directory}/pid"
        DefaultRuntimeDir "{directory}"
        Mutex file:{directory} default
        ErrorLog "{directory}/error.log"
        {"User www-data" if AS_ROOT else ""}
        {"Group www-data" if AS_ROOT else ""}
        CacheRoot "{directory}/cache"
        CacheDirLevels 2
        CacheDirLength 1
        CacheEnable disk "/"
        ProxyPreserveHost On
        ProxyPass "/" "http://127.0.0.1:{app}/"
        """
    )
    return ["-f", str(config), "-D", "FOREGROUND"]


def _nginx(directory: Path, port: int, app: int, more: str = "") -> list[str]:
    config = directory / "nginx.conf"
    config.write_text(
        f"""
        {"user root;" if AS_ROOT else ""}
        daemon off;
        worker_processes 1;
        pid {directory}/pid;
        error_log {directory}/error.log;
        events {{ worker_connections 64; }}
        http {{
            access_log off;
            client_body_temp_path {directory}/body;
            proxy_temp_path {directory}/proxy;
            fastcgi_temp_path {directory}/fastcgi;
            uwsgi_temp_path {directory}/uwsgi;
            scgi_temp_path {directory}/scgi;
            proxy_cache_path {directory}/cache keys_zone=pages:1m;
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://127.0.0.1:{app};
                    proxy_set_header Host $host;
                    proxy_cache pages;
                    proxy_cache_revalidate on;
                    {more}
                }}
            }}
        }}
        """
    )
    return ["-c", str(config), "-p", str(directory), "-e", f"{directory}/error.log"]


def _nginx_without_set_cookie(directory: Path, port: int, app: int) -> list[str]:
    """One that keeps pages whatever cookies they set, and by itself those that say nothing."""
    return _nginx(directory, port, app, "proxy_ignore_headers Set-Cookie; proxy_cache_valid any 10m;")


def _varnish(directory: Path, port: int, app: int, more: str = "") -> list[str]:
    vcl = directory / "default.vcl"
    vcl.write_text(f'vcl 4.1; backend default {{ .host = "127.0.0.1"; .port = "{app}"; }} {more}')
    jail = ["-j", "none"]
    places = ["-n", str(directory / "varnish"), "-f", str(vcl), "-s", "malloc,16m"]
    return [*jail, "-F", "-a", f"127.0.0.1:{port}", "-T", "none", *places]


def _varnish_without_set_cookie(directory: Path, port: int, app: int) -> list[str]:
    """One that minds Cache-Control, and neither the cookies of requests nor those of responses."""
    return _varnish(
        directory,
        port,
        app,
        """
        sub vcl_recv { return (hash); }
        sub vcl_backend_response {
            if (beresp.http.Cache-Control !~ "(?i)private|no-store" && beresp.ttl > 0s) { return (deliver); }
        }
        """,
    )


Engine = Callable[[Path, int, int], list[str]]
ENGINES: dict[str, tuple[str, Engine]] = {
    "apache": ("apache2", _apache),
    "nginx": ("nginx", _nginx),
    "nginx that ignores Set-Cookie": ("nginx", _nginx_without_set_cookie),
    "varnish": ("varnishd", _varnish),
    "varnish that ignores Set-Cookie": ("varnishd", _varnish_without_set_cookie),
}


@contextmanager
def started(name: str, app: int) -> Iterator[int]:
    """Start a cache in front of the app at a port; gives the cache's port."""
    program, configure = ENGINES[name]
    path = find_engine(program)
    assert path is not None
    directory = Path(tempfile.mkdtemp(prefix="passerby-cache-"))
    directory.chmod(0o755)
    kept = keep_port()
    port: int = kept.getsockname()[1]
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen([path, *configure(directory, port, app)], stdout=output, stderr=output)
    try:
        eventually(lambda: process.poll() is not None or _answers(port))
        assert process.poll() is None, (directory / "output").read_text() + _log(directory)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        kept.close()
        shutil.rmtree(directory, ignore_errors=True)


def _log(directory: Path) -> str:
    log = directory / "error.log"
    return log.read_text() if log.exists() else ""


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
