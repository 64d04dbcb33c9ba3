// Runs cases on the vendor's own package: one JSON object a line in, one a line out. What it sends goes to the host of the
// client's options, so whoever serves that sees the requests; errors are answered here.

import readline from 'node:readline';
import { Analytics } from '@customerio/cdp-analytics-node';

function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== 'object') return value;
  if (value.$js === 'Date') return new Date(value.value);
  if (value.$js === 'repeat') return value.text.repeat(value.times);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, decode(item)]));
}

async function outcomeOf(job) {
  const errors = [];
  try {
    const analytics = new Analytics(job.client);
    analytics.on('error', (error) => errors.push({ code: error.code, reason: String(error.reason?.message ?? error.reason) }));
    for (const { call, args } of job.calls) analytics[call](decode(args));
    await analytics.closeAndFlush();
  } catch (error) {
    return { threw: error.message, error_name: error.name };
  }
  return errors.length ? { threw: null, errors } : { threw: null };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await outcomeOf(JSON.parse(line)))}\n`);
}
process.exit(); // a client that was closed keeps its time-outs
