"""What Hansa is compared with: libssl alone, `openssl s_server` -> `s_client`, rsync over its daemon, git over its own."""

import os
import re
import shutil
import socket
import subprocess
import time

from cities import Failed, free_port
from proxy import CountingProxy


def certificate(directory):
    key, cert = f"{directory}/key.pem", f"{directory}/cert.pem"
    if not os.path.exists(cert):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                        "-out", cert, "-subj", "/CN=bench", "-days", "30"], check=True, capture_output=True)
    return cert, key


class OpenSSLPair:
    """Two processes of `openssl-pair.c`, compiled once for the run."""

    def __init__(self, directory):
        self.program = f"{directory}/openssl-pair"
        self.certificate = certificate(directory)
        source = os.path.join(os.path.dirname(os.path.realpath(__file__)), "openssl-pair.c")
        subprocess.run(["cc", "-O2", "-o", self.program, source, "-lssl", "-lcrypto"], check=True)

    def rate(self, size):
        """Bytes a second."""
        return float(subprocess.run([self.program, *self.certificate, str(size)], check=True, capture_output=True).stdout)


class OpenSSLTools:
    """The pair as people would type it: `openssl s_server` and `openssl s_client` with AES-128-GCM, one file, the other end's output thrown away."""

    SUITE = ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]

    def __init__(self, directory, size):
        self.directory, self.size, self.certificate = directory, size, certificate(directory)
        self.file = f"{directory}/zeros"

    def rate(self):
        """Bytes a second of the faster direction. To the client it reads 1 KiB at a time; to the server, which reads 16 KiB, it writes 8."""
        with open(self.file, "wb") as f: f.truncate(self.size)
        try: return max(self.down(), self.up())
        finally: os.unlink(self.file)

    def down(self):
        """`s_server -WWW` sends the file to `s_client`."""
        with self.server("-WWW") as server:
            await_port(server.port, server)
            start = time.monotonic()
            subprocess.run(["openssl", "s_client", "-quiet", *self.SUITE, "-connect", f"127.0.0.1:{server.port}"],
                           input=b"GET /zeros HTTP/1.0\r\n\r\n", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            took = time.monotonic() - start
            server.terminate()
        return self.size / took

    def up(self):
        """`s_client` sends the file to `s_server -naccept 1`, which ends when the connection does."""
        with self.server("-naccept", "1") as server:
            # A look whether it listens would be its one connection.
            address = f"127.0.0.1:{server.port}"
            while not self.listens(server.port):
                if server.poll() is not None: raise Failed("s_server does not listen")
                time.sleep(0.02)
            start = time.monotonic()
            with open(self.file, "rb") as file:
                subprocess.run(["openssl", "s_client", "-quiet", "-no_ign_eof", *self.SUITE, "-connect", address], stdin=file,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            server.wait(60)
            return self.size / (time.monotonic() - start)

    def server(self, *options):
        cert, key = self.certificate
        port = free_port()
        server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", cert, "-key", key, *self.SUITE,
                                   "-num_tickets", "0", "-quiet", *options], cwd=self.directory, stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.port = port
        return server

    @staticmethod
    def listens(port):
        """From the kernel's table: state 0A is LISTEN."""
        with open("/proc/net/tcp") as table: return any(f":{port:04X} 00000000:0000 0A" in line for line in table)


class RsyncDaemon:
    """A daemon that serves one tree in clear text, without fsync: rsync's own defaults."""

    def __init__(self, directory, tree):
        if not shutil.which("rsync"): raise Failed("there is no rsync: apt-get install rsync")
        self.port = free_port()
        configuration = f"{directory}/rsyncd.conf"
        identity = "" if os.getuid() else "uid=root\ngid=root\n"
        with open(configuration, "w") as f:
            f.write(f"address=127.0.0.1\nport={self.port}\nuse chroot=no\nreverse lookup=no\n{identity}[tree]\npath={tree}\nread only=yes\n")
        self.daemon = subprocess.Popen(["rsync", "--daemon", "--no-detach", "--config", configuration], stdout=subprocess.DEVNULL)
        await_port(self.port, self.daemon)

    def copy(self, destination, port=None, options=()):
        """Seconds for `rsync -a -z` into an empty directory; through a proxy where another port is given."""
        os.makedirs(destination)
        start = time.monotonic()
        subprocess.run(["rsync", "-a", "-z", *options, f"rsync://127.0.0.1:{port or self.port}/tree/", destination + "/"], check=True,
                       stdout=subprocess.DEVNULL)
        return time.monotonic() - start

    def update(self, destination):
        """Seconds, and bytes both ways, for `rsync -a -z` into a directory that has an earlier version."""
        start = time.monotonic()
        out = subprocess.run(["rsync", "-a", "-z", "--stats", f"rsync://127.0.0.1:{self.port}/tree/", destination + "/"], check=True,
                             capture_output=True, text=True).stdout
        took = time.monotonic() - start
        figures = re.findall(r"Total bytes (?:sent|received): ([\d,.]+)", out)
        return took, sum(int(re.sub(r"[,.]", "", f)) for f in figures)

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait()


def await_port(port, process):
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline: raise Failed(f"nothing listens on port {port}")
            time.sleep(0.02)


class GitPair:
    """The same tree in a repository, its daemon, and a clone of it: what a change costs by commit and fetch, counted on the wire."""

    def __init__(self, directory, tree):
        if not shutil.which("git"): raise Failed("there is no git: apt-get install git")
        self.tree, self.clone = tree, f"{directory}/clone"
        self.git(tree, "init", "--quiet")
        self.git(tree, "config", "user.name", "bench")
        self.git(tree, "config", "user.email", "bench@example")
        self.git(tree, "config", "gc.auto", "0")
        self.commit()
        os.makedirs(f"{directory}/served")
        os.symlink(f"{tree}/.git", f"{directory}/served/tree")
        port = free_port()
        self.daemon = subprocess.Popen(["git", "daemon", "--export-all", f"--base-path={directory}/served", "--listen=127.0.0.1", f"--port={port}",
                                        "--reuseaddr"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_port(port, self.daemon)
        self.proxy = CountingProxy()
        url = f"git://127.0.0.1:{self.proxy.to(port)}/tree"
        subprocess.run(["git", "-c", "gc.auto=0", "clone", "--quiet", url, self.clone], check=True)
        self.received = 0

    def git(self, place, *arguments):
        subprocess.run(["git", "-c", "safe.directory=*", *arguments], cwd=place, check=True, stdout=subprocess.DEVNULL)

    def commit(self):
        self.git(self.tree, "add", "-A")
        self.git(self.tree, "commit", "--quiet", "-m", "change")

    def update(self):
        """Seconds to commit what has changed and to fetch it; the bytes of it are in `received`."""
        before = self.proxy.counted()
        start = time.monotonic()
        self.commit()
        self.git(self.clone, "fetch", "--quiet")
        took = time.monotonic() - start
        after = self.proxy.counted()
        self.received = after[1] - before[1] + after[2] - before[2]
        return took

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait()
        shutil.rmtree(self.clone)
