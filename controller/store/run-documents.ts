import type { Run } from '../../protocol/run.ts';
import type { Objects } from './objects.ts';

const prefix = 'runs/';

/** Where the document of an ended run lies: all that its events say, in one JSON object. */
export const runDocumentKey = (id: string): string => `${prefix}${id}.json`;

/** Stores it; doing so twice is harmless, for an ended run does not change. */
export const writeRunDocument = async (objects: Pick<Objects, 'put'>, run: Run): Promise<void> => {
  await objects.put(runDocumentKey(run.id), Buffer.from(JSON.stringify(run)));
};

export async function readRunDocument(objects: Pick<Objects, 'get'>, id: string): Promise<Run | undefined> {
  const body = await objects.get(runDocumentKey(id));
  return body && (JSON.parse(body.toString('utf8')) as Run);
}

/** The ids of all runs that have a document, oldest first. */
export async function* runDocuments(objects: Pick<Objects, 'list'>): AsyncGenerator<string> {
  for await (const { key } of objects.list(prefix)) {
    const id = /^runs\/([0-9]+)\.json$/.exec(key)?.[1];
    if (id !== undefined) yield id;
  }
}
