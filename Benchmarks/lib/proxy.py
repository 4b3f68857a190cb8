"""A TCP proxy that counts the bytes of each direction: what a bar on wire bytes is checked with, below TLS and outside Hansa."""

import socket
import threading


class CountingProxy:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.target = None
        self.connections = 0
        self.up = self.down = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def to(self, port):
        """Sends connections on to this port from now on; the proxy's own port."""
        self.target = port
        return self.port

    def counted(self):
        """Connections, bytes from the dialler and bytes to it, so far."""
        with self._lock: return self.connections, self.up, self.down

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            try: server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            for s in (client, server): s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock: self.connections += 1
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source, sink, is_up):
        try:
            while data := source.recv(65536):
                with self._lock:
                    if is_up: self.up += len(data)
                    else: self.down += len(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            # One side reset: the other learns of it by the same means.
            for s in (source, sink): s.close()
