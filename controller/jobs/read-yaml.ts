import { Composer, type CST, type Document, LineCounter, Parser, type ScalarTag, type YAMLError } from 'yaml';
import { inspectNodes } from './inspect-yaml.ts';

/** Kubernetes' own configuration has a file of 5.6 MB, so the limit lies above it. */
export const maxFileBytes = 8 * 1024 * 1024;
/** How deep lists and maps may stand in each other. Real job files stay under 20; the YAML library recurses. */
export const maxDepth = 64;

/** A file as YAML: `value` is what it means, `doc` and `lines` tell where each part of it stands. */
export type ReadYaml = { value: unknown; doc: Document; lines: LineCounter };
/** `offset`: characters from the start of the file. */
export type YamlProblem = { offset: number; message: string };

/**
 * Reads one YAML document; never throws, whatever the text is.
 * Meaning is that of Prow: YAML 1.2 with merge keys, but yes, no, on, off, y and n are booleans as in YAML 1.1.
 * @returns what was read, or (without `value`) everything that is wrong with it
 */
export function readYaml(text: string): ReadYaml | { problems: YamlProblem[]; lines: LineCounter } {
  const lines = new LineCounter();
  try {
    return compose(text, lines);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { problems: [{ offset: 0, message: `this is not valid YAML: ${detail}` }], lines };
  }
}

function compose(text: string, lines: LineCounter): ReadYaml | { problems: YamlProblem[]; lines: LineCounter } {
  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  const structure = secondDocument(tokens) ?? tooDeep(tokens);
  if (structure) return { problems: [structure], lines };

  // The library compares each key with all before it, which is quadratic; inspectNodes looks for duplicates instead.
  const composer = new Composer({
    merge: true,
    uniqueKeys: false,
    prettyErrors: false,
    customTags: (tags) => [yaml11Bool, ...tags],
  });
  const [doc] = [...composer.compose(tokens, true, text.length)];
  if (!doc) return { problems: [{ offset: 0, message: 'this is not valid YAML' }], lines };
  // One mistake often makes a row of errors; only the first is surely there.
  const [first] = [...doc.errors, ...doc.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
  if (first) return { problems: [{ offset: first.pos[0], message: explain(first, text) }], lines };
  const problems = inspectNodes(doc.contents);
  if (problems.length > 0) return { problems, lines };
  // inspectNodes has bounded what aliases can make of the file, more tightly than the library's own count does.
  return { value: doc.toJS({ maxAliasCount: -1 }), doc, lines };
}

const yaml11Bool: ScalarTag = {
  tag: 'tag:yaml.org,2002:bool',
  default: true,
  test: /^(?:y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF)$/,
  resolve: (text) => /^(?:y|on$)/i.test(text),
};

function secondDocument(tokens: CST.Token[]): YamlProblem | undefined {
  const second = tokens.filter((t) => t.type === 'document')[1];
  return second && { offset: second.offset, message: 'a second YAML document begins here; put it into a file of its own' };
}

/** Looks at the tokens, before anything recurses into them. */
function tooDeep(tokens: CST.Token[]): YamlProblem | undefined {
  const stack: { token: CST.Token; depth: number }[] = tokens.map((token) => ({ token, depth: 0 }));
  for (let at = stack.pop(); at; at = stack.pop()) {
    const { token, depth } = at;
    if (depth > maxDepth) {
      return { offset: token.offset, message: `lists and maps stand more than ${maxDepth} deep in each other; flatten them` };
    }
    if (token.type === 'document' && token.value) stack.push({ token: token.value, depth });
    if (token.type !== 'block-map' && token.type !== 'block-seq' && token.type !== 'flow-collection') continue;
    for (const { key, value } of token.items) {
      if (key) stack.push({ token: key, depth: depth + 1 });
      if (value) stack.push({ token: value, depth: depth + 1 });
    }
  }
  return undefined;
}

function explain(error: YAMLError, text: string): string {
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return 'this line is indented with a tab; YAML wants spaces, so replace the tab by spaces';
    case 'BAD_INDENT':
      return `the indentation does not fit: ${error.message}; align this line with its neighbours`;
    case 'MISSING_CHAR':
      if (/^Missing closing ["']/.test(error.message)) return 'a text in quotes is not closed before here; add the closing quote';
      return `this is not valid YAML: ${error.message}`;
    case 'BLOCK_AS_IMPLICIT_KEY':
      if (!/: .*: /.test(lineAt(text, error.pos[0]))) return 'the indentation does not fit; align this line with its neighbours';
      return "there is a second ': ' in this line; put the value in quotes";
    case 'BAD_SCALAR_START':
      return `a value cannot begin with '${text[error.pos[0]] ?? ''}'; put it in quotes`;
    case 'TAG_RESOLVE_FAILED':
      return `${error.message}; remove the tag`;
    default:
      return `this is not valid YAML: ${error.message}`;
  }
}

function lineAt(text: string, offset: number): string {
  const end = text.indexOf('\n', offset);
  return text.slice(text.lastIndexOf('\n', offset - 1) + 1, end < 0 ? undefined : end);
}
