"""A Hub on this machine that takes models: as much of its protocol as its client needs to push one."""

import base64
import json
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

OWNER, TOKEN = "me", "hf_good"
# Files with these endings are uploaded apart from the commit.
LARGE = ".safetensors"
Answer = tuple[int, Any]
REFUSED: Answer = 403, {"error": "You don't have the rights to create a model under this namespace"}


@dataclass
class Repository:
    """A repository: its files by branch, whether it is private, and the names of files of each commit."""

    private: bool
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    commits: list[list[str]] = field(default_factory=list)


class ReceivingHub(ThreadingHTTPServer):
    """Keeps the repositories that it receives, and the large files by their SHA-256."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Return the status and the content of an answer."""
        match method, path.strip("/").split("/"):
            case "POST", ["api", "repos", "create"]:
                return self._create(json.loads(body))
            case "POST", ["api", "validate-yaml"]:
                return self._validate(json.loads(body)["content"])
            case "GET", ["api", "models", owner, name] if f"{owner}/{name}" in self.repositories:
                private = self.repositories[f"{owner}/{name}"].private
                return 200, {"id": f"{owner}/{name}", "private": private}
            case "POST", ["api", "models", owner, name, "branch", branch]:
                return self._branch(f"{owner}/{name}", branch)
            case "POST", ["api", "models", owner, name, "preupload", _]:
                return self._modes(json.loads(body))
            case "POST", [owner, name, "info", "lfs", "objects", "batch"]:
                return self._large(json.loads(body))
            case "PUT", ["large", oid] if sha256(body).hexdigest() == oid:
                self.large[oid] = body
                return 200, {}
            case "POST", ["api", "models", owner, name, "commit", branch]:
                return self._commit(f"{owner}/{name}", branch, body)
        return 404, {"error": f"no such place: {method} {path}"}

    def _create(self, asked: dict[str, Any]) -> Answer:
        if asked["organization"] not in (None, OWNER):
            return REFUSED
        name = f"{OWNER}/{asked['name']}"
        known = name in self.repositories
        private = asked.get("visibility") == "private"
        self.repositories.setdefault(name, Repository(private))
        return 409 if known else 200, {"url": f"{self.address}/{name}"}

    def _validate(self, card: str) -> Answer:
        errors = [] if card.startswith("---\n") else [{"message": "there are no metadata"}]
        return 400 if errors else 200, {"errors": errors, "warnings": []}

    def _branch(self, name: str, branch: str) -> Answer:
        branches = self.repositories[name].branches
        known = branch in branches
        branches.setdefault(branch, dict(branches["main"]))
        return 409 if known else 201, {}

    def _modes(self, asked: dict[str, Any]) -> Answer:
        paths = [file["path"] for file in asked["files"]]
        modes = {path: "lfs" if path.endswith(LARGE) else "regular" for path in paths}
        files = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
        return 200, {"files": files}

    def _large(self, asked: dict[str, Any]) -> Answer:
        objects = []
        for each in asked["objects"]:
            upload = {"upload": {"href": f"{self.address}/large/{each['oid']}"}}
            objects.append({**each, **({} if each["oid"] in self.large else {"actions": upload})})
        return 200, {"transfer": "basic", "objects": objects}

    def _commit(self, name: str, branch: str, body: bytes) -> Answer:
        repository, written = self.repositories[name], []
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                written.append((value["path"], base64.b64decode(value["content"])))
            elif line["key"] == "lfsFile":
                written.append((value["path"], self.large[value["oid"]]))
        repository.branches[branch] |= dict(written)
        repository.commits.append([path for path, _ in written])
        oid = f"{len(repository.commits):040}"
        return 200, {"commitUrl": f"{self.address}/{name}/commit/{oid}", "commitOid": oid}


class Handler(BaseHTTPRequestHandler):
    server: ReceivingHub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        # The addresses of large files need no token, as they are meant for this upload alone.
        is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}" or self.command == "PUT"
        status, content = 401, {"error": "Invalid username or password."}
        if is_known:
            path = unquote(self.path.partition("?")[0]).replace(".git/", "/")
            status, content = self.server.answer(self.command, path, body)
        text = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_PUT = do_GET = do_POST  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep silent."""
