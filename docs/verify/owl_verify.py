"""Checks a bundle of Owl Factory's event log with the log's public key and nothing else of it.

    python owl_verify.py BUNDLE KEY [CHECKPOINT]
KEY is a verifier key of the log (`owl audit key`), new or old, as text or a file; CHECKPOINT one
that you kept, from which the bundle must go on. Exit code 0: all is as it was signed. 1: it is not,
and where. 2: wrong usage. Needs Python 3.9 and `cryptography`; shares no code with the program.
"""

import base64
import hashlib
import json
import re
import sys
import tarfile
import uuid
from pathlib import Path

FILES = ("checkpoint.note", "range-proof.json", "events.jsonl", "leaves.bin", "manifest.note")
FIELDS = "position stream version tag recorded_at_us actor correlation causation command_id".split()


def need(holds, message):
    if not holds:
        raise ValueError(message)


def sha256(*data):
    return hashlib.sha256(b"".join(data)).digest()


def unbase64(text):
    need(base64.b64encode(data := base64.b64decode(text)).decode() == text, "not canonical base64")
    return data


def packed(value):  # MessagePack, shortest forms, of the few kinds that an envelope holds
    if value is None or isinstance(value := getattr(value, "bytes", value), bytes):
        return b"\xc0" if value is None else b"\xc4" + bytes([len(value)]) + value
    data = value.encode() if (text := isinstance(value, str)) else b""
    number, kind, short, fix = (len(data), 0xD9, 32, 0xA0) if text else (value, 0xCC, 128, 0)
    if number < short:
        return bytes([number + fix]) + data
    step = next(n for n in range(4) if 0 <= number < 1 << (8 << n))
    return bytes([kind + step]) + number.to_bytes(1 << step, "big") + data


def leaf_of(line, position):  # the leaf of an event, from its line in the bundle
    event = json.loads(line)
    event |= {name: uuid.UUID(event[name]) for name in ("stream", "command_id")}
    form = json.dumps(event, ensure_ascii=False, separators=(",", ":"), default=str) + "\n"
    state, digest = event.pop("state", None), event.pop("state_sha256", None)
    need(set(event) == set(FIELDS) and bool not in map(type, event.values()), "not an event")
    need(event["position"] == position, f"event {event['position']} stands here")
    state_digest = bytes.fromhex(digest) if state is None else sha256(state.encode())
    need(form == line and digest == (state_digest.hex() if state is None else None), "another form")
    return sha256(b"\x00\x9b", *map(packed, (1, *map(event.get, FIELDS), state_digest)))


class Tree:  # of RFC 6962: full subtrees side by side, as (level, root), largest first
    def __init__(self):
        self.size, self.nodes = 0, []

    def add(self, level, root):
        self.size += 1 << level
        while self.nodes and self.nodes[-1][0] == level:
            level, root = level + 1, sha256(b"\x01", self.nodes.pop()[1], root)
        self.nodes.append((level, root))

    def add_range(self, end, roots):  # the fewest full subtrees that reach from here to ``end``
        for root in roots:
            level = min(end - self.size, self.size & -self.size or end).bit_length() - 1
            need(level >= 0, "there are too many hashes beside the events")
            self.add(level, bytes.fromhex(root))
        need(self.size == end, "there are too few hashes beside the events")

    def root(self):
        root = self.nodes[-1][1] if self.nodes else sha256(b"")
        for _, left in reversed(self.nodes[:-1]):
            root = sha256(b"\x01", left, root)
        return root


def signed_text(note, key):  # of a C2SP signed-note: who signed, which must be the key, and what
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    name, key_id, encoded = key.split("+", 2)
    named = sha256(name.encode(), b"\n", public := unbase64(encoded))[:4] + b"\x01"
    need(named.hex() == key_id + public[:1].hex(), "the key is no Ed25519 verifier key")
    text, _, signatures = note.rpartition("\n\n")
    lines = [line.split(" ") for line in signatures.split("\n")]
    need(lines.pop() == [""] and all(line[0] == "—" for line in lines), "no signature lines")
    mine = [data for _, signer, data in lines if signer == name]
    mine = [data[4:] for data in map(unbase64, mine) if data[:4].hex() == key_id]
    need(mine, f"not signed by {name}+{key_id}")
    for signature in mine:
        Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature, f"{text}\n".encode())
    return name, f"{text}\n"


def chain(note, key):  # the log's keys, each with the size from which it signs; each by two
    keys = []
    for link in json.loads(note.rpartition("\n\n")[0]).get("keys", ()):
        form, after, old, new = link["note"].rpartition("\n\n")[0].split("\n")
        keys = keys or [(0, old)]
        fits = keys[-1][1] == old and keys[-1][0] < link["position"] > int(after.split("after ")[1])
        need(fits and form == "owl-log-key-rotation/1", "a change of the log's key is out of place")
        need(signed_text(link["note"], old) == signed_text(link["note"], new), "keys of two logs")
        keys.append((link["position"], new))
    need(key in [each for _, each in keys or [(0, key)]], "the log's keys do not lead to yours")
    return keys or [(0, key)]


def checkpoint_of(note, keys):  # C2SP tlog-checkpoint
    origin, size, root, *_ = note.split("\n")
    name, _ = signed_text(note, [key for since, key in keys if since <= int(size)][-1])
    need(origin == name and str(int(size)) == size, "the checkpoint is of another log")
    return origin, int(size), unbase64(root)


def members(file):  # offset and size of each file of a bundle, which has one canonical form
    found = {}
    for name in FILES:
        head, tar = file.read(512), tarfile.TarInfo(name)
        tar.size, tar.mode = tarfile.TarInfo.frombuf(head, "utf-8", "strict").size, 0o444
        need(tar.size >= 0 and head == tar.tobuf(tarfile.GNU_FORMAT), f"{name}: damaged head")
        found[name], end = (at := file.tell(), tar.size), at + tar.size + (pad := -tar.size % 512)
        if name == "events.jsonl":
            file.seek(begin := max(at, end - (1 << 20)))
            there = begin + file.read(2 << 20).find(b"leaves.bin" + bytes(90))
            if begin <= there != end:  # a line grew or shrank: read on, to tell which
                found[name], end, pad = (at, -1), there, 0
        file.seek(end - pad)
        need(file.read(pad) == bytes(pad), f"damaged behind {name}")
    need(file.read(1025) == bytes(1024), "damaged at the end")
    return found


def read(file, at):
    need(at[1] <= 1 << 20, "a file of the bundle is too large")
    file.seek(at[0])
    return file.read(at[1])


def is_whole(file, at, said):
    digest = hashlib.sha256()
    for begin in range(0, at[1], 1 << 20):
        digest.update(read(file, (at[0] + begin, min(1 << 20, at[1] - begin))))
    return said == {"sha256": digest.hexdigest(), "size_bytes": at[1]}


def verify_bundle(file, events, key, held):
    at = members(file)
    keys = chain(note := read(file, at["manifest.note"]).decode(), key)
    manifest = json.loads(signed_text(note, keys[-1][1])[1])
    origin, size, root = checkpoint_of(read(file, at["checkpoint.note"]).decode(), keys)
    first, last, tree = manifest["first"], manifest["last"], Tree()
    said = (manifest["form"], manifest["size"]) == (1 + (len(keys) > 1), size)
    need(said and 1 <= first <= last <= size, "the manifest is of another checkpoint")
    _, met, seen = checkpoint_of(held, keys) if held is not None else (origin, first - 1, None)
    need(first - 1 <= met <= last, "the bundle does not meet your checkpoint")
    bad = [name for name in FILES[:-1] if not is_whole(file, at[name], manifest["files"][name])]
    need(not set(bad) - {"events.jsonl"}, f"damaged: {bad}")
    tree.add_range(first - 1, (beside := json.loads(read(file, at["range-proof.json"])))["left"])
    file.seek(at["leaves.bin"][0]), events.seek(at["events.jsonl"][0])
    for position in range(first, last + 1):
        need(tree.size != met or seen in (None, tree.root()), "the history forked")
        try:
            leaf = leaf_of(events.readline(64 << 20).decode(), position)
        except Exception as why:
            raise ValueError(f"event {position} is no event: {why}") from why
        need(leaf == file.read(32), f"event {position} is not the one that was signed")
        tree.add(0, leaf)
    need(not bad, f"something stands behind event {last}")
    need(tree.size != met or seen in (None, tree.root()), "the history forked")
    tree.add_range(size, beside["right"])
    need(tree.root() == root, "the events do not give the signed root")
    return f"events {first} to {last} of {origin} are as they were signed"


def main(bundle, key, checkpoint=None):
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # without it nothing can be told
        key = Path(key).read_text("utf-8", "replace").strip() if Path(key).exists() else key.strip()
        parts = re.fullmatch(r"(.+?)\+([0-9a-f]{8})\+(A[Q-Za-f][A-Za-z0-9+/]{42})", key) or [""] * 4
        named = sha256(parts[1].encode(), b"\n", base64.b64decode(parts[3]))[:4].hex() == parts[2]
        need(named, f"{key[:60]!r} is no verifier key, nor a file that holds one")
        held = checkpoint if checkpoint is None else Path(checkpoint).read_text("utf-8", "replace")
        bad = held is not None and ("\ufffd" in held or held.count("\n") < 4)
        need(not bad, f"{checkpoint} is no checkpoint")
        file, events = open(bundle, "rb"), open(bundle, "rb")
        need(b".parquet\0" not in events.read(65536), "Parquet: owl audit verify-bundle --pub KEY")
    except (ImportError, OSError, ValueError) as why:
        sys.exit(print(why, file=sys.stderr) or 2)
    try:
        print(verify_bundle(file, events, key, held))
    except Exception as why:
        sys.exit(f"WRONG: {str(why) or 'a signature is not by this key'}")


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) in (3, 4) else sys.exit(print(__doc__) or 2)
