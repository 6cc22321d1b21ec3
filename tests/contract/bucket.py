"""A small bucket that speaks as much of S3 as a registry needs, and can lose its answers."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

LOCATION = "s3://bucket/registry"
_BUCKET = "/bucket/"


class Bucket:
    """What is in it.

    Attributes:
        objects: by their keys.
        lose: keys that contain this are written, and their writer hears that the bucket is not available; once.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.lose = ""

    def put(self, key: str, data: bytes, *, create: bool) -> int:
        """Write an object; the status of the answer."""
        if create and key in self.objects:
            return 412
        self.objects[key] = data
        if self.lose and self.lose in key:
            self.lose = ""
            return 503
        return 200

    def listed(self, prefix: str, after: str, *, delimited: bool) -> str:
        """ListObjectsV2: what begins with a prefix, those behind a slash as folders."""
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        folders = {key[: key.index("/", len(prefix)) + 1] for key in keys if delimited and "/" in key[len(prefix) :]}
        found = [key for key in keys if not key.startswith(tuple(folders))]
        contents = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>1</ETag>"
            f"<Size>{len(self.objects[key])}</Size></Contents>"
            for key in found
        )
        common = "".join(f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in sorted(folders))
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}{common}</ListBucketResult>"


@contextmanager
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket on loopback, to which this process's environment leads."""
    held = Bucket()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(held.put(self._key(), data, create=self.headers.get("If-None-Match") == "*"))

        def do_GET(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            if "list-type" in asked:
                prefix, after = asked.get("prefix", ""), asked.get("start-after", "")
                self._answer(200, held.listed(prefix, after, delimited="delimiter" in asked).encode())
            elif self._key() in held.objects:
                self._answer(200, held.objects[self._key()])
            else:
                self._answer(404)

        def log_message(self, *_arguments: object) -> None:
            """Nothing."""

        def _key(self) -> str:
            return unquote(urlsplit(self.path).path).removeprefix(_BUCKET)

        def _answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("ETag", '"1"')
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
