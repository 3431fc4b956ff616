/** The documents say what is so: links lead somewhere, examples load, commands exist, and what is rendered from the code is up to date. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import { makeProgram } from '../../cli/program.js';
import { renderPages } from '../../cli/reference/pages.js';
import { packageRoot } from '../../cli/version.js';
import { ERROR_CODES } from '../../errors/codes.js';
import { loadConfigText } from '../../gateway/config/load.js';

const root = packageRoot();
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Every document of the project, by its path from the root. */
const documents: readonly string[] = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...['docs', 'examples', 'test'].flatMap((folder) => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md')).map((name) => `${folder}/${name}`)),
].sort();

const sources: readonly string[] = ['eslint.config.js', ...['errors', 'gateway', 'collector', 'alerts', 'dashboards', 'cli', 'migrations', 'test'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter((name) => /\.(?:ts|sql)$/.test(name)).map((name) => `${folder}/${name}`))];
const sourceNames: ReadonlySet<string> = new Set(sources.map((path) => basename(path)));
/** The data directory has a folder of the same name as a room. */
const inDataDirectory = (path: string): boolean => ['collector/manifest.json', 'collector/swap.json', 'collector/quarantine/'].includes(path);

/** `line`: of the fence in front. */
interface Block { readonly language: string; readonly text: string; readonly line: number }

function blocks(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    language: match[1] ?? '', text: match[2] ?? '', line: markdown.slice(0, match.index).split('\n').length,
  }));
}

const withoutCode = (markdown: string): string => markdown.replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, '');

/** As GitHub makes them of headings. */
function anchors(markdown: string): ReadonlySet<string> {
  const heads = [...markdown.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/^#+ +(.+)$/gm)];
  return new Set(heads.map(([, head = '']) => head.trim().toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(/\s/g, '-')));
}

test('the documents that everybody looks for are there', () => {
  for (const name of ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'docs/operations.md', 'docs/platforms.md']) assert.ok(documents.includes(name), name);
  assert.match(read('LICENSE'), /Apache License\s+Version 2\.0/);
});

test('what is rendered from the code is up to date: npm run docs', async () => {
  for (const [path, text] of renderPages()) {
    assert.ok(existsSync(join(root, path)), `${path} is missing: npm run docs`);
    assert.ok(read(path) === text, `${path} is out of date: npm run docs`);
  }
});

test('every error code stands in the reference', () => {
  const page = read('docs/reference/errors.md');
  for (const code of Object.keys(ERROR_CODES)) assert.ok(page.includes(`| \`${code}\` |`), code);
});

test('every relative link leads to a file, and to a heading of it', () => {
  const broken: string[] = [];
  for (const document of documents) {
    for (const [, target = ''] of withoutCode(read(document)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? document : join(dirname(document), path);
      if (!existsSync(join(root, file))) broken.push(`${document}: ${target}`);
      else if (anchor !== undefined && file.endsWith('.md') && !anchors(read(file)).has(anchor)) broken.push(`${document}: ${target} (no such heading)`);
    }
  }
  assert.deepEqual(broken, []);
});

test('every YAML example is a configuration that loads without a warning', () => {
  let examples = 0;
  for (const document of documents) {
    for (const { language, text, line } of blocks(read(document))) {
      if (language !== 'yaml') continue;
      examples++;
      const { errors, warnings } = loadConfigText(text, join(root, 'examples', 'demo', 'example.yaml'), {});
      assert.deepEqual([...errors, ...warnings].map((problem) => `${document}:${line + problem.line}: ${problem.message}`), []);
    }
  }
  assert.ok(examples > 0);
});

test('files and npm scripts that the documents name exist', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Readonly<Record<string, string>> };
  const missing: string[] = [];
  for (const document of documents) {
    const text = read(document);
    for (const [, script = ''] of text.matchAll(/\bnpm (?:run )?(start|test|(?<=run )[a-z:]+)/g)) if (!(script in scripts)) missing.push(`${document}: npm run ${script}`);
    // written from the root, anywhere, in a command as well; or by their name alone
    for (const [, path = '', name = ''] of text.matchAll(/(?<![\w./@-])((?:errors|gateway|cli|alerts|dashboards|deploy|migrations|test|examples|docs|collector)\/[\w./-]*\w\/?)|`([\w-]+\.ts)`/g)) {
      if (!(name === '' ? existsSync(join(root, path)) : sourceNames.has(name)) && !inDataDirectory(path)) missing.push(`${document}: ${path}${name}`);
    }
  }
  assert.deepEqual(missing, []);
});

test('documents that the sources name exist', () => {
  const missing: string[] = [];
  for (const source of sources) {
    for (const [path] of read(source).matchAll(/\bdocs\/[\w./-]+\.md\b/g)) if (!existsSync(join(root, path))) missing.push(`${source}: ${path}`);
  }
  assert.deepEqual(missing, []);
});

test('the commands that documents and remedies name are there', () => {
  const commands = new Set(['help', ...readdirSync(join(root, 'cli', 'commands')).map((name) => name.replace(/\..*$/, ''))]);
  const missing: string[] = [];
  const look = (where: string, text: string, form: RegExp): void => {
    for (const [, command = ''] of text.matchAll(form)) if (!commands.has(command)) missing.push(`${where}: tidegate ${command}`);
  };
  for (const document of documents) look(document, read(document), /`(?:npx )?tidegate ([a-z]+)/g);
  for (const [code, { remedy }] of Object.entries(ERROR_CODES)) look(code, remedy, /\btidegate ([a-z]+)/g);
  assert.deepEqual(missing, []);
});

/** The command that the words begin with, down to its subcommand: `billing days`. */
function commandOf(program: Command, words: readonly string[]): Command {
  let command = program;
  for (const word of words) {
    const next = command.commands.find((each) => each.name() === word);
    if (next === undefined) break;
    command = next;
  }
  return command;
}

test('every command line of the documents has options that its command has, with values that they take', () => {
  const program = makeProgram();
  const wrong: string[] = [];
  let options = 0;
  for (const document of documents.filter((name) => name !== 'CHANGELOG.md')) {
    const text = read(document);
    const fenced = blocks(text).filter(({ language }) => language === '').flatMap((block) => block.text.replaceAll(/\\\n\s*/g, ' ').split('\n'));
    const inline = [...text.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
    for (const line of [...fenced, ...inline]) {
      const rest = /^(?:[A-Z_]+=\S+ )*(?:npx )?tidegate (.*)/.exec(line)?.[1];
      if (rest === undefined) continue;
      const words = (rest.replace(/\s(?:#|>|\||&&|;).*/, '').match(/"[^"]*"|'[^']*'|\S+/g) ?? []);
      const command = commandOf(program, words);
      for (const [at, word] of words.entries()) {
        if (!/^--\w/.test(word)) continue;
        options++;
        const option = command.options.find(({ long }) => long === word.replace(/[=,;].*/, ''));
        const value = words[at + 1] ?? '';
        if (option === undefined) wrong.push(`${document}: ${line}: no ${word} of tidegate ${command.name()}`);
        else if (option.argChoices !== undefined && /^[a-z]/.test(value) && !option.argChoices.includes(value)) wrong.push(`${document}: ${line}: ${word} does not take ${value}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(options > 100, String(options));
});

test('no document names a place on a machine that it was written on', () => {
  for (const document of documents) {
    const text = read(document);
    assert.equal(/(?:^|[\s"'`(=])(\/(?:home|root|Users|work|tmp|mnt)\/[^\s"'`)]*)/m.exec(text)?.[1] ?? null, null, document);
    assert.ok(!text.includes(root), document);
  }
});

test('the list of decisions names each of them, in order', () => {
  const files = readdirSync(join(root, 'docs/decisions')).filter((name) => /^\d{4}-/.test(name)).sort();
  assert.deepEqual([...read('docs/decisions/README.md').matchAll(/^- \[\d{4}\]\(([^)]+)\)/gm)].map(([, file]) => file), files);
});
