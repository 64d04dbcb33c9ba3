/** The confirmation before everything is deleted. */

import { order } from "./api.js";
import { byId, say, show } from "./dom.js";

/** Connect the button, the dialog and the request. */
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
            announce("Everything that arrived was deleted");
            dialog.close();
        } catch (error) {
            say(byId("clear-problem"), `It could not be deleted: ${error.message}`);
            show(byId("clear-problem"), true);
        }
    });
}
