"""Certificates made by the openssl command for a test run."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority of our own."""

    folder: Path
    name: str

    @property
    def certificate(self) -> Path:
        return self.folder / f"{self.name}.pem"

    @classmethod
    def make(cls, folder: Path, name: str) -> Authority:
        made = cls(folder, name)
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", f"/CN={name}", "-keyout", str(folder / f"{name}.key"), "-out", str(made.certificate),
            "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip
        return made

    def issue(self, host: str, *, days: int = 2) -> Path:
        """Make a certificate with its key in one file; with days=-1 it has expired."""
        stem = self.folder / f"{self.name}-{host}-{days}"
        key, request, extension = stem.with_suffix(".key"), stem.with_suffix(".csr"), stem.with_suffix(".ext")
        extension.write_text(f"subjectAltName=DNS:{host}\n")
        openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={host}",
            "-keyout", str(key), "-out", str(request),
        )  # fmt: skip
        openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey",
            str(self.folder / f"{self.name}.key"), "-CAcreateserial", "-days", str(days), "-extfile", str(extension),
            "-out", str(stem.with_suffix(".crt")),
        )  # fmt: skip
        both = stem.with_suffix(".both")
        both.write_text(stem.with_suffix(".crt").read_text() + key.read_text())
        return both


def openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
