// Starts the vendor's Cloud SDK with the settings that the page brings, and leaves it where a test finds it.
import { CloudSDK, getBrowserId, getGuestId } from '@sitecore-cloudsdk/core/browser';
import * as events from '@sitecore-cloudsdk/events/browser';

CloudSDK(JSON.parse(document.getElementById('settings').textContent)).addEvents().initialize();
window.sdk = { ...events, getBrowserId, getGuestId };
// It gets its ID in the background, and does not say when.
while (!getBrowserId()) await new Promise((resolve) => setTimeout(resolve, 20));
document.getElementById('browser').textContent = getBrowserId();
