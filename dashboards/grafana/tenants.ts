/** Tenants: who calls, and one app's traffic. */
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import { board } from './board.js';
import { atMost, graph, heat, rows, statusColours } from './panels.js';
import type { StoreQuestions } from './store-questions.js';

export function tenants(store: StoreQuestions): dashboard.Dashboard {
  const toApp = new dashboard.DashboardLinkBuilder('Show the app').url('/d/tidegate-tenants?${store:queryparam}&${interval:queryparam}&var-app=${__value.text}&${__url_time_range}');
  return board({
    name: 'tenants', title: 'Tenants', from: 'now-6h', description: 'Who calls, and one app\'s traffic: of the traffic record, so that the numbers are those of reports and bills.',
    variables: [...store.variables, interval()], annotations: [store.closedDays],
  }, [
    { title: 'All apps', panels: [
      rows({ id: 1, title: 'Top apps', unit: units.Short, width: 12, description: 'The 20 apps with the most requests of the time shown. (no app): requests of open routes, and those without a valid credential. Refused ones were not let through by a policy; errors are the service\'s or the gateway\'s. p99: of requests let through, within 5 %.' }, [store.topApps], [
        { field: 'app', title: 'App', link: toApp }, { field: 'requests', title: 'Requests', unit: units.Short }, { field: 'errors', title: 'Errors', unit: units.Short, thresholds: atMost(1, 1) },
        { field: 'refused', title: 'Refused', unit: units.Short }, { field: 'bytes_out', title: 'Sent', unit: units.BytesSI }, { field: 'p99_ms', title: 'p99', unit: units.Milliseconds, thresholds: atMost(1000, 2000) },
      ], 'Requests'),
      rows({ id: 2, title: 'Quotas today', unit: units.Short, width: 12, description: 'What each app with a quota has used of its requests a day, today in its own time zone. At 100 % it is refused (quota_exhausted), or billed beyond it, as its configuration says. The count is that of the store, some seconds old.' }, [store.quotas], [
        { field: 'app', title: 'App', link: toApp }, { field: 'day', title: 'Day' }, { field: 'time_zone', title: 'Time zone' }, { field: 'used', title: 'Used', unit: units.Short }, { field: 'quota', title: 'Quota', unit: units.Short },
        { field: 'share', title: 'Share', unit: units.PercentUnit, decimals: 1, thresholds: atMost(0.8, 1) },
      ], 'Share', [{ id: 'calculateField', options: { mode: 'binary', alias: 'share', binary: { left: 'used', operator: '/', right: 'quota' }, reduce: { reducer: 'sum' } } }]),
    ] },
    { title: 'App ${app}', panels: [
      graph({ id: 10, title: 'Requests', unit: units.Short, width: 8, description: 'Requests in each step; of them errors (of the service or the gateway) and refused ones (by a policy: credential, limit, quota).' }, [store.traffic]),
      graph({ id: 11, title: 'Status classes', unit: units.Short, width: 8, description: 'Requests in each step by the class of the status sent: 2 for 2xx; 0: none was sent, the client had left.' }, [store.statusClasses], { stacked: true, bars: true, seriesLabel: 'status_class', colours: statusColours('fixed') }),
      graph({ id: 12, title: 'Refused, by route', unit: units.Short, width: 8, description: 'Requests in each step that a policy did not let through, by route. Status 401 and 403: the credential; 429: a limit or the quota.' }, [store.refusedByRoute], { stacked: true, bars: true, seriesLabel: 'route' }),
      heat({ id: 13, title: 'How long requests take', unit: units.Milliseconds, width: 12, description: 'Requests let through, by how long they took from the first byte to the answer\'s end; each row is twice as long as the one below, named by its end.' }, store.heat, 'columns'),
      graph({ id: 14, title: 'Percentiles', unit: units.Milliseconds, width: 12, height: 9, description: 'Of requests let through, from counts that merge over any time: each within 5 %, no average of percentiles.' }, [store.percentiles]),
      graph({ id: 15, title: 'By service', unit: units.Short, width: 12, description: 'Requests in each step, by the service that was called.' }, [store.byService], { stacked: true, bars: true, seriesLabel: 'service' }),
      graph({ id: 16, title: 'Body bytes', unit: units.BytesSI, width: 12, description: 'Bytes of bodies in each step, as the app sent (in) and got (out) them.' }, [store.bytes]),
    ] },
  ]);
}

/** The variable `interval`: a step of the pictures. */
const interval = (): dashboard.CustomVariableBuilder => new dashboard.CustomVariableBuilder('interval').label('Step').values('minute,hour,day').current({ text: 'minute', value: 'minute' })
  .options(['minute', 'hour', 'day'].map((value, index) => ({ text: value, value, selected: index === 0 })));
