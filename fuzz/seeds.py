#!/usr/bin/env python3
"""Makes the seeds below fuzz/corpus from the recorded clusters of the program. Run in the root of the repository."""

import io
import json
import pathlib
import re
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
COMMANDS = [
    "status", "health_detail", "time-sync-status", "versions", "quorum_status", "osd_tree", "osd_dump", "osd_df",
    "osd_pool_ls_detail", "fs_dump", "osd_metadata", "osd_crush_rule_dump", "crash_ls",
]  # in the order of CephCommand::ALL
AT_MOST = 12_000


def keep(target, name, content):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def small_archive(files, keys):
    """A tar of the small files that a diagnosis begins with."""
    wanted = re.compile("|".join(keys))
    with io.BytesIO() as out:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for path, content in sorted(files.items()):
                path = path.split("/", 1)[1]
                if wanted.search(path) and len(content) < AT_MOST and len(path) < 100:
                    info = tarfile.TarInfo(path)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        return out.getvalue()


for at, example in enumerate(sorted((ROOT / "src" / "examples").glob("*.tar.gz"))):
    with tarfile.open(example) as archive:
        files = {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}
    name = example.name.removesuffix(".tar.gz")
    for command, word in enumerate(COMMANDS):
        for path, content in files.items():
            if path.endswith(f"must_gather_commands_json_output/ceph_{word}_--format_json-pretty") and at % 4 == command % 4:
                small = json.dumps(json.loads(content), separators=(",", ":")).encode() if content.strip() else content
                if len(small) < AT_MOST:
                    keep("ceph", f"{name}-{word}", bytes([at, command]) + small)
    logs = sorted((content for path, content in files.items() if path.endswith(".log")), key=len)
    for count, log in enumerate(logs[-3:]):
        keep("logs", f"{name}-{count}", bytes([at]) + log[-6_000:])
    blocks = [block for content in files.values() for block in re.findall(rb"config: \|-?\n((?: {6,}.*\n)+)", content)]
    for count, config in enumerate(dict.fromkeys(blocks)):
        keep("nad", f"{name}-{count}", re.sub(rb"(?m)^ {6}", b"", config))
    if at % 5 == 0:
        keys = ["cephclusters.yaml", "rook-ceph/core/pods", "rook-ceph/apps", "manifest", "ceph_status", "leases", r"\.log$"]
        keep("bundle", f"{name}.tar", small_archive(files, keys))
