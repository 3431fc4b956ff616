/** Run by itself: answers GET /status as a collector that does well, on the Unix socket of argv[2], and says on its standard output when it listens. */
import { createServer } from 'node:http';

createServer((_request, response) => {
  response.setHeader('content-type', 'application/json')
    .end(JSON.stringify({ lag_seconds: 0, caught_up_at: new Date().toISOString(), stored: 1, gaps: 0, gaps_total: 0, repeats: 0, quarantined: 0, failing: null }));
}).listen(process.argv[2], () => { process.stdout.write('listening\n'); });
