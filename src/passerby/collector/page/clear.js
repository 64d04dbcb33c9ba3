/** The question that stands before everything is forgotten. */

import { order } from "./ask.js";
import { byId, say, show } from "./dom.js";

/** Have the button ask, and the answer carried out. */
export function prepareClear({ announce }) {
    const dialog = byId("clear-dialog");
    byId("clear").addEventListener("click", () => {
        show(byId("clear-problem"), false);
        dialog.showModal();
        byId("clear-cancel").focus();
    });
    byId("clear-confirm").addEventListener("click", async () => {
        try {
            await order("arrivals", "DELETE");
            announce("Everything that arrived is forgotten");
            dialog.close();
        } catch (error) {
            say(byId("clear-problem"), `It did not: ${error.message}`);
            show(byId("clear-problem"), true);
        }
    });
}
