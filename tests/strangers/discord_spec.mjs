// Reads lines of {"schema": "...", "body": ...} and answers each with what Discord's own OpenAPI document, as zod
// schemas, finds wrong with it, and which keys of it that document does not know.
import * as schemas from 'discord-api-spec/zod';
import { createInterface } from 'node:readline';

function unknown(given, known, path = []) {
  if (Array.isArray(given)) return given.flatMap((each, i) => unknown(each, known?.[i], [...path, i]));
  if (given === null || typeof given !== 'object') return [];
  return Object.entries(given).flatMap(([key, value]) =>
    known !== null && typeof known === 'object' && key in known
      ? unknown(value, known[key], [...path, key])
      : [[...path, key].join('.')],
  );
}

for await (const line of createInterface({ input: process.stdin })) {
  const { schema, body } = JSON.parse(line);
  // zod's date-time has no offset unless asked; Discord's document and Discord itself do.
  const utc = JSON.parse(JSON.stringify(body).replaceAll(/(\d\d:\d\d:\d\d\.\d+)\+00:00"/g, '$1Z"'));
  const found = schemas[schema + 'Schema'].safeParse(utc);
  const wrong = found.success ? [] : found.error.issues.map((i) => `${i.path.join('.')}: ${i.message} ${i.code}`);
  console.log(JSON.stringify({ wrong, unknown: found.success ? unknown(utc, found.data) : [] }));
}
