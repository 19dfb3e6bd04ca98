// Verify the folder that an archive of Socle was unpacked to: node verify.mjs FOLDER (Node 20 or later, nothing else).
// Written from docs/verification.md. Exit codes: 0 verified, 1 not, with the name of what is not, 2 wrong usage.
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";

const folder = process.argv[2]?.replace(/\/+$/, ""), end = (code, text) => { console.error(text); process.exit(code); };
if (process.argv.length !== 3 || !statSync(folder, { throwIfNoEntry: false })?.isDirectory()) end(2, "usage: node verify.mjs FOLDER");
let thing = folder; // What is looked at: an error is told under its name.
process.on("uncaughtException", (error) => end(1, `NON VÉRIFIÉ : ${thing} : ${error.message}`));
const FIRST = "0".repeat(64), ENTRY = "application/vnd.socle.log-entry+json", KEYS = "application/vnd.socle.keys+json";
const LAYOUT = ["LISEZMOI.txt", "SHA256SUMS", "checkpoint", "log.jsonl", "nomenclature.nt", "signatures.jsonl", "verification.py"];
const NOTE = /^([^\n]+)\n([1-9]\d*)\n([A-Za-z0-9+/]{43}=)\n\n((?:\u2014 [^ \n]+ [A-Za-z0-9+/]+=*\n)+)$/;
const need = (condition, why) => { if (!condition) throw new Error(why); };
const sha = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const hex = (data) => sha(data).toString("hex");
const read = (name, called = name) => ((thing = called), readFileSync(`${folder}/${name}`));
const utf8 = (data) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
const canonical = (value) => Array.isArray(value) ? `[${value.map(canonical).join()}]` : value && typeof value === "object"
  ? `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join()}}` : JSON.stringify(value);
const base64 = (text, data = Buffer.from(text, "base64")) => (need(data.toString("base64") === text, "base64 mal formé"), data);
const json = (data, value = JSON.parse(utf8(data))) => (need(canonical(value) === utf8(data), "n'est pas du JSON canonique"), value);
const lines = (data) => (need(data.at(-1) === 10, "la dernière ligne n'est pas entière"),
  data.toString("latin1").slice(0, -1).split("\n").map((line) => Buffer.from(line, "latin1")));
const open = (data, payloadType) => {
  const found = json(data), body = base64(found.payload), signatures = found.signatures.map((one) => [one.keyid, base64(one.sig)]);
  const again = { payload: found.payload, payloadType, signatures: found.signatures.map(({ keyid, sig }) => ({ keyid, sig })) };
  need(canonical(again) === canonical(found), `n'est pas une enveloppe de ${payloadType}`);
  return { body, signatures, pae: Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${body.length} `), body]) };
};
const signed = (data, signatures, keyids, keys, least) => {
  for (const [id, sig] of signatures) need(keyids.includes(id) && verify(null, data, keys[id], sig), `signature fausse ou d'une autre clé, ${id}`);
  need(least >= 1 && new Map(signatures).size >= least && new Map(signatures).size === signatures.length, `il y faut ${least} clé(s) différentes`);
};
const roleIn = ({ keys, revoked }) => ({ keyids, threshold, ...others }) => Number.isInteger(threshold) && threshold >= 1 && threshold <= keyids.length
  && !Object.keys(others).length && keyids.every((id, at) => Object.hasOwn(keys, id) && !Object.hasOwn(revoked, id) && (!at || keyids[at - 1] < id));
const root = (nodes, half = 2 ** Math.ceil(Math.log2(nodes.length) - 1)) => nodes.length === 1 ? nodes[0]
  : sha(Buffer.of(1), root(nodes.slice(0, half)), root(nodes.slice(half)));

const names = readdirSync(folder, { recursive: true }).filter((name) => !statSync(`${folder}/${name}`).isDirectory()), sets = [];
while (names.includes(`keys/${sets.length + 1}.json`)) {
  const version = sets.length + 1, data = read(`keys/${version}.json`, `jeu de clés ${version}`);
  const { body, pae, signatures } = open(data, KEYS), set = json(body), before = sets.at(-1) ?? { ...set, digest: FIRST };
  need(set.type === "keys" && set.form === 1 && set.version === version && set.previous === before.digest, "n'est pas à sa place");
  need(set.registry === before.registry && Object.entries(before.revoked).every(([id, seq]) => set.revoked[id] === seq), "ne suit pas le précédent");
  for (const [id, { keytype, scheme, public: der }] of Object.entries(set.keys)) {
    set.keys[id] = createPublicKey({ key: base64(der), format: "der", type: "spki" });
    need([keytype, scheme, set.keys[id].asymmetricKeyType].every((one) => one === "ed25519") && hex(base64(der)) === id, `clé refusée, ${id}`);
  }
  need(Object.keys(set).sort().join() === "form,keys,previous,registry,revoked,roles,type,version" && Object.keys(set.roles).sort().join() === "publication,root"
    && Object.values(set.roles).every(roleIn(set)) && Object.values(set.revoked).every((seq) => Number.isInteger(seq) && seq >= 1), "rôle ou révocation mal formés");
  const roots = [before.roles.root, set.roles.root], keyids = roots.flatMap((role) => role.keyids), keys = { ...before.keys, ...set.keys };
  signed(pae, signatures, keyids, keys, 1);
  for (const role of roots) signed(pae, signatures.filter(([id]) => role.keyids.includes(id)), keyids, keys, role.threshold);
  sets.push({ ...set, digest: hex(body) });
}
const entries = lines(read("log.jsonl")), envelopes = lines(read("signatures.jsonl")), log = [], seen = {};
thing = "log.jsonl et signatures.jsonl", need(entries.length === envelopes.length, `${entries.length} entrées, ${envelopes.length} enveloppes`);
let now = 0, previous = FIRST; // Which key set is in force; what the next entry says of the one before.
const published = (data, signatures, seq, { keyids, threshold } = sets[now].roles.publication) => {
  for (const [id] of signatures) need(!(sets.at(-1).revoked[id] <= seq), `clé révoquée, ${id}`);
  signed(data, signatures, keyids, sets[now].keys, threshold);
};
for (let seq = 1; seq <= entries.length; seq++) {
  thing = `signature de l'entrée ${seq}`;
  const { body, pae, signatures } = open(envelopes[seq - 1], ENTRY);
  thing = `entrée ${seq} du journal`;
  need(body.equals(entries[seq - 1]), "n'est pas ce que sa signature enveloppe");
  const found = json(body), { type } = found, name = `${found.nomenclature}@${found.version}`;
  need(found.form === 1 && ["release", "renditions", "withdrawal", "keys"].includes(type), "de forme inconnue");
  need(found.seq === seq && found.previous === previous, "n'est pas à sa place");
  need(type === "release" || type === "keys" || seen[`release ${name}`], `${name} n'était pas publié`);
  need(type === "renditions" || type === "keys" || !seen[`${type} ${name}`], `${name} vient une seconde fois`);
  if (type === "keys") need(sets[++now]?.digest === found.sha256 && found.key_set_version === now + 1, "nomme un autre jeu de clés");
  thing = `signature de l'entrée ${seq}`;
  published(pae, signatures, seq);
  log.push((seen[`${type} ${name}`] = found)), previous = hex(body);
}
thing = `jeu de clés ${now + 2}`, need(now + 1 === sets.length, "le journal ne le nomme pas");
const [, origin, size, top, heads] = NOTE.exec(utf8(read("checkpoint", "tête du journal"))) ?? [];
need(origin === `${sets[0].registry.split("://")[1]}log` && Number(size) === log.length, "d'un autre journal");
need(base64(top).equals(root(entries.map((entry) => sha(Buffer.of(0), entry)))), "sa racine n'est pas celle des entrées");
const short = (key) => sha(`${origin}\n\x01`, key.export({ format: "der", type: "spki" }).subarray(-32)).toString("hex", 0, 4);
const byShort = Object.fromEntries(Object.entries(sets[now].keys).map(([id, key]) => [short(key), id]));
const noted = heads.trimEnd().split("\n").map((line) => line.split(" ")).map(([, name, text]) => [name === origin && base64(text)]);
published(Buffer.from(`${origin}\n${size}\n${top}\n`), noted.map(([data]) => [byShort[data.toString("hex", 0, 4)], data.subarray(4)]), log.length);

const { type, nomenclature, version } = log.at(-1), own = log.filter((one) => one.nomenclature === nomenclature && one.version === version);
const manifest = own[0], files = own.flatMap((one) => one.files ?? []), known = [...LAYOUT, ...sets.map((set) => `keys/${set.version}.json`), ...files.map((one) => one.name)];
thing = "log.jsonl", need(type === "renditions" && files.every((one) => /^nomenclature\.[a-z0-9.-]+$/.test(one.name)), "ne finit pas par les fichiers d'une version");
for (const name of new Set([...known, ...names])) need(names.includes((thing = name)) && known.includes(name), "absent de l'archive, ou de trop");
for (const { name, size, sha256 } of files) need(read(name).length === size && hex(read(name)) === sha256, "n'est pas ce que le journal nomme");
const data = read("nomenclature.nt"), triples = lines(data), CONCEPT = "#type> <http://www.w3.org/2004/02/skos/core#Concept> .";
need(hex(data) === manifest.content_sha256 && utf8(data) === utf8(data).normalize("NFC"), "n'est pas ce que le manifeste signe, ou pas NFC");
need(triples.every((line, at) => !at || Buffer.compare(triples[at - 1], line) < 0), "n'est pas dans l'ordre des octets, ou une ligne y vient deux fois");
need(triples.filter((line) => line.toString().endsWith(CONCEPT)).length === manifest.concepts, "n'a pas autant de concepts que le manifeste en signe");
const sums = names.filter((name) => name !== "SHA256SUMS").sort().map((name) => `${hex(read(name))}  ${name}\n`).join("");
need(read("SHA256SUMS").equals(Buffer.from(sums)), "n'est pas de ces fichiers");
const day = log.at(-1).issued.slice(0, 10), old = Date.now() - Date.parse(day) > 31 * 864e5 ? `\ntête du journal : sa dernière entrée est du ${day}, il y a plus de 30 jours` : "";
console.log(`vérifié : ${nomenclature}@${version}, ${log.length} entrées${old}`);
