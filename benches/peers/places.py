"""Where repositories lie, and what each tool is told of it.

A `Place` starts and stops a server of its own on loopback, which serves all
tools alike, and counts the requests that it answers.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

from measure import SERVERS, tree_size

LOOPBACK = "127.0.0.1"


class Local:
    """A folder on the disk."""

    name = "local"
    serves = None
    process = None

    def start(self, folder: Path) -> str | None:
        """Start; why it cannot, if it cannot."""
        return None

    def stop(self) -> None:
        """End the server."""

    def renew(self) -> None:
        """Begin with nothing stored."""

    def location(self, tool: str, area: Path) -> str:
        """What the tool calls the repository of an area."""
        return str(area / "repo")

    def variables(self, tool: str, area: Path) -> dict:
        """What the tool needs in its environment."""
        return {}

    def options(self, tool: str, area: Path) -> list:
        """What the tool needs on its command line."""
        return []

    def writer(self) -> list:
        """What our program needs besides to make a backup as a host does."""
        return []

    def local_copy(self, area: Path) -> Path | None:
        """The folder with the repository, where it can be seen."""
        return area / "repo"

    def size(self, area: Path) -> int | None:
        """Bytes of the repository."""
        return tree_size(area / "repo")

    def requests(self) -> int | None:
        """Requests answered so far."""
        return None

    def processor_seconds(self) -> float:
        """What the server used so far."""
        return 0.0


class Server(Local):
    """Common ground of places with a server."""

    folder: Path

    def stop(self) -> None:
        if self.process:
            SERVERS.discard(self.process.pid)
            self.process.terminate()
            self.process.wait()
            self.process = None

    def renew(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)
        self.start(self.folder)

    def local_copy(self, area: Path) -> Path | None:
        return None

    def processor_seconds(self) -> float:
        """The server's and its ended children's time."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


class Garage(Server):
    """A bucket of Garage (https://garagehq.deuxfleurs.fr), one node, LMDB, nothing synced: all tools alike."""

    name = "s3"
    serves = ("hearth", "restic", "rustic")
    bucket = "benchmark"

    def start(self, folder: Path) -> str | None:
        program = shutil.which("garage")
        if not program:
            return "garage not found; cargo install garage --locked"
        self.folder = folder
        folder.mkdir(parents=True)
        self.port, rpc, self.admin = free_port(), free_port(), free_port()
        config = folder / "garage.toml"
        config.write_text(
            f'metadata_dir = "{folder}/meta"\ndata_dir = "{folder}/data"\ndb_engine = "lmdb"\nreplication_factor = 1\n'
            f'compression_level = "none"\n'
            f'rpc_bind_addr = "{LOOPBACK}:{rpc}"\nrpc_public_addr = "{LOOPBACK}:{rpc}"\nrpc_secret = "{secrets.token_hex(32)}"\n'
            f'[s3_api]\ns3_region = "garage"\napi_bind_addr = "{LOOPBACK}:{self.port}"\n'
            f'[admin]\napi_bind_addr = "{LOOPBACK}:{self.admin}"\n'
        )

        def garage(*arguments):
            command = [program, "-c", config, *arguments]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

        log = open(folder / "log", "wb")
        self.process = subprocess.Popen([program, "-c", config, "server"], stdout=log, stderr=log)
        SERVERS.add(self.process.pid)
        wait_for(self.admin)
        node = garage("node", "id", "-q").split("@")[0]
        garage("layout", "assign", node, "-z", "home", "-c", "100GB")
        garage("layout", "apply", "--version", "1")
        garage("bucket", "create", self.bucket)
        told = garage("key", "create", "benchmark")
        self.key = re.search(r"Key ID:\s+(\S+)", told).group(1)
        self.secret = re.search(r"Secret key:\s+(\S+)", told).group(1)
        garage("bucket", "allow", self.bucket, "--key", "benchmark", "--read", "--write", "--owner")
        return None

    def location(self, tool, area):
        endpoint, prefix = f"http://{LOOPBACK}:{self.port}", area.name
        return {
            "hearth": f"s3://{self.bucket}/{prefix}?provider=garage&endpoint={endpoint}",
            "restic": f"s3:{endpoint}/{self.bucket}/{prefix}",
            "rustic": "opendal:s3",
        }[tool]

    def variables(self, tool, area):
        keys = {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_DEFAULT_REGION": "garage"}
        if tool == "rustic":
            # Its options for a service are read from a profile only.
            profile = area / "rustic.toml"
            profile.write_text(
                f'[repository]\nrepository = "opendal:s3"\n[repository.options]\nbucket = "{self.bucket}"\nroot = "/{area.name}"\n'
                f'endpoint = "http://{LOOPBACK}:{self.port}"\nregion = "garage"\n'
                f'access_key_id = "{self.key}"\nsecret_access_key = "{self.secret}"\n'
            )
            return keys | {"RUSTIC_USE_PROFILE": str(profile.with_suffix(""))}
        return keys

    def size(self, area):
        return None

    def requests(self):
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.admin}/metrics") as answer:
            text = answer.read().decode()
        return sum(int(count) for count in re.findall(r"^api_s3_request_counter\{.*\} (\d+)$", text, re.MULTILINE))


class Sftp(Server):
    """A folder behind OpenSSH's server, with a key of its own."""

    name = "sftp"
    serves = ("hearth", "restic")

    def start(self, folder: Path) -> str | None:
        program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
        if not program:
            return "sshd not found; apt-get install openssh-server"
        self.folder = folder
        folder.mkdir(parents=True)
        port = free_port()
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / "authorized").write_text((folder / "user.pub").read_text())
        host = " ".join((folder / "host.pub").read_text().split()[:2])
        (folder / "known").write_text(f"[{LOOPBACK}]:{port} {host}\n")
        (folder / "sshd_config").write_text(
            f"ListenAddress {LOOPBACK}\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
            "StrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n"
        )
        user = os.environ.get("USER") or "root"
        (folder / "ssh_config").write_text(
            f"Host server\n  HostName {LOOPBACK}\n  Port {port}\n  User {user}\n  IdentityFile {folder}/user\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known\n  BatchMode yes\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        log = open(folder / "log", "wb")
        self.process = subprocess.Popen([program, "-D", "-e", "-f", folder / "sshd_config"], stdout=log, stderr=log)
        SERVERS.add(self.process.pid)
        wait_for(port)
        return None

    def location(self, tool, area):
        return {"hearth": f"sftp://server{area}/repo", "restic": f"sftp:server:{area}/repo"}[tool]

    def variables(self, tool, area):
        return {"HEARTH_SSH": f"ssh -F {self.folder}/ssh_config"} if tool == "hearth" else {}

    def options(self, tool, area):
        return ["-o", f"sftp.args=-F {self.folder}/ssh_config"] if tool == "restic" else []

    def size(self, area):
        return tree_size(area / "repo")


class Hub(Server):
    """Our hub over plain HTTP; beside it what restic's users have: rclone's server of its protocol, and sshd."""

    name = "hub"
    serves = ("hearth", "restic", "restic-sftp")
    hearth = "hearth-backup"
    area_name = "hearth"

    def start(self, folder: Path) -> str | None:
        rclone = shutil.which("rclone")
        if not rclone:
            return "rclone not found; apt-get install rclone"
        self.folder, self.sftp = folder, Sftp()
        folder.mkdir(parents=True)
        if why := self.sftp.start(folder / "sftp"):
            return why
        data = folder / "data"
        for name, role in (("writer", "writer"), ("admin", "maintainer")):
            told = ["--role", role, "--repository", self.area_name, "--data", data, "--output", folder / f"{name}.token"]
            subprocess.run([self.hearth, "hub", "token", "add", name, *told], check=True, capture_output=True)
        self.port, self.rest = free_port(), free_port()
        log = open(folder / "log", "wb")
        serve = [self.hearth, "hub", "serve", "--data", data, "--listen", f"{LOOPBACK}:{self.port}"]
        self.process = subprocess.Popen(serve, stdout=log, stderr=log)
        (folder / "rest").mkdir()
        serve = [rclone, "serve", "restic", "--addr", f"{LOOPBACK}:{self.rest}", folder / "rest"]
        environment = os.environ | {"RCLONE_CONFIG": str(folder / "rclone.conf")}
        self.rclone = subprocess.Popen(serve, stdout=log, stderr=log, env=environment)
        for process, port in ((self.process, self.port), (self.rclone, self.rest)):
            SERVERS.add(process.pid)
            wait_for(port)
        return None

    def stop(self) -> None:
        if self.process:
            SERVERS.discard(self.rclone.pid)
            self.rclone.terminate()
            self.rclone.wait()
            self.sftp.stop()
        super().stop()

    def location(self, tool, area):
        return {
            "hearth": f"http://{LOOPBACK}:{self.port}/{area.name}",
            "restic": f"rest:http://{LOOPBACK}:{self.rest}/{area.name}",
            "restic-sftp": self.sftp.location("restic", area),
        }[tool]

    def variables(self, tool, area):
        return {"HEARTH_TOKEN_FILE": f"{self.folder}/admin.token"} if tool == "hearth" else {}

    def options(self, tool, area):
        return self.sftp.options("restic", area) if tool == "restic-sftp" else []

    def writer(self):
        return ["--token-file", self.folder / "writer.token"]

    def size(self, area):
        return None

    def processor_seconds(self) -> float:
        """All three servers' time; only one of them has something to do."""
        other = Server()
        other.process = self.rclone
        return super().processor_seconds() + other.processor_seconds() + self.sftp.processor_seconds()


ALL = {place.name: place for place in (Local, Garage, Sftp, Hub)}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return listener.getsockname()[1]


def wait_for(port: int) -> None:
    """Wait until somebody listens on a port."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
