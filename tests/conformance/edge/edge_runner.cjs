// Runs cases on the vendor's own packages: one JSON object a line in, one a line out. What they send goes to the edge URL
// of the case's settings, so the server there sees the requests; everything else a case's outcome holds is answered here.
// The packages keep state for the whole process: each case loads them anew.

const http = require('node:http');
const readline = require('node:readline');

const QUEUE = 'EventQueue';
const NUMBERS = { NaN, Infinity, '-Infinity': -Infinity };

function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== 'object') return value;
  if (value.$js === 'undefined') return undefined;
  if (value.$js === 'Date') return new Date(value.value);
  if ('$js' in value) return NUMBERS[value.$js];
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, decode(item)]));
}

function thrown(error, when) {
  const code = /^\[([A-Z]{2}-\d+)\]/.exec(error.message);
  return { threw: error.message, error_name: error.name, code: code ? code[1] : null, when };
}

// What a call returns or how it fails: at once, or later by its promise.
async function outcomeOf(call) {
  let promise;
  try {
    promise = call();
  } catch (error) {
    return thrown(error, 'sync');
  }
  try {
    const returned = await promise;
    return returned === undefined ? { threw: null } : { threw: null, returned };
  } catch (error) {
    return thrown(error, 'async');
  }
}

function forget() {
  for (const path of Object.keys(require.cache)) if (path.includes('@sitecore-')) delete require.cache[path];
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

function openCloud(job, request, response) {
  const { CloudSDK } = require('@sitecore-cloudsdk/core/server');
  const events = require('@sitecore-cloudsdk/events/server');
  const { personalize } = require('@sitecore-cloudsdk/personalize/server');
  const settings = decode(job.settings);
  const personalizeSettings = decode(job.personalize_settings);
  return {
    initialize() {
      let sdk = CloudSDK(request, response, settings);
      if (job.packages.includes('events')) sdk = sdk.addEvents();
      if (job.packages.includes('personalize')) sdk = sdk.addPersonalize(personalizeSettings);
      return sdk.initialize();
    },
    pageView: (args) => ('data' in args ? events.pageView(request, args.data) : events.pageView(request)),
    identity: (args) => events.identity(request, args.data),
    event: (args) => events.event(request, args.data),
    personalize: (args) => personalize(request, args.data, ...('opts' in args ? [args.opts] : [])),
  };
}

function openContent(job, request, response) {
  const { initContentSdk } = require('@sitecore-content-sdk/core');
  const { analyticsPlugin, analyticsServerAdapter } = require('@sitecore-content-sdk/analytics-core');
  const events = require('@sitecore-content-sdk/events');
  const personal = require('@sitecore-content-sdk/personalize');
  const settings = decode(job.settings);
  return {
    initialize() {
      const plugins = [];
      if (job.packages.includes('analytics')) {
        plugins.push(analyticsPlugin({ options: settings.analytics, adapter: analyticsServerAdapter(request, response) }));
      }
      if (job.packages.includes('events')) plugins.push(events.eventsPlugin());
      if (job.packages.includes('personalize')) {
        const adapter = personal.personalizeServerAdapter(request, response);
        plugins.push(personal.personalizeServerPlugin({ options: settings.personalize, adapter }));
      }
      return initContentSdk({ config: settings.config, plugins });
    },
    pageView: (args) => ('data' in args ? events.pageView(args.data) : events.pageView()),
    identity: (args) => events.identity(args.data),
    event: (args) => events.event(args.data),
    form: (args) => events.form(args.formId, args.interactionType, args.componentInstanceId),
    botPageView: (args) => events.botPageView(args.data),
    personalize: (args) => personal.personalize(args.data, ...('opts' in args ? [args.opts] : [])),
  };
}

function openPage(request) {
  const stored = new Map();
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
      const pair = line.split(';')[0];
      cookie = [...cookie.split('; ').filter((one) => one && one.split('=')[0] !== pair.split('=')[0]), pair].join('; ');
    },
  };
  const sessionStorage = {
    getItem: (name) => stored.get(name) ?? null,
    setItem: (name, value) => stored.set(name, String(value)),
    removeItem: (name) => stored.delete(name),
  };
  const location = new URL(request.url ?? 'https://shop.example/');
  Object.assign(globalThis, { document, sessionStorage, location, window: { document, sessionStorage, location } });
  return { writes, queue: () => (stored.has(QUEUE) ? JSON.parse(stored.get(QUEUE)) : null) };
}

function closePage() {
  for (const name of ['document', 'sessionStorage', 'location', 'window']) delete globalThis[name];
}

function openCloudInPage(job) {
  const { CloudSDK, getBrowserId } = require('@sitecore-cloudsdk/core/browser');
  const events = require('@sitecore-cloudsdk/events/browser');
  return {
    initialize: () => CloudSDK(decode(job.settings)).addEvents().initialize(),
    getBrowserId,
    pageView: (args) => events.pageView(args.data),
    identity: (args) => events.identity(args.data),
    event: (args) => events.event(args.data),
    form: (args) => events.form(args.formId, args.interactionType, args.componentInstanceId),
  };
}

async function runInPage(job) {
  const page = openPage(job.request);
  const sdk = openCloudInPage(job);
  const outcome = { threw: null, steps: [] };
  for (const step of job.args.steps) {
    const came = await outcomeOf(() => sdk[step.call](decode(step.args ?? {})));
    outcome.steps.push({ call: step.call, ...came, queue: page.queue() });
  }
  outcome.cookie_writes = page.writes;
  outcome.document_cookie = document.cookie;
  closePage();
  return outcome;
}

async function run(job) {
  forget();
  if (job.call === 'browser') return runInPage(job);
  const request = { url: job.request.url, headers: { ...job.request.headers } };
  const before = request.headers.cookie;
  const { response, lines } = makeResponse(job.response);
  const sdk = (job.sdk === 'cloud' ? openCloud : openContent)(job, request, response);
  const outcome = { threw: null, set_cookie: lines, steps: [] };
  for (const step of job.args.steps) {
    const args = decode(step.args ?? {});
    const came = await outcomeOf(() => sdk[step.call](args));
    const written = JSON.stringify(args) !== JSON.stringify(decode(step.args ?? {})) ? { args_after: args } : {};
    outcome.steps.push({ call: step.call, ...came, ...written });
  }
  if (request.headers.cookie !== before) outcome.request_cookie_after = request.headers.cookie;
  const last = [response.getHeader('Set-Cookie') ?? []].flat();
  if (JSON.stringify(last) !== JSON.stringify(lines)) outcome.response_set_cookie = last;
  return outcome;
}

process.on('unhandledRejection', () => {}); // rejections of the packages that no caller can catch
(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await run(JSON.parse(line)))}\n`);
  }
})();
