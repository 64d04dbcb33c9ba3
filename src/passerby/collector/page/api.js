/** Requests to the collector's admin API. */

/** An error response of the collector, with its message. */
export class ApiError extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

/** Read JSON from a path; `signal` aborts the request. */
export const read = (path, signal) => call(path, { signal });

/** Send a command. Returns the response of the collector. */
export function order(path, method, body) {
    const asked =
        body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    return call(path, { method, ...asked });
}

async function call(path, settings) {
    const answer = await fetch(path, { ...settings, cache: "no-store", credentials: "same-origin" });
    // The cookie with the token is missing: the collector shows its log-in form.
    if (answer.status === 401) location.reload();
    const said = await answer.json().catch(() => null);
    if (!answer.ok) throw new ApiError(answer.status, said?.message ?? `The collector responded with status ${answer.status}`);
    return said;
}
