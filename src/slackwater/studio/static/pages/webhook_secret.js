// @ts-check
/** The secret of a webhook, at the moment when it is made; and a receiver that verifies with it. */
import { call, part } from "../app/api.js";
import { Button, Failure } from "../app/parts/basics.js";
import { CodeBlock } from "../app/parts/code.js";
import { Dialog } from "../app/parts/dialog.js";
import { ShownOnce } from "../app/parts/once.js";
import { go, to } from "../app/router.js";
import { html, useState } from "../app/ui.js";

/**
 * A whole receiver: only the client library is needed, and it can be tried as it stands. A test runs it.
 * @param {string} url
 */
export const receiver = (url) => `# pip install openai
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from openai import InvalidWebhookSignatureError, OpenAI

client = OpenAI(api_key="not needed here", webhook_secret=os.environ["WEBHOOK_SECRET"])


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):  # ${url}
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            event = client.webhooks.unwrap(body, self.headers)
        except InvalidWebhookSignatureError:
            self.send_response(400)
        else:
            # An event may come twice: know it by the header webhook-id.
            print(event.type, event.data.id, flush=True)
            self.send_response(204)
        self.end_headers()


HTTPServer(("", int(os.environ.get("PORT", "8000"))), Receiver).serve_forever()
`;

const EXPLAINED = html`<p class="small muted">Put the secret into the environment variable <code>WEBHOOK_SECRET</code> of your receiver. <code>unwrap</code> refuses
  whatever was not signed with it, and whatever is older than five minutes.</p>`;

/** @param {{endpoint: any, onClose: () => void}} properties endpoint: as it was answered, with its secret */
export function SecretMade({ endpoint, onClose }) {
  const close = () => {
    onClose();
    go(to(`/webhooks/${endpoint.id}`));
  };
  return html`<${ShownOnce} wide title=${`The secret of ${endpoint.name}`} secrets=${[{ label: "Signing secret", value: endpoint.signing_secret }]} onClose=${close}>
    <${CodeBlock} label="A receiver in Python" text=${receiver(endpoint.url)} />${EXPLAINED}
    <p class="small muted">Start it, then send a test event from the page behind this window.</p><//>`;
}

/** @param {{endpoint: any, onClose: () => void}} properties */
export function ReceiverCode({ endpoint, onClose }) {
  return html`<${Dialog} title="A receiver that verifies" wide onClose=${onClose}><div class="stack">
    <${CodeBlock} label="A receiver in Python" text=${receiver(endpoint.url)} />${EXPLAINED}
    <p class="small muted">The secret was shown when it was made; it ends in <code>${endpoint.signing_secret_hint.slice(-4)}</code>. If it is lost, rotate it.</p></div><//>`;
}

/** @param {{endpoint: any, onClose: () => void, onDone: () => void}} properties */
export function Rotate({ endpoint, onClose, onDone }) {
  const [keep, setKeep] = useState(true);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  const [made, setMade] = useState(/** @type {any} */ (null));
  const rotate = async () => {
    setBusy(true);
    setError(null);
    try {
      setMade(await call(`/webhook_endpoints/${part(endpoint.id)}/rotate_secret`, { method: "POST", body: { keep_old_secret_active_for_24_hours: keep } }));
      onDone();
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  };
  if (made) {
    return html`<${ShownOnce} title="The new secret" secrets=${[{ label: "Signing secret", value: made.signing_secret }]} onClose=${onClose}>
      <p>${keep ? "Calls are signed with the old secret, too, for 24 hours: change the receiver over until then." : "Calls are signed with this secret from now on. The receiver refuses them until it has it; what it refuses is sent again."}</p><//>`;
  }
  const actions = html`<span class="push"></span><${Button} onClick=${onClose}>Not now<//><${Button} kind="main" busy=${busy} onClick=${rotate}>Make a new secret<//>`;
  return html`<${Dialog} title="Rotate the secret" onClose=${onClose} actions=${actions}><div class="stack">
    <p>A new secret is made and shown once. What about the old one, which ends in <code>${endpoint.signing_secret_hint.slice(-4)}</code>?</p>
    <div class="stack tight" role="radiogroup" aria-label="The old secret">
      <label class="check"><input type="radio" name="old" checked=${keep} onChange=${() => setKeep(true)} />
        <span><strong>Keep it for 24 hours</strong><br /><span class="small muted">Calls carry both signatures, so that nothing is refused while you change the receiver over.</span></span></label>
      <label class="check"><input type="radio" name="old" checked=${!keep} onChange=${() => setKeep(false)} />
        <span><strong>End it at once</strong><br /><span class="small muted">Where somebody else may know it. The receiver refuses calls until it has the new one.</span></span></label></div>
    <${Failure} error=${error} /></div><//>`;
}
