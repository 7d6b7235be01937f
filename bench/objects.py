"""An S3 server on loopback that answers each request after a delay, as a real one far away does.

Only what the node's store asks for: objects by single and multipart upload, ranges, listing. Signatures are not checked.
"""

import http.server
import pathlib
import re
import shutil
import tempfile
import threading
import time
import urllib.parse
import uuid
import xml.sax.saxutils

PIECE_BYTES = 1 << 20


class Objects(http.server.ThreadingHTTPServer):
    """Started by `with`; `settings` are those of a node whose data is here."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, delay_seconds: float):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.delay_seconds = delay_seconds
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="cenote-bench-s3-"))
        self.requests = 0
        endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self.settings = (
            "storage.url=s3://bench/lake",
            f"storage.endpoint={endpoint}",
            "storage.allow_http=true",
            "storage.region=us-east-1",
            "storage.access_key_id=bench",
            "storage.secret_access_key=bench",
        )

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        shutil.rmtree(self.root, ignore_errors=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Objects

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(6, 1, 1)  # TCP_NODELAY

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        self.server.requests += 1
        time.sleep(self.server.delay_seconds)
        parts = urllib.parse.urlsplit(self.path)
        self.key = urllib.parse.unquote(parts.path).lstrip("/").partition("/")[2]
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        return True

    def _file(self, key: str) -> pathlib.Path:
        return self.server.root / urllib.parse.quote(key, safe="")

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_PUT(self):
        body = self._body()
        if "partNumber" in self.query:
            self._file(f"{self.query['uploadId']}.{int(self.query['partNumber']):05}").write_bytes(body)
        elif self.headers.get("If-None-Match") == "*" and self._file(self.key).exists():
            return self._answer(412)
        else:
            self._file(self.key).write_bytes(body)
        self._answer(200, ETag=f'"{uuid.uuid4().hex}"')

    def do_POST(self):
        body = self._body()
        if "uploads" in self.query:
            upload = uuid.uuid4().hex
            text = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            return self._answer(200, text.encode())
        if "uploadId" in self.query:
            parts = sorted(self.server.root.glob(f"{self.query['uploadId']}.*"))
            with open(self._file(self.key), "wb") as whole:
                for part in parts:
                    whole.write(part.read_bytes())
                    part.unlink()
            text = f'<CompleteMultipartUploadResult><ETag>"{uuid.uuid4().hex}"</ETag></CompleteMultipartUploadResult>'
            return self._answer(200, text.encode())
        if "delete" in self.query:
            for key in re.findall(rb"<Key>([^<]*)</Key>", body):
                self._file(xml.sax.saxutils.unescape(key.decode())).unlink(missing_ok=True)
            return self._answer(200, b"<DeleteResult></DeleteResult>")
        self._answer(501)

    def do_DELETE(self):
        self._file(self.key).unlink(missing_ok=True)
        self._answer(204)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        if not self.key:
            return self._list()
        try:
            size = self._file(self.key).stat().st_size
        except FileNotFoundError:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        first, last, status = 0, size - 1, 200
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted and self.command == "GET":
            if wanted[1]:
                first, last = int(wanted[1]), min(int(wanted[2] or size - 1), size - 1)
            else:
                first = max(0, size - int(wanted[2]))
            status = 206
        self.send_response(status)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("ETag", f'"{size}"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        if self.command == "GET":
            with open(self._file(self.key), "rb") as whole:
                whole.seek(first)
                left = last - first + 1
                while left > 0:
                    piece = whole.read(min(left, PIECE_BYTES))
                    self.wfile.write(piece)
                    left -= len(piece)

    def _list(self):
        prefix = self.query.get("prefix", "")
        keys = (urllib.parse.unquote(path.name) for path in self.server.root.iterdir())
        rows = "".join(
            f"<Contents><Key>{xml.sax.saxutils.escape(key)}</Key><Size>{self._file(key).stat().st_size}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in sorted(keys)
            if key.startswith(prefix)
        )
        text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        self._answer(200, text.encode())
