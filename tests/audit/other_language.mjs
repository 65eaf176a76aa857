// The checks of RFC 6962 and C2SP signed-note once more, in another language and from the texts alone:
// reads a JSON array of vectors on standard input, writes a JSON array of true and false.
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

const sha = (...parts) => createHash("sha256").update(Buffer.concat(parts)).digest();
const bytes = (hex) => Buffer.from(hex, "hex");
const node = (left, right) => sha(Buffer.of(1), left, right);
const split = (size) => { let k = 1n; while (k * 2n < size) k *= 2n; return k; };

// RFC 6962, 2.1.1: the root that PATH(m, D[n]) leads to, by the recursion of its definition
function rootOf(m, n, leaf, path) {
  if (n === 1n) { if (path.length) throw Error("too long"); return leaf; }
  if (!path.length) throw Error("too short");
  const last = path[path.length - 1], rest = path.slice(0, -1), k = split(n);
  return m < k ? node(rootOf(m, k, leaf, rest), last) : node(last, rootOf(m - k, n - k, leaf, rest));
}

// RFC 6962, 2.1.2: SUBPROOF(m, D[n], b) as the pair of roots that it leads to
function roots(m, n, whole, old, path) {
  if (m === n) {
    if (whole) { if (path.length) throw Error("too long"); return [old, old]; }
    if (path.length !== 1) throw Error("not one"); return [path[0], path[0]];
  }
  if (!path.length) throw Error("too short");
  const last = path[path.length - 1], rest = path.slice(0, -1), k = split(n);
  if (m <= k) { const [a, b] = roots(m, k, whole, old, rest); return [a, node(b, last)]; }
  const [a, b] = roots(m - k, n - k, false, old, rest);
  return [node(last, a), node(last, b)];
}

const checks = {
  inclusion(v) {
    const [m, n] = [BigInt(v.index), BigInt(v.size)];
    return m >= 0n && m < n && rootOf(m, n, bytes(v.leaf), v.proof.map(bytes)).equals(bytes(v.root));
  },
  consistency(v) {
    const [m, n, old] = [BigInt(v.old), BigInt(v.new), bytes(v.old_root)];
    if (m < 1n || m > n) return false;
    const [a, b] = roots(m, n, true, old, v.proof.map(bytes));
    return a.equals(old) && b.equals(bytes(v.new_root));
  },
  note(v) {
    const [name, id, ...rest] = v.key.trim().split("+"), key = Buffer.from(rest.join("+"), "base64");
    if (!/^\S+$/.test(name) || key.toString("base64") !== rest.join("+")) return false;
    if (sha(Buffer.from(name + "\n"), key).subarray(0, 4).toString("hex") !== id || key[0] !== 1) return false;
    const at = v.note.lastIndexOf("\n\n"), text = v.note.slice(0, at + 1);
    if (at < 0 || !v.note.endsWith("\n")) return false;
    const x = key.subarray(1).toString("base64url");
    const ed25519 = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    const mine = [];
    for (const line of v.note.slice(at + 2, -1).split("\n")) {
      const parts = /^— (\S+) (\S+)$/.exec(line);
      if (!parts) return false;
      const signature = Buffer.from(parts[2], "base64");
      if (signature.toString("base64") !== parts[2]) return false;
      if (parts[1] === name && signature.subarray(0, 4).toString("hex") === id) mine.push(signature.subarray(4));
    }
    return mine.length > 0 && mine.every((each) => verify(null, Buffer.from(text), ed25519, each));
  },
};

const verdict = (v) => { try { return checks[v.kind](v); } catch { return false; } };
process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(verdict)));
