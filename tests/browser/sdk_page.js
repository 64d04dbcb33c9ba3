// Starts the vendor's browser SDK with the settings that the page brings, and leaves it where a test finds it.
import { init } from '@sitecore/engage';

const settings = JSON.parse(document.getElementById('settings').textContent);
window.engage = await init(settings);
document.getElementById('browser').textContent = window.engage.getBrowserId();
