// Runs cases on the vendor's own package: one JSON object a line in, one a line out. What it sends goes to the target URL of
// the case's settings, so whoever serves that sees the requests; everything else a case's outcome holds is answered here.

import http from 'node:http';
import readline from 'node:readline';
import { init, initServer } from '@sitecore/engage';

const NUMBERS = { NaN, Infinity, '-Infinity': -Infinity };
const QUEUE = 'EngageEventQueue';

function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== 'object') return value;
  if (value.$js === 'undefined') return undefined;
  if (value.$js === 'Date') return new Date(value.value);
  if ('$js' in value) return NUMBERS[value.$js];
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, decode(item)]));
}

function told(error, when) {
  const code = /^\[([A-Z]{2}-\d{4})\]/.exec(error.message);
  return { threw: error.message, error_name: error.name, code: code ? code[1] : null, when };
}

// What a call returns or how it fails: at once, or later by its promise.
async function outcomeOf(call) {
  let promise;
  try {
    promise = call();
  } catch (error) {
    return told(error, 'sync');
  }
  try {
    const returned = await promise;
    return returned === undefined ? { threw: null } : { threw: null, returned };
  } catch (error) {
    return told(error, 'async');
  }
}

function makeResponse(given) {
  const response = new http.ServerResponse(new http.IncomingMessage());
  if (given?.set_cookie) response.setHeader('Set-Cookie', given.set_cookie);
  const lines = [];
  const setHeader = response.setHeader.bind(response);
  response.setHeader = (name, value) => {
    if (name.toLowerCase() === 'set-cookie') lines.push(...[value].flat());
    return setHeader(name, value);
  };
  return { response, lines };
}

function callOnServer(engage, call, args, request, response) {
  if (call === 'handleCookie') return engage.handleCookie(request, response, args.timeout);
  if (call === 'personalize') return engage.personalize(args.personalizeData, request, args.timeout);
  if (call === 'event') return engage.event(args.type, args.eventData, request, args.extensionData);
  return engage[call](args.eventData, request, args.extensionData);
}

function callInPage(engage, call, args) {
  switch (call) {
    case 'event':
    case 'addToEventQueue':
      return engage[call](args.type, args.eventData, args.extensionData);
    case 'pageView':
    case 'identity':
      return engage[call](args.eventData, args.extensionData);
    case 'personalize':
      return engage.personalize(args.personalizeData, args.timeout);
    case 'updatePointOfSale':
      return engage.updatePointOfSale(args.pointOfSale);
    default:
      return engage[call]();
  }
}

async function runOnServer(job, settings) {
  let engage;
  try {
    engage = initServer(settings);
  } catch (error) {
    return told(error, 'init');
  }
  if (job.call === 'initServer') return { threw: null };
  const request = { url: job.request.url, headers: { ...job.request.headers } };
  const { response, lines } = makeResponse(job.response);
  const before = request.headers.cookie;
  const outcome = { threw: null, set_cookie: lines };
  if (job.call === 'sequence') {
    outcome.steps = [];
    for (const step of job.args.steps) {
      const args = decode(step.args ?? {});
      const came = await outcomeOf(() => callOnServer(engage, step.call, args, request, response));
      outcome.steps.push({ call: step.call, ...came });
    }
  } else {
    const args = decode(job.args ?? {});
    Object.assign(outcome, await outcomeOf(() => callOnServer(engage, job.call, args, request, response)));
  }
  if (request.headers.cookie !== before) outcome.request_cookie_after = request.headers.cookie;
  if (job.response?.set_cookie) outcome.response_set_cookie = [response.getHeader('Set-Cookie')].flat();
  return outcome;
}

function openPage(request) {
  const stored = new Map(Object.entries(request.session_storage ?? {}));
  const writes = [];
  let cookie = request.cookie ?? '';
  const document = {
    referrer: request.referrer ?? '',
    documentElement: { lang: request.lang ?? '' },
    get cookie() {
      return cookie;
    },
    set cookie(line) {
      writes.push(line);
      cookie = line.split(';')[0];
    },
  };
  const sessionStorage = {
    getItem: (name) => stored.get(name) ?? null,
    setItem: (name, value) => stored.set(name, String(value)),
    removeItem: (name) => stored.delete(name),
  };
  const location = new URL(request.url);
  Object.assign(globalThis, { document, sessionStorage, location, window: { document, sessionStorage, location } });
  return { writes, queue: () => (stored.has(QUEUE) ? JSON.parse(stored.get(QUEUE)) : null) };
}

async function runInPage(job, settings) {
  const page = openPage(job.request);
  let engage;
  try {
    engage = await init(settings);
  } catch (error) {
    return told(error, 'init');
  }
  const steps = [];
  for (const step of job.args.steps) {
    const came = await outcomeOf(() => callInPage(engage, step.call, decode(step.args ?? {})));
    steps.push({ call: step.call, ...came, queue: page.queue() });
  }
  return { threw: null, steps, cookie_writes: page.writes };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  const settings = decode(job.settings);
  const outcome = await (job.call === 'browser' ? runInPage(job, settings) : runOnServer(job, settings));
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}
