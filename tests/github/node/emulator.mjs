// Starts the GitHub emulator on loopback and adds a console for the facade: additive seeding, tokens,
// the event queue, row access and bulk import of git objects. The console exists because the emulator
// can only be seeded at start, delivers webhooks itself and takes git objects one request at a time.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { Server } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const DIST = join(dirname(fileURLToPath(import.meta.url)), "node_modules", "emulate", "dist");
const MARKER = "  githubPlugin,";

// The bundle's chunk names carry a content hash, so the GitHub chunk is found by what it exports.
const chunk = readdirSync(DIST).find(
  (name) => name.startsWith("dist-") && name.endsWith(".js") && readFileSync(join(DIST, name), "utf8").includes(MARKER),
);
if (!chunk) throw new Error(`no GitHub chunk in ${DIST}: is emulate 0.12.2 installed?`);
const { githubPlugin, seedFromConfig, getGitHubStore } = await import(pathToFileURL(join(DIST, chunk)).href);
const { createEmulator } = await import(pathToFileURL(join(DIST, "api.js")).href);

const events = [];

function rowsOf(gh, collection) {
  const rows = gh[collection];
  if (!rows) throw new Error(`no collection ${collection}`);
  return rows;
}

function matches(row, where) {
  return Object.entries(where ?? {}).every(([key, value]) => row[key] === value);
}

function runQuery(gh, { collection, op, where, values, id }) {
  const rows = rowsOf(gh, collection);
  if (op === "find") return rows.all().filter((row) => matches(row, where));
  if (op === "insert") return rows.insert(values);
  if (op === "update") return rows.update(id, values);
  if (op === "delete") return rows.delete(id);
  throw new Error(`no operation ${op}`);
}

function parseTree(raw) {
  const entries = [];
  for (let at = 0; at < raw.length; ) {
    const space = raw.indexOf(0x20, at);
    const nul = raw.indexOf(0, space);
    const mode = raw.toString("latin1", at, space).padStart(6, "0");
    const sha = raw.toString("hex", nul + 1, nul + 21);
    const type = mode === "040000" ? "tree" : mode === "160000" ? "commit" : "blob";
    entries.push({ path: raw.toString("utf8", space + 1, nul), mode, type, sha });
    at = nul + 21;
  }
  return entries;
}

function parseIdentity(text) {
  const [, name, email, seconds, zone] = /^(.*?) ?<(.*)> (-?\d+) ([+-]\d{4})$/.exec(text);
  const minutes = (zone[0] === "-" ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3)));
  const local = new Date((Number(seconds) + minutes * 60) * 1000).toISOString().slice(0, 19);
  const suffix = zone === "+0000" ? "Z" : `${zone.slice(0, 3)}:${zone.slice(3)}`;
  return { name, email, date: local + suffix };
}

function parseCommit(raw) {
  const text = raw.toString("utf8");
  const split = text.indexOf("\n\n");
  const commit = { parent_shas: [], message: text.slice(split + 2).replace(/\n$/, ""), user_id: null };
  for (const line of text.slice(0, split).split("\n")) {
    const [key] = line.split(" ", 1);
    const value = line.slice(key.length + 1);
    if (key === "tree") commit.tree_sha = value;
    if (key === "parent") commit.parent_shas.push(value);
    if (key === "author" || key === "committer") {
      const who = parseIdentity(value);
      Object.assign(commit, { [`${key}_name`]: who.name, [`${key}_email`]: who.email, [`${key}_date`]: who.date });
    }
  }
  return commit;
}

function blobRow(raw) {
  const text = raw.toString("utf8");
  const plain = !text.includes("\0") && Buffer.from(text, "utf8").equals(raw);
  return {
    content: plain ? text : raw.toString("base64"),
    encoding: plain ? "utf-8" : "base64",
    size: raw.byteLength,
  };
}

const PARSERS = {
  blob: ["blobs", blobRow],
  tree: ["trees", (raw) => ({ tree: parseTree(raw), truncated: false })],
  commit: ["commits", parseCommit],
};

function importObjects(gh, { repo_id, objects }) {
  const known = {};
  for (const [type, [collection]] of Object.entries(PARSERS)) {
    known[type] = new Set(rowsOf(gh, collection).findBy("repo_id", repo_id).map((row) => row.sha));
  }
  for (const { sha, type, data } of objects) {
    const raw = Buffer.from(data, "base64");
    const actual = createHash("sha1").update(`${type} ${raw.byteLength}\0`).update(raw).digest("hex");
    if (actual !== sha) throw new Error(`object ${sha} hashes to ${actual}`);
    if (!PARSERS[type] || known[type].has(sha)) continue;
    const [collection, parse] = PARSERS[type];
    rowsOf(gh, collection).insert({ repo_id, sha, node_id: `${type}:${sha}`, ...parse(raw) });
    known[type].add(sha);
  }
  return { imported: objects.length };
}

function rawTree(entries) {
  const name = (entry) => Buffer.from(entry.type === "tree" ? `${entry.path}/` : entry.path);
  return Buffer.concat(
    [...entries]
      .sort((left, right) => Buffer.compare(name(left), name(right)))
      .flatMap((entry) => [
        Buffer.from(`${entry.mode.replace(/^0+/, "")} ${entry.path}\0`),
        Buffer.from(entry.sha, "hex"),
      ]),
  );
}

function rawIdentity(name, email, date) {
  const zone = /([+-])(\d{2}):?(\d{2})$/.exec(date);
  const offset = zone ? zone[1] + zone[2] + zone[3] : "+0000";
  return `${name} <${email}> ${Math.floor(Date.parse(date) / 1000)} ${offset}`;
}

function rawCommit(row) {
  const headers = [`tree ${row.tree_sha}`, ...row.parent_shas.map((sha) => `parent ${sha}`)];
  headers.push(`author ${rawIdentity(row.author_name, row.author_email, row.author_date)}`);
  headers.push(`committer ${rawIdentity(row.committer_name, row.committer_email, row.committer_date)}`);
  const message = row.message.endsWith("\n") ? row.message : `${row.message}\n`;
  return Buffer.from(`${headers.join("\n")}\n\n${message}`);
}

// Objects reachable from `sha` and not from the commits in `have`, children before parents of the walk.
function exportObjects(gh, { repo_id, sha, have }) {
  const index = (collection) => new Map(rowsOf(gh, collection).findBy("repo_id", repo_id).map((row) => [row.sha, row]));
  const [commits, trees, blobs] = [index("commits"), index("trees"), index("blobs")];
  const seen = new Set();
  const out = [];
  const walk = (type, id, keep) => {
    if (seen.has(id)) return;
    seen.add(id);
    const row = { commit: commits, tree: trees, blob: blobs }[type].get(id);
    if (!row) return;
    if (type === "commit") walk("tree", row.tree_sha, keep);
    if (type === "tree") for (const entry of row.tree) if (entry.type !== "commit") walk(entry.type, entry.sha, keep);
    if (!keep) return;
    const raw =
      type === "commit" ? rawCommit(row) : type === "tree" ? rawTree(row.tree) : Buffer.from(row.content, encodingOf(row));
    out.push({ sha: id, type, data: raw.toString("base64") });
  };
  have.filter((id) => commits.has(id)).forEach((id) => walk("commit", id, false));
  for (const waiting = [sha]; waiting.length; ) {
    const id = waiting.pop();
    if (seen.has(id) || !commits.has(id)) continue;
    waiting.push(...commits.get(id).parent_shas);
    walk("commit", id, true);
  }
  return out;
}

function encodingOf(row) {
  return row.encoding === "base64" ? "base64" : "utf8";
}

function setRef(gh, { repo_id, ref, sha }) {
  const branch = ref.startsWith("refs/heads/") ? ref.slice("refs/heads/".length) : null;
  const put = (rows, match, values) => {
    const row = rows.findBy("repo_id", repo_id).find(match);
    if (sha === null) return row && rows.delete(row.id);
    return row ? rows.update(row.id, { sha }) : rows.insert({ repo_id, sha, ...values });
  };
  put(gh.refs, (row) => row.ref === ref, { ref, node_id: `ref:${ref}` });
  if (branch) put(gh.branches, (row) => row.name === branch, { name: branch, protected: false });
  return { ref, sha };
}

const register = githubPlugin.register.bind(githubPlugin);
githubPlugin.register = (app, store, webhooks, baseUrl, tokens) => {
  const gh = getGitHubStore(store);
  const commands = {
    seed: (body) => (seedFromConfig(store, baseUrl, body), {}),
    token: ({ token, user }) => ((user ? tokens.set(token, user) : tokens.delete(token)), {}),
    events: () => events.splice(0),
    query: (body) => runQuery(gh, body),
    import: (body) => importObjects(gh, body),
    export: (body) => exportObjects(gh, body),
    ref: (body) => setRef(gh, body),
  };
  for (const [name, run] of Object.entries(commands)) {
    app.post(`/_console/${name}`, async (c) => {
      const text = await c.req.text();
      return c.json({ result: run(text ? JSON.parse(text) : {}) ?? null });
    });
  }
  register(app, store, webhooks, baseUrl, tokens);
  // Deliveries are the facade's: it knows the final bytes, the GUIDs and who is subscribed.
  webhooks.dispatch = async (event, action, payload, owner, repo) => {
    events.push(JSON.parse(JSON.stringify({ event, action: action ?? null, payload, owner, repo: repo ?? null })));
  };
};

// The advertised base is the facade's, so the real port has to be read off the socket.
let listening;
const listen = Server.prototype.listen;
Server.prototype.listen = function remember(...args) {
  listening = this;
  return listen.apply(this, args);
};

const [baseUrl] = process.argv.slice(2);
// Unknown tokens become the first seeded user, so that one is nobody.
const emulator = await createEmulator({
  service: "github",
  port: 0,
  hostname: "127.0.0.1",
  baseUrl,
  seed: { tokens: {}, github: { users: [{ login: "ghost" }] } },
});
process.stdin.resume().on("end", () => emulator.close().then(() => process.exit(0)));
process.stdout.write(`${JSON.stringify({ port: listening.address().port })}\n`);
