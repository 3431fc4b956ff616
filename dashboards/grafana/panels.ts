/**
 * The kinds of panels, each with what every panel must have: an id that stays (links name it), a title, a unit, a description. Numbers that can be bad have
 * thresholds; those that only tell have none, and no colour.
 */
import type * as cog from '@grafana/grafana-foundation-sdk/cog';
import * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import * as heatmap from '@grafana/grafana-foundation-sdk/heatmap';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import * as table from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';
import { text, type Expr } from './promql.js';

export type PanelBuilder = cog.Builder<dashboard.Panel>;
export type Query = cog.Builder<cog.Dataquery>;

export interface PanelTexts {
  /** Of its board, for ever. */
  readonly id: number;
  readonly title: string;
  /** What it says, and when it is bad. */
  readonly description: string;
  /** Grafana's name of the unit. */
  readonly unit: string;
  readonly thresholds?: readonly dashboard.Threshold[];
  /** Of 24 columns; and rows of about 38 pixels. */
  readonly width: number;
  readonly height?: number;
  readonly decimals?: number;
}

const GREEN = 'green';
const ORANGE = 'orange';
const RED = 'red';

/** Orange from `warn` on, red from `bad` on. */
export const atMost = (warn: number, bad: number): readonly dashboard.Threshold[] =>
  [{ value: null, color: GREEN }, ...(warn < bad ? [{ value: warn, color: ORANGE }] : []), { value: bad, color: RED }];
/** Red below `bad`, orange below `warn`. */
export const atLeast = (warn: number, bad: number): readonly dashboard.Threshold[] =>
  [{ value: null, color: RED }, ...(warn > bad ? [{ value: bad, color: ORANGE }] : []), { value: warn, color: GREEN }];

const PROMETHEUS: common.DataSourceRef = { type: 'prometheus', uid: '${datasource}' };

/** A question to Prometheus. `legend` names each of its series by their labels; of a table, absent. */
export function ask(expr: Expr | string, legend = ''): prometheus.DataqueryBuilder {
  return new prometheus.DataqueryBuilder().datasource(PROMETHEUS).expr(typeof expr === 'string' ? expr : text(expr)).legendFormat(legend);
}

/** The newest value alone. */
const newest = (query: Query): Query => (query instanceof prometheus.DataqueryBuilder ? query.instant() : query);

interface AnyPanel {
  id(id: number): this;
  title(title: string): this;
  description(description: string): this;
  unit(unit: string): this;
  span(width: number): this;
  height(height: number): this;
  decimals(decimals: number): this;
  thresholds(thresholds: cog.Builder<dashboard.ThresholdsConfig>): this;
  colorScheme(color: cog.Builder<dashboard.FieldColor>): this;
  noValue(text: string): this;
  targets(targets: Query[]): this;
}

function panel<Panel extends AnyPanel>(built: Panel, texts: PanelTexts, queries: readonly Query[], defaultHeight: number): Panel {
  const { id, title, description, unit, thresholds, width, height, decimals } = texts;
  const named = queries.map((query, index): Query => ({ build: () => ({ ...query.build(), refId: String.fromCharCode(65 + index) }) }));
  built.id(id).title(title).description(description).unit(unit).span(width).height(height ?? defaultHeight).noValue('–').targets(named);
  if (decimals !== undefined) built.decimals(decimals);
  const steps = thresholds ?? [{ value: null, color: 'text' }];
  built.thresholds(new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps([...steps]));
  return built;
}

const byThresholds = (): dashboard.FieldColorBuilder => new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.Thresholds);
const byName = (): dashboard.FieldColorBuilder => new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.PaletteClassicByName);

/** One number. `words`: what values say, such as 0 and 1. `reduce`: of the rows of a table, such as `sum`. */
export function number(texts: PanelTexts, query: Query, { words, reduce = 'lastNotNull' }: { readonly words?: Readonly<Record<string, string>>; readonly reduce?: string } = {}): PanelBuilder {
  const built = panel(new stat.PanelBuilder(), texts, [newest(query)], 4).colorScheme(byThresholds())
    .colorMode(texts.thresholds === undefined ? common.BigValueColorMode.None : common.BigValueColorMode.Background)
    .graphMode(common.BigValueGraphMode.None).textMode(common.BigValueTextMode.Value)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs([reduce]).values(false).fields(''));
  return words === undefined ? built : built.mappings([wordMapping(words)]);
}

function wordMapping(words: Readonly<Record<string, string>>): dashboard.ValueMapping {
  return { type: dashboard.MappingType.ValueToText, options: Object.fromEntries(Object.entries(words).map(([value, said], index) => [value, { text: said, index }])) };
}

export interface GraphLook {
  /** Series that add up. */
  readonly stacked?: boolean;
  readonly bars?: boolean;
  /** Legends that name limits: drawn dashed and red, not as data. */
  readonly limits?: readonly string[];
  /** Of series whose legend the regular expression matches. `shades`: there may be several, and each is told from the others. */
  readonly colours?: readonly { readonly legend: string; readonly colour: string; readonly mode: 'fixed' | 'shades' }[];
  /** The label that names each series, of stores' answers. */
  readonly seriesLabel?: string;
  /** Where a click on a series leads. */
  readonly link?: dashboard.DashboardLinkBuilder;
  /** The legend begins with what is largest: most of the series, such as reasons, are 0 most of the time. */
  readonly sorted?: boolean;
  /** The axis goes up to here at least. */
  readonly softMax?: number;
  readonly axisMax?: number;
}

/** By class: `502`, `5xx`, and `5` as ClickHouse has it, which is `{status_class="5"}` where Grafana matches before it names. */
export const statusColours = (mode: 'fixed' | 'shades'): NonNullable<GraphLook['colours']> =>
  ([['2', 'green'], ['3', 'blue'], ['4', ORANGE], ['[5-9]', RED]] as const).map(([first, colour]) => ({ legend: `\\b${first}(xx|\\d\\d)?\\b`, colour, mode }));

const sortedLegend = (): common.VizLegendOptionsBuilder => new common.VizLegendOptionsBuilder().displayMode(common.LegendDisplayMode.Table).placement(common.LegendPlacement.Right).showLegend(true).calcs(['max']).sortBy('Max').sortDesc(true);

/** Lines over time. */
export function graph(texts: PanelTexts, queries: readonly Query[], look: GraphLook = {}): PanelBuilder {
  const built = panel(new timeseries.PanelBuilder(), texts, queries, 8).colorScheme(byName())
    .lineWidth(1).fillOpacity(look.stacked === true || look.bars === true ? 40 : 5).showPoints(common.VisibilityMode.Never).min(0)
    .legend(look.sorted === true ? sortedLegend() : new common.VizLegendOptionsBuilder().displayMode(common.LegendDisplayMode.List).placement(common.LegendPlacement.Bottom).showLegend(true).calcs([]))
    .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending))
    .thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(texts.thresholds === undefined ? common.GraphThresholdsStyleMode.Off : common.GraphThresholdsStyleMode.Dashed));
  if (look.stacked === true) built.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal).group('A'));
  if (look.bars === true) built.drawStyle(common.GraphDrawStyle.Bars);
  if (look.softMax !== undefined) built.axisSoftMax(look.softMax);
  if (look.axisMax !== undefined) built.max(look.axisMax);
  if (look.seriesLabel !== undefined) built.displayName(`\${__field.labels.${look.seriesLabel}}`);
  if (look.link !== undefined) built.dataLinks([look.link]);
  for (const { legend, colour, mode } of look.colours ?? []) built.overrideByRegexp(`/${legend}/`, [{ id: 'color', value: { mode, fixedColor: colour } }]);
  for (const limit of look.limits ?? []) {
    built.overrideByName(limit, [
      { id: 'color', value: { mode: 'fixed', fixedColor: RED } }, { id: 'custom.fillOpacity', value: 0 },
      { id: 'custom.lineStyle', value: { fill: 'dash', dash: [8, 6] } }, { id: 'custom.stacking', value: { mode: 'none', group: 'limits' } },
    ]);
  }
  return built;
}

/** How many took how long, over time. Buckets come as Prometheus has them (`le`), or as columns in their order. */
export function heat(texts: PanelTexts, query: Query, source: 'le' | 'columns'): PanelBuilder {
  if (query instanceof prometheus.DataqueryBuilder) query.format(prometheus.PromQueryFormat.Heatmap).legendFormat('{{le}}');
  const axis = new heatmap.YAxisConfigBuilder();
  return panel(new heatmap.PanelBuilder(), texts, [query], 9).calculate(false).cellGap(1).showLegend()
    .yAxis(source === 'le' ? axis.unit(texts.unit) : axis)
    .cellValues(new heatmap.CellValuesBuilder().unit('short'))
    .color(new heatmap.HeatmapColorOptionsBuilder().mode(heatmap.HeatmapColorMode.Scheme).scheme('Oranges').scale(heatmap.HeatmapColorScale.Exponential).exponent(0.5).steps(64).fill('dark-orange').reverse(false))
    .tooltip(new heatmap.HeatmapTooltipBuilder().mode(common.TooltipDisplayMode.Single).yHistogram(true).showColorScale(false));
}

/** 1 and 0 over time, a bar for each series. */
export function states(texts: PanelTexts, queries: readonly Query[], words: Readonly<Record<'0' | '1', string>>): PanelBuilder {
  return panel(new statetimeline.PanelBuilder(), { ...texts, thresholds: atLeast(1, 1) }, queries, 6).colorScheme(byThresholds())
    .mappings([wordMapping(words)]).mergeValues(true).showValue(common.VisibilityMode.Auto).rowHeight(0.8).fillOpacity(80).lineWidth(0)
    .legend(new common.VizLegendOptionsBuilder().displayMode(common.LegendDisplayMode.List).placement(common.LegendPlacement.Bottom).showLegend(false).calcs([]))
    .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Single).sort(common.SortOrder.None));
}

export interface Column {
  /** As the answer names it; of several questions to Prometheus, `Value #A` and so on. */
  readonly field: string;
  readonly title: string;
  /** Of numbers. */
  readonly unit?: string;
  readonly decimals?: number;
  readonly thresholds?: readonly dashboard.Threshold[];
  readonly link?: dashboard.DashboardLinkBuilder;
}

/** Rows, those with the largest of the column `sortBy` first. Several questions to Prometheus are one table, joined by their labels. `before`: what is done to the rows beforehand. */
export function rows(texts: PanelTexts, queries: readonly Query[], columns: readonly Column[], sortBy: string, before: readonly dashboard.DataTransformerConfig[] = []): PanelBuilder {
  const prometheusQueries = queries.filter((query) => query instanceof prometheus.DataqueryBuilder);
  for (const query of prometheusQueries) query.format(prometheus.PromQueryFormat.Table).instant();
  const built = panel(new table.PanelBuilder(), texts, queries, 8).colorScheme(byThresholds()).showHeader(true).cellHeight(common.TableCellHeight.Sm)
    .sortBy([new common.TableSortByFieldStateBuilder().displayName(sortBy).desc(true)]);
  if (prometheusQueries.length > 0) built.withTransformation({ id: 'merge', options: {} });
  for (const transformation of before) built.withTransformation(transformation);
  built.withTransformation({
    id: 'organize',
    options: {
      excludeByName: { Time: true },
      indexByName: Object.fromEntries(columns.map(({ field }, index) => [field, index])),
      renameByName: Object.fromEntries(columns.map(({ field, title }) => [field, title])),
    },
  });
  for (const { title, unit, decimals, thresholds, link } of columns) {
    const properties: dashboard.DynamicConfigValue[] = [
      ...(unit === undefined ? [{ id: 'unit', value: 'string' }] : [{ id: 'unit', value: unit }]),
      ...(decimals === undefined ? [] : [{ id: 'decimals', value: decimals }]),
      ...(thresholds === undefined ? [] : [{ id: 'thresholds', value: { mode: 'absolute', steps: thresholds } }, { id: 'custom.cellOptions', value: { type: 'color-text' } }]),
      ...(link === undefined ? [] : [{ id: 'links', value: [link.build()] }]),
    ];
    built.overrideByName(title, properties);
  }
  return built;
}
