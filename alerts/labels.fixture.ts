/** Which labels an expression of PromQL answers with, and what it names that is not there: of the same grammar that Prometheus's own editor reads. */
import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';

/** Labels of each name that may be asked for, those that Prometheus adds (`job`, `instance`, of several fleets `cluster`) among them. */
export type KnownSeries = ReadonlyMap<string, ReadonlySet<string>>;

export interface Inferred {
  readonly labels: ReadonlySet<string>;
  /** Names and labels that do not exist, each with where it was asked for. */
  readonly faults: readonly string[];
}

type Labels = ReadonlySet<string>;
const NONE: Labels = new Set();
const KEEPING = new Set(['topk', 'bottomk', 'limitk']);
const SET_OPERATORS = new Set(['And', 'Or', 'Unless']);

/** @throws Error where it is no PromQL, or more of it than rules have needed so far */
export function inferLabels(expr: string, known: KnownSeries): Inferred {
  const faults: string[] = [];
  const textOf = (node: SyntaxNode): string => expr.slice(node.from, node.to);
  const stringOf = (node: SyntaxNode): string => textOf(node).slice(1, -1);
  const mustHave = (wanted: Iterable<string>, labels: Labels, where: string): void => {
    for (const label of wanted) if (!labels.has(label)) faults.push(`no label ${label}: ${where}`);
  };

  function labelsOf(node: SyntaxNode): Labels {
    switch (node.name) {
      case 'ParenExpr': case 'OffsetExpr': case 'MatrixSelector': case 'UnaryExpr': case 'SubqueryExpr': return labelsOf(expressions(node)[0] as SyntaxNode);
      case 'NumberDurationLiteral': case 'StringLiteral': return NONE;
      case 'VectorSelector': return ofSelector(node);
      case 'FunctionCall': return ofCall(node);
      case 'AggregateExpr': return ofAggregate(node);
      case 'BinaryExpr': return ofBinary(node);
      default: throw new Error(`${node.name} in ${expr}: teach labels.fixture.ts what labels it has`);
    }
  }

  function ofSelector(node: SyntaxNode): Labels {
    const identifier = node.getChild('Identifier');
    if (identifier === null) throw new Error(`a selector without a name: ${textOf(node)}`);
    const labels = known.get(textOf(identifier));
    if (labels === undefined) faults.push(`no metric ${textOf(identifier)}`);
    else mustHave(descendants(node, 'LabelName').map(textOf), labels, textOf(node));
    return labels ?? NONE;
  }

  function ofCall(node: SyntaxNode): Labels {
    const name = textOf(node.getChild('FunctionIdentifier') as SyntaxNode);
    const args = expressions(node.getChild('FunctionCallBody') as SyntaxNode);
    // a histogram's quantile would take the bound away; no rule asks for one
    if (name === 'histogram_quantile') throw new Error('no rule compares a quantile: see service-rules.ts');
    // quantile_over_time's first is a number; time() has none
    const series = args.find((arg) => arg.name !== 'NumberDurationLiteral');
    const labels = series === undefined ? NONE : labelsOf(series);
    if (name === 'absent') {
      return new Set(descendants(node, 'UnquotedLabelMatcher').filter((matcher) => /^\w+="/.test(textOf(matcher))).map((matcher) => textOf(matcher.getChild('LabelName') as SyntaxNode)));
    }
    if (name !== 'label_replace') return labels;
    mustHave([stringOf(args[3] as SyntaxNode)], labels, textOf(node));
    return new Set([...labels, stringOf(args[1] as SyntaxNode)]);
  }

  function ofAggregate(node: SyntaxNode): Labels {
    const inner = labelsOf(expressions(node.getChild('FunctionCallBody') as SyntaxNode).at(-1) as SyntaxNode);
    const modifier = node.getChild('AggregateModifier');
    const named = modifier === null ? [] : descendants(modifier, 'LabelName').map(textOf);
    mustHave(named, inner, textOf(node));
    if (KEEPING.has(textOf(node.getChild('AggregateOp') as SyntaxNode))) return inner;
    return modifier?.getChild('Without') ? new Set([...inner].filter((label) => !named.includes(label))) : new Set(named);
  }

  const isScalar = (node: SyntaxNode): boolean => node.name === 'NumberDurationLiteral' || textOf(node) === 'time()';

  function ofBinary(node: SyntaxNode): Labels {
    const [leftNode, rightNode] = expressions(node) as [SyntaxNode, SyntaxNode];
    const [left, right] = [labelsOf(leftNode), labelsOf(rightNode)];
    const clause = node.getChild('MatchingModifierClause');
    const [matched = [], included = []] = (clause?.getChildren('GroupingLabels') ?? []).map((labels) => descendants(labels, 'LabelName').map(textOf));
    mustHave(matched, left, `on (…) of the left side: ${textOf(node)}`);
    mustHave(matched, right, `on (…) of the right side: ${textOf(node)}`);
    mustHave(included, right, `group_left (…): ${textOf(node)}`);
    if ([...SET_OPERATORS].some((operator) => node.getChild(operator) !== null)) return node.getChild('Or') === null ? left : new Set([...left, ...right]);
    if (isScalar(leftNode)) return right;
    if (isScalar(rightNode) || clause === null) return left;
    return clause.getChild('GroupLeft') === null ? new Set(matched) : new Set([...left, ...included]);
  }

  const root = parser.parse(expr).topNode;
  root.cursor().iterate((node) => { if (node.type.isError) throw new Error(`no PromQL at character ${node.from}: ${expr}`); });
  return { labels: labelsOf(expressions(root)[0] as SyntaxNode), faults };
}

const EXPRESSIONS = new Set([
  'ParenExpr', 'OffsetExpr', 'MatrixSelector', 'UnaryExpr', 'SubqueryExpr',
  'NumberDurationLiteral', 'StringLiteral', 'VectorSelector', 'FunctionCall', 'AggregateExpr', 'BinaryExpr',
]);

function expressions(node: SyntaxNode): SyntaxNode[] {
  return children(node).filter(({ name }) => EXPRESSIONS.has(name));
}

function children(node: SyntaxNode): SyntaxNode[] {
  const all: SyntaxNode[] = [];
  for (let child = node.firstChild; child !== null; child = child.nextSibling) all.push(child);
  return all;
}

function descendants(node: SyntaxNode, name: string): SyntaxNode[] {
  return children(node).flatMap((child) => [...(child.name === name ? [child] : []), ...descendants(child, name)]);
}
