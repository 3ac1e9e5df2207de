"""Code on its way to another process: a folder with the files of a `Code` as they were read.

A run that was planned before an edit ends on the code that it was planned with, also after its plugin's
process has been started anew.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final

from heddle.sdk.code import Code, hash_of

MANIFEST: Final = "manifest.json"


class BundleError(Exception):
    """A folder that does not hold what its manifest says."""


def save_bundle(code: Code, folder: Path) -> None:
    """Write the files into `folder`, all or none; one that is there already is left as it is."""
    if folder.is_dir():
        return
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    for number, content in enumerate(code.contents.values()):
        (partial / str(number)).write_bytes(content)
    manifest = {
        "hash": code.hash,
        "path": str(code.path),
        "roots": [str(root) for root in code.roots],
        "files": [str(file) for file in code.contents],
    }
    (partial / MANIFEST).write_text(json.dumps(manifest))
    try:
        partial.rename(folder)
    except OSError:  # another process was first
        shutil.rmtree(partial)
        if not folder.is_dir():
            raise


def load_bundle(folder: Path) -> Code:
    """The code, with the paths that it had. Raises `BundleError`."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        contents = {
            Path(file): (folder / str(number)).read_bytes() for number, file in enumerate(manifest["files"])
        }
        code = Code(
            Path(manifest["path"]), tuple(Path(r) for r in manifest["roots"]), contents, manifest["hash"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"the saved code in {folder} cannot be read ({error})") from error
    if code.path not in contents or hash_of(contents) != code.hash:
        raise BundleError(f"the saved code in {folder} is not what was saved: its hash differs")
    return code
