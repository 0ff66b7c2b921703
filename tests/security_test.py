#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""security_test.py BIN: the programs with TLS, client certificates and tokens, against what an operator gets wrong.

One server asks for both a certificate of the client and a token; openssl makes the certificates. Every mistake must
give its own clear message, and no bad file may disturb the service or fill the log."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tools import server_ready  # noqa: E402

MODEL = ROOT / "pretrained" / "en-phones.ese"
RECORDING = ROOT / "tests" / "data" / "speech" / "vm-sorry.flac"
PATIENCE_SECONDS = 30
# ESE_TOKEN and proxies of the caller's environment are not for these servers.
ENVIRONMENT = {"PATH": os.environ["PATH"]}
TOKENS = "{gold} gold\n{none} none max_streams=0\n"
faults = []


def expect(holds, fault):
    if not holds:
        faults.append(fault)


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """Certificates and keys in FOLDER/NAME.crt and FOLDER/NAME.key."""

    def __init__(self, folder, name):
        self._folder = folder
        self.certificate, self._key = folder / f"{name}.crt", folder / f"{name}.key"
        openssl("req", "-x509", *self._new_key(self._key), "-days", "2", "-subj", f"/CN={name}", "-out",
                self.certificate)

    @staticmethod
    def _new_key(path):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]

    def issue(self, name, days=1):
        """Returns a new certificate for 127.0.0.1 and its key. Without days it has expired."""
        request, extensions = self._folder / "request", self._folder / "extensions"
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        openssl("req", *self._new_key(key), "-subj", f"/CN={name}", "-out", request)
        extensions.write_text("subjectAltName=IP:127.0.0.1")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-days", str(days),
                "-extfile", extensions, "-out", certificate)
        return certificate, key


def replace(path, content):
    """Replaces a file in one step, so that the server never sees half of it."""
    new = path.with_suffix(".new")
    new.write_text(content)
    new.rename(path)


class Server:
    def __init__(self, binaries, folder, name, *options):
        self._ready, self._log = folder / f"{name}.ready", folder / f"{name}.log"
        with open(self._log, "wb") as out:
            self._process = subprocess.Popen(
                [binaries / "ese-server", "--metrics", "127.0.0.1:0", "--model", MODEL, "--max-load", "0",
                 "--ready-file", self._ready, *options], stdout=out, stderr=out, env=ENVIRONMENT)
        self._addresses = server_ready.wait_until_ready(self._process, self._ready, self._log)
        self.address = self._addresses["grpc"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def reload(self):
        self._process.send_signal(signal.SIGHUP)

    def lines(self, text):
        return [line for line in self._log.read_text().splitlines() if text in line]

    def wait_for_line(self, text, count=1):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.lines(text)) < count:
            if time.monotonic() > deadline:
                faults.append(f"the log has no line with {text!r}")
                return
            time.sleep(0.02)

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self._addresses['metrics']}/metrics", timeout=PATIENCE_SECONDS) as page:
            for line in page.read().decode().splitlines():
                if line.startswith(f"{name} "):
                    return float(line.split()[-1])
        faults.append(f"/metrics has no {name}")
        return 0.0


class Trial:
    def __init__(self, binaries, folder):
        self._bin, self._folder = binaries, folder
        self._authority, self._stranger = Authority(folder, "authority"), Authority(folder, "stranger")
        self._certificate, self._key = self._authority.issue("server")
        self._own, self._own_key = self._authority.issue("client")
        self._tokens = folder / "tokens"
        names = ("gold", "none", "unknown")
        self._token = {name: folder / f"{name}.token" for name in names}
        for name in names:
            self._token[name].write_text(f"secret of {name}".replace(" ", "-") + "\n")
        self._good_tokens = TOKENS.format(**{
            name: hashlib.sha256(self._token[name].read_text().strip().encode()).hexdigest() for name in names})
        self._tokens.write_text(self._good_tokens)

    def _run(self, program, *arguments):
        command = [str(part) for part in (self._bin / program, *arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS * 2, env=ENVIRONMENT,
                              check=False)

    def _flags(self, ca=None, own=None, token="gold", more=()):
        """Returns the flags of a client that is let in, unless an argument replaces something."""
        certificate, key = (self._own, self._own_key) if own is None else own
        flags = ["--tls", "--tls-ca", ca or self._authority.certificate]
        flags += ["--tls-certificate", certificate, "--tls-key", key] if certificate else []
        flags += ["--token-file", self._token[token]] if token else []
        return [*flags, *more]

    def _transcribe(self, server, flags):
        return self._run("ese-client", "--server", server.address, "--give-up", "0", *flags, "transcribe", "--times",
                         RECORDING)

    def _expect_text(self, server, flags, what):
        answer = self._transcribe(server, flags)
        expect(answer.returncode == 0 and answer.stdout == self._text,
               f"{what}: the answer is not that of plaintext: {answer.stdout}{answer.stderr}")

    def _expect_refused(self, what, result, *texts):
        lines = (result.stdout + result.stderr).strip()
        expect(result.returncode != 0, f"{what}: the program ended with 0")
        for text in texts:
            expect(text in lines, f"{what}: no {text!r} in: {lines}")
        expect(len(result.stderr.strip().splitlines()) <= 2, f"{what}: the message is long: {lines}")

    def plaintext(self):
        """Notes the answer of a server without any of this."""
        with Server(self._bin, self._folder, "plain", "--listen", "127.0.0.1:0") as server:
            answer = self._transcribe(server, [])
            self._text = answer.stdout
            expect(answer.returncode == 0 and len(self._text.splitlines()) > 3, f"plaintext failed: {answer}")
            self._expect_refused("TLS to a plaintext server", self._transcribe(server, self._flags()),
                                 "does not speak TLS")

    def unix_socket(self):
        with Server(self._bin, self._folder, "unix", "--listen", f"unix:{self._folder}/socket", "--tokens",
                    self._tokens) as server:
            self._expect_text(server, ["--token-file", self._token["gold"]], "unix socket")
            self._expect_refused("unix socket without a token", self._transcribe(server, []), "known callers")

    def start(self):
        """Servers that must not start."""

        def refuse(what, text, *options):
            result = self._run("ese-server", "--metrics", "127.0.0.1:0", "--model", MODEL, *options)
            self._expect_refused(what, result, text)

        tls = ["--listen", "127.0.0.1:0", "--tls-certificate"]
        expired, its_key = self._authority.issue("expired", days=-1)
        refuse("expired server certificate", "expired.crt expired on", *tls, expired, "--tls-key", its_key)
        refuse("key of another certificate", "does not belong to the first certificate", *tls, self._certificate,
               "--tls-key", self._own_key)
        refuse("missing key", "--tls-key belong together", *tls, self._certificate)
        refuse("plaintext beyond loopback", "--insecure", "--listen", "0.0.0.0:0")
        bad = self._folder / "bad_tokens"
        bad.write_text("gold\n")
        refuse("bad tokens", "bad_tokens:1: ", "--listen", "127.0.0.1:0", "--tokens", bad)

    def clients(self, server):
        """Clients that are let in, and those that are not."""
        self._expect_text(server, self._flags(), "mutual TLS with a token")
        report = self._folder / "report"
        load = self._run("ese-load", "--server", server.address, *self._flags(), "--streams", 4, "--seconds", 1, "--verify",
                         "--report", report)
        expect(load.returncode == 0, f"ese-load failed: {load.stdout}{load.stderr}")
        if report.exists():
            numbers = json.loads(report.read_text())
            expect(numbers["completed"] == 4 and numbers["differing"] == 0 and numbers["unverified"] == 0,
                   f"ese-load's streams were lost or differ: {load.stdout}")

        def refuse(what, flags, *texts):
            self._expect_refused(what, self._transcribe(server, flags), *texts)

        refuse("wrong authority", self._flags(ca=self._stranger.certificate), "--tls-ca")
        refuse("wrong host name", self._flags(more=["--tls-server-name", "other.example"]),
               'the server\'s certificate is not for "other.example"')
        refuse("no client certificate", self._flags(own=(None, None)), "wants a client certificate", "--tls-certificate")
        refuse("client certificate of a stranger", self._flags(own=self._stranger.issue("strange")),
               "an authority of the server")
        refuse("expired client certificate", self._flags(own=self._authority.issue("late", days=-1)), "late.crt has expired")
        refuse("key of another certificate", self._flags(own=(self._own, self._key)), "is not the key of the certificate")
        refuse("plaintext", ["--token-file", self._token["gold"]], "TLS")
        refuse("no token", self._flags(token=None), "known callers", "Bearer TOKEN")
        refuse("unknown token", self._flags(token="unknown"), "no token that this server knows")
        refuse("no streams allowed", self._flags(token="none"), "max_streams=0")
        load = self._run("ese-load", "--server", server.address, *self._flags(token="none"), "--streams", 2, "--seconds",
                         0.2)
        self._expect_refused("ese-load without streams", load, "nothing was answered, because", "max_streams=0")
        for reason in ("no_token", "unknown_token", "quota"):
            expect(server.metric(f'ese_callers_refused_total{{reason="{reason}"}}') > 0, f"{reason} was not counted")
        expect(0 < server.metric("ese_tls_certificate_expiry_seconds") - time.time() <= 24 * 3600,
               "the certificate's expiry is wrong")

    def reloads(self, server):
        """Bad files that replace good ones, each with SIGHUP."""
        def await_reload():
            count = len(server.lines("reload")) + 1
            server.reload()
            server.wait_for_line("reload", count)

        good = self._certificate.read_text()
        replace(self._certificate, good[:len(good) // 2])
        await_reload()
        server.wait_for_line("server.crt is not complete PEM")
        # Once the server has noticed a later change of one file by itself, it has also looked at the other one.
        replace(self._tokens, self._good_tokens + "# a comment\n")
        server.wait_for_line("the file of tokens changed and is in force")
        expect(len(server.lines("server.crt")) == 1, f"more than one line: {server.lines('server.crt')}")
        self._expect_text(server, self._flags(), "after half a certificate")

        replace(self._certificate, good)
        server.wait_for_line("the TLS certificate changed and is in force")
        replace(self._tokens, self._good_tokens + "nonsense\n")
        await_reload()
        server.wait_for_line("tokens:3: ")
        # Likewise, with the files in each other's place. The authority is new too.
        self._certificate, self._key = self._stranger.issue("server")
        server.wait_for_line("the TLS certificate changed and is in force", 2)
        expect(len(server.lines("tokens:3: ")) == 1, f"more than one line: {server.lines('tokens:3: ')}")
        self._expect_text(server, self._flags(ca=self._stranger.certificate), "after bad tokens")
        self._expect_refused("the old authority", self._transcribe(server, self._flags()), "--tls-ca")

    def run(self):
        self.plaintext()
        self.start()
        self.unix_socket()
        with Server(self._bin, self._folder, "secure", "--listen", "127.0.0.1:0", "--tls-certificate", self._certificate,
                    "--tls-key", self._key, "--tls-client-ca", self._authority.certificate, "--tokens",
                    self._tokens) as server:
            self.clients(server)
            self.reloads(server)


def main():
    with tempfile.TemporaryDirectory() as folder:
        Trial(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(folder)).run()
    for fault in faults:
        print(f"security_test: {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
