// What the tests of payloads do in the page: look for traces of them, and click through all that was sent.

window.payloads = (() => {
  const TAGS = 'script img iframe frame object embed base meta style audio video animate set foreignObject mglyph math';
  const all = (selector) => [...document.querySelectorAll(selector)];
  const one = (selector) => document.querySelector(selector);
  const frame = () => new Promise(requestAnimationFrame);
  const turn = () => new Promise((resolve) => setTimeout(resolve));

  /** Whatever would be in the page had a payload been taken for more than text; the page itself has none of it. */
  function traces() {
    const tags = TAGS.split(' ').map((tag) => `body ${tag}`);
    const found = all([...tags, 'body [src]', '[style*="url"]', '[srcdoc]'].join());
    const links = all('body a').filter((link) => !/^(#|export$)/.test(link.getAttribute('href')));
    const active = all('*').filter((element) => [...element.attributes].some(({ name }) => name.startsWith('on')));
    const isStruck = window.struck !== undefined || Object.prototype.struck !== undefined;
    return [...found, ...links, ...active, ...(isStruck ? [document.head] : [])].map((each) => each.outerHTML.slice(0, 300));
  }

  async function until(isTrue) {
    const ends = performance.now() + 30_000;
    while (!isTrue()) {
      if (performance.now() > ends) throw new Error(`not within half a minute: ${isTrue}`);
      await turn();
    }
  }

  async function showOlder() {
    while (!one('#older').hidden) {
      one('#older').click();
      await frame();
    }
  }

  /** Open every second request of the lines that are there; answer with what is said of each. */
  async function openRequests() {
    const texts = [];
    const seen = new Set();
    for (const row of all('#stream-rows > li')) {
      if (seen.has(row.dataset.number)) continue;
      seen.add(row.dataset.number);
      if (seen.size % 2 === 0) continue; // a payload has an odd number of them, so that none comes off too lightly
      one('#details-body').replaceChildren();
      one('#stream-rows').replaceChildren(row); // the others would be laid out anew each time
      row.querySelector('.row-summary').click();
      await until(() => one('#details-body .verdict, #details-body .problem') !== null);
      for (const each of all('#details-body details')) each.open = true;
      texts.push(one('#details-body').textContent);
      if (texts.length % 50 === 0 && traces().length > 0) break;
    }
    return texts;
  }

  /** Choose each person who is known, or else each; answer with what is said of each. */
  async function choosePeople() {
    const keys = all('#people [data-person]').map((button) => button.dataset.person);
    const known = keys.filter((key) => key.startsWith('user:'));
    const texts = [];
    for (const key of known.length > 0 ? known : keys) {
      const find = () => all('#people [data-person]').find((button) => button.dataset.person === key);
      find().click();
      await until(() => find()?.getAttribute('aria-current') === 'true' || !one('#person-empty').hidden);
      texts.push(one('#person').textContent);
    }
    return texts;
  }

  /** Write each text into fields, as if it were typed there. */
  async function write(texts, ...fields) {
    for (const text of texts) {
      for (const field of fields.map(one)) {
        field.value = text;
        field.dispatchEvent(new Event('input', { bubbles: true }));
      }
      await frame();
      if (traces().length > 0) return;
    }
  }

  /** Choose some of what a field offers. */
  async function choose(field) {
    for (let place = 0; place < one(field).options.length; place += 3) {
      one(field).value = one(field).options[place].value;
      one(field).dispatchEvent(new Event('input', { bubbles: true }));
      await frame();
    }
  }

  /** Follow each address in turn, as if it had been sent by somebody. */
  async function follow(hashes) {
    for (const hash of hashes) {
      location.hash = hash;
      await frame();
      if (traces().length > 0) return;
    }
  }

  return { traces, showOlder, openRequests, choosePeople, write, choose, follow };
})();
