// Keep a copy of a registry's code lists in step: node follow.mjs https://registry.example FOLDER (Node 20, no package).
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const [api, folder] = [process.argv[2].replace(/\/$/, "") + "/api/v1", process.argv[3]];
const asked = async (address) => {
  const answer = await fetch(address, { signal: AbortSignal.timeout(60_000) });
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return Buffer.from(await answer.arrayBuffer());
};
const write = (path, data) => {
  writeFileSync(`${path}.part`, data);
  renameSync(`${path}.part`, path); // Whole or not at all, whenever this is killed.
};
mkdirSync(folder, { recursive: true });
let page = { more: true, cursor: existsSync(`${folder}/cursor`) ? readFileSync(`${folder}/cursor`, "utf8") : "" };
while (page.more) {
  page = JSON.parse(await asked(`${api}/changes?limit=1000&since=${page.cursor}`));
  for (const { type, nomenclature, release, ...item } of page.items) {
    const [where, address] = [`${folder}/${nomenclature}/${release}`, `${api}/nomenclatures/${nomenclature}/releases/${release}`];
    mkdirSync(where, { recursive: true });
    if (type === "change") console.log(nomenclature, release, item.code, item.compatibility, ...item.kinds);
    if (type === "withdrawal") write(`${where}/withdrawn`, item.why);
    if (type !== "release") continue;
    for (const { format, sha256 } of JSON.parse(await asked(address)).files) {
      if (!["json", "csv", "ntriples"].includes(format)) continue;
      const data = await asked(`${address}?format=${format}`);
      if (createHash("sha256").update(data).digest("hex") !== sha256) throw new Error(`${address}: ${format} is not what was published`);
      write(`${where}/concepts.${format}`, data);
    }
  }
  write(`${folder}/cursor`, page.cursor); // Last: what was not written yet comes again.
}
