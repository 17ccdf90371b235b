"""A Hub on this machine: just enough of its protocol for its library to fetch datasets."""

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote


class Hub(ThreadingHTTPServer):
    """Serves folders as the revisions of datasets: repository and revision to commit and folder."""

    revisions: Mapping[tuple[str, str], tuple[str, Path]]

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        for (name, revision), (commit, folder) in self.revisions.items():
            files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
            api = f"/api/datasets/{name}"
            if path in (f"{api}/revision/{revision}", f"{api}/revision/{commit}"):
                siblings = [{"rfilename": file} for file in files]
                return 200, {}, json.dumps({"id": name, "sha": commit, "siblings": siblings}).encode()
            if path.startswith(tree := f"{api}/tree/{commit}"):
                below = folder / path.removeprefix(tree).strip("/")
                entries = [entry(p, folder) for p in sorted(below.rglob("*"))]
                return 200, {}, json.dumps(entries).encode()
            prefix = f"/datasets/{name}/resolve/{commit}/"
            if path.startswith(prefix) and path.removeprefix(prefix) in files:
                file = path.removeprefix(prefix)
                return 200, {"X-Repo-Commit": commit, "ETag": f'"{file}"'}, files[file].read_bytes()
            if path.startswith(prefix):
                return 404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}, b"{}"
        error = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
        return 404, error, b"{}"


def entry(path: Path, folder: Path) -> dict[str, Any]:
    """Return what the Hub says of a file or folder of a repository."""
    name = path.relative_to(folder).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": name}
    return {"type": "file", "path": name, "size": path.stat().st_size, "oid": name}


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        status, headers, body = self.server.answer(unquote(self.path.partition("?")[0]))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Keep silent."""
