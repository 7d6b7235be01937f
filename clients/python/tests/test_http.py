"""What is sent again and what is not, beside a server that fails as it is told."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import unittest
from collections.abc import Callable
from unittest import mock

import cenote

Act = Callable[[http.server.BaseHTTPRequestHandler], None]


def answer(status: int, body: dict[str, object] | None = None, **headers: str) -> Act:
    content = b"" if body is None else json.dumps(body).encode()

    def act(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return act


def lose(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def break_off(*parts: bytes) -> Act:
    def act(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for part in parts:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.close_connection = True

    return act


STORED = answer(204, x_cenote_rows="1", x_cenote_ack="durable")
FULL = answer(503, {"message": "full", "retryable": True}, retry_after="0")
UNKNOWN = answer(503, {"message": "?", "retryable": True, "reason": "outcome_unknown"}, retry_after="0")
ROWS = b'{"success":true,"columns":["a"],"types":["BIGINT"],"data":[[1],[2]'


class Repeats(unittest.TestCase):
    def setUp(self) -> None:
        self.acts: list[Act] = []
        self.seen: list[http.server.BaseHTTPRequestHandler] = []
        test = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"] or 0))
                test.seen.append(self)
                test.acts.pop(0)(self)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        pause = mock.patch("time.sleep")
        self.slept = pause.start()
        self.addCleanup(pause.stop)
        self.client = cenote.connect(f"http://127.0.0.1:{server.server_port}", retries_max=2)
        self.addCleanup(self.client.close)

    def write(self, **options: str) -> cenote.Written:
        return self.client.write("t", [{"a": 1}], **options)

    def test_a_full_node_is_asked_again_after_its_time(self) -> None:
        later = answer(429, {"message": "slow down", "retryable": True}, retry_after="7")
        self.acts = [FULL, later, STORED]
        self.assertEqual(self.write().rows, 1)
        self.assertEqual(self.slept.call_args_list[1], mock.call(7.0))

    def test_it_gives_up_after_its_retries(self) -> None:
        self.acts = [FULL, FULL, FULL, STORED]
        with self.assertRaises(cenote.Unavailable):
            self.write()
        self.assertEqual(len(self.seen), 3)

    def test_a_lost_write_is_repeated_only_under_a_key(self) -> None:
        self.acts = [lose]
        with self.assertRaises(cenote.ConnectionFailed) as raised:
            self.write()
        self.assertTrue(raised.exception.outcome_unknown)
        self.acts = [lose, STORED]
        self.assertEqual(self.write(idempotency_key="k").rows, 1)
        self.assertEqual([handler.headers["idempotency-key"] for handler in self.seen], [None, "k", "k"])

    def test_an_unknown_outcome_is_repeated_only_under_a_key(self) -> None:
        self.acts = [UNKNOWN]
        with self.assertRaises(cenote.Unavailable) as raised:
            self.write()
        self.assertEqual(raised.exception.reason, "outcome_unknown")
        self.acts = [UNKNOWN, STORED]
        self.assertEqual(self.write(idempotency_key="k").rows, 1)

    def test_a_connection_is_kept_and_one_that_ended_is_replaced(self) -> None:
        def store_and_end(handler: http.server.BaseHTTPRequestHandler) -> None:
            STORED(handler)
            handler.close_connection = True

        ended = threading.Event()
        self.acts = [STORED, store_and_end, STORED]
        self.write()
        self.write()
        self.assertEqual(self.seen[0].client_address, self.seen[1].client_address)
        while not self.seen[1].wfile.closed:  # the server has let go of the connection
            ended.wait(0.01)
        self.assertEqual(self.write().rows, 1)

    def test_an_answer_that_breaks_off_is_an_error(self) -> None:
        self.acts = [break_off(ROWS)]
        with self.assertRaises(cenote.ConnectionFailed):
            self.client.query("SELECT a FROM t").rows()
        self.acts = [break_off(ROWS + b'],"row_count":2}')]
        with self.assertRaises(cenote.ConnectionFailed):
            self.client.query("SELECT a FROM t").rows()
        why = b'],"error":"out of time","sqlstate":"57014","truncated":true,"truncation_reason":"timeout"}'
        self.acts = [break_off(ROWS, why)]
        with self.assertRaisesRegex(cenote.TimedOut, "out of time"):
            self.client.query("SELECT a FROM t").rows()

    def test_an_error_that_is_not_from_a_node_is_shown_as_it_is(self) -> None:
        def gateway(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.send_error(502, "Bad Gateway")

        self.acts = [gateway]
        with self.assertRaisesRegex(cenote.NodeFailed, "Bad Gateway"):
            self.write()

    def test_a_closed_client_sends_nothing(self) -> None:
        self.client.close()
        with self.assertRaisesRegex(cenote.Error, "closed"):
            self.write()
