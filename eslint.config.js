import tseslint from 'typescript-eslint';

/** The rooms, and what each may import of the others (docs/architecture.md). Everyone may import errors/, which imports nothing. */
const ROOMS = ['errors', 'gateway', 'collector', 'alerts', 'dashboards', 'cli', 'migrations', 'test'];

const NO_ENUM = { selector: 'TSEnumDeclaration', message: 'A union of literals, or an `as const` table, instead of an enum.' };

/** What tests share stands beside them, as *.fixture.ts. */
const NO_FIXTURE = { regex: '\\.fixture\\.js$', message: 'Fixtures are for tests.' };

/** By such a path, what begins in an allowed room could end in any. */
const NO_WAY_ROUND = { regex: '[^./]/(?:.*/)?\\.\\.(?:/|$)', message: 'A path goes up first, and then down.' };

/** Refuses imports by `patterns`: declarations, and what no-restricted-imports does not see: `import('…')`, and a type's `import('…').X`. */
function refused(patterns) {
  return {
    'no-restricted-imports': ['error', { patterns }],
    'no-restricted-syntax': ['error', NO_ENUM, ...patterns.map(({ regex, message }) => {
      const value = `/${regex.replaceAll('/', '\\/')}/`;
      return { selector: `:matches(ImportExpression, TSImportType) :matches(Literal[value=${value}], TemplateElement[value.raw=${value}])`, message };
    })],
  };
}

/** The border of one room: refuses relative imports that lead into another, but for those that begin with one of `allowed`. */
function border(room, allowed, patterns = []) {
  const others = ROOMS.filter((other) => other !== room).join('|');
  const open = allowed.length === 0 ? '' : `(?!(?:${allowed.join('|')}))`;
  return refused([
    ...patterns, NO_WAY_ROUND,
    { regex: `^(?:\\.{1,2}/)+${open}(?:${others})/`, message: `${room}/ may import ${allowed.join(', ') || 'nothing'} of the other rooms.` },
  ]);
}

/** Unit tests and their fixtures stand in the rooms, and may use the test harness. */
const inRoom = (room, allowed) => [
  { files: [`${room}/**/*.ts`], rules: border(room, allowed, [NO_FIXTURE]) },
  { files: [`${room}/**/*.test.ts`, `${room}/**/*.fixture.ts`], rules: border(room, [...allowed, 'test/harness/', 'migrations/']) },
];

/** The fault checker is a witness: what it shared with the product, or with the other tests, it could not find wrong in either. */
const WITNESS = { regex: '^(?!node:|\\./[a-z0-9-]+\\.js$)', message: 'test/checker imports its own files and node\'s modules alone (docs/decisions/0051).' };
/** And nobody leans on it. */
const NO_WITNESS = { regex: '(?:^|/)checker/', message: 'Nothing imports test/checker.' };

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'data/', '*.config.js'] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true }],
      // numbers and booleans read well in a template; objects do not
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true, allowNullish: true }],
      // an interface's async method may have nothing to wait for in one of its implementations
      '@typescript-eslint/require-await': 'off',
      eqeqeq: 'error',
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true, named: true, defaultFrom: true, namedFrom: true, namespaceFrom: true } }],
      'no-restricted-syntax': ['error', NO_ENUM],
    },
  },
  // node:test's `test()` answers a promise that the runner awaits
  { files: ['**/*.test.ts'], rules: { '@typescript-eslint/no-floating-promises': 'off' } },
  { files: ['cli/**/*.ts'], ignores: ['**/*.test.ts', '**/*.fixture.ts'], rules: refused([NO_FIXTURE]) },
  { files: ['test/**/*.ts'], ignores: ['test/checker/**'], rules: refused([NO_WITNESS]) },
  { files: ['test/checker/**/*.ts'], rules: refused([WITNESS]) },
  ...inRoom('errors', []),
  ...inRoom('gateway', ['errors/']),
  ...inRoom('collector', ['errors/', 'gateway/events/', 'gateway/config/', 'gateway/metrics/', 'gateway/whatif/']),
  ...inRoom('alerts', ['errors/', 'gateway/metrics/']),
  // what the rules record has one name, what counts as an error is said once, and a board turns red where an alert fires
  ...inRoom('dashboards', ['errors/', 'gateway/metrics/', 'alerts/service-rules', 'alerts/event-rules', 'alerts/node-rules']),
);
