"""Asks for known vulnerabilities of the packages in requirements/dev.lock, by pip-audit.

usage: python tools/audit.py PIP_AUDIT     skipped, saying so, where nobody can be asked
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements/dev.lock"
SERVICES = ("pypi", "osv")
EXCEPTIONS: Mapping[str, str] = {}
"""Advisories that do not concern FacePass, by id, and why not."""


@dataclass(frozen=True)
class Audit:
    """How many packages a service knew, and what it knows against them: (package, advisory)."""

    known: int
    unknown: int
    found: tuple[tuple[str, str], ...]


def main(pip_audit: Path) -> int:
    if not pip_audit.exists():
        print("audit: skipped, pip-audit is not installed")
        return 0
    for service in SERVICES:
        audit = ask(pip_audit, service)
        if audit is not None and audit.known:
            return told(audit)
    print(f"audit: skipped, no advisory service ({', '.join(SERVICES)}) knows our packages here")
    return 0


def ask(pip_audit: Path, service: str) -> Audit | None:
    """None where the service does not answer."""
    command = [str(pip_audit), "--requirement", str(LOCK), "--require-hashes", "--disable-pip"]
    command += ["--vulnerability-service", service, "--format", "json", "--progress-spinner", "off"]
    run = subprocess.run(command, capture_output=True, text=True)
    try:
        packages = json.loads(run.stdout)["dependencies"]
    except ValueError:
        return None
    found = [
        (f"{package['name']} {package['version']}", advisory["id"])
        for package in packages
        for advisory in package.get("vulns", ())
        if not EXCEPTIONS.keys() & {advisory["id"], *advisory["aliases"]}
    ]
    unknown = sum("skip_reason" in package for package in packages)
    return Audit(len(packages) - unknown, unknown, tuple(found))


def told(audit: Audit) -> int:
    for package, advisory in audit.found:
        print(f"audit: {package}: {advisory}", file=sys.stderr)
    for advisory, why in EXCEPTIONS.items():
        print(f"audit: {advisory} is left out: {why}")
    print(f"audit: {len(audit.found)} in {audit.known} packages, {audit.unknown} unknown there")
    return 1 if audit.found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
