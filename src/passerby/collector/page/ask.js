/** Questions and orders to the collector. */

/** A refusal in the collector's own words. */
export class Refused extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

/** What stands at a path, as JSON; `signal` gives up on it. */
export const read = (path, signal) => call(path, { signal });

/** Give an order; answer with what the collector says to it. */
export function order(path, method, body) {
    const asked =
        body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    return call(path, { method, ...asked });
}

async function call(path, settings) {
    const answer = await fetch(path, { ...settings, cache: "no-store", credentials: "same-origin" });
    // The token's cookie is gone: the collector's own door asks for it again.
    if (answer.status === 401) location.reload();
    const said = await answer.json().catch(() => null);
    if (!answer.ok) throw new Refused(answer.status, said?.message ?? `The collector answered ${answer.status}`);
    return said;
}
