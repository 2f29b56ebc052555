// @ts-check
/** Between the form of a deployment and the body that the control plane takes. */

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const WHOLE = /^[0-9]{1,12}$/;

/** @typedef {{name: string, model: string, version: string, sku: string, capacity: string, dataZone: string, backendsOf: string, whenFull: string, raiPolicyName: string, dynamic: boolean}} Form */

/** @param {any} made @param {any[]} others @param {string} [whenFull] @returns {Form} */
export function formOf(made, others, whenFull = "") {
  const properties = made?.properties ?? {};
  const first = others.find((each) => each.properties.slackwater.source === "configuration");
  return {
    name: made?.name ?? "",
    model: properties.model?.name ?? first?.properties.model.name ?? "",
    version: properties.model?.version ?? "",
    sku: made?.sku.name ?? "GlobalBatch",
    capacity: made?.sku.capacity === undefined ? "" : String(made.sku.capacity),
    dataZone: properties.dataZone ?? "",
    backendsOf: properties.backendsOf ?? "",
    whenFull,
    raiPolicyName: properties.raiPolicyName ?? "",
    dynamic: properties.dynamicThrottlingEnabled ?? false,
  };
}

/** @param {Form} form @param {any} made @returns {Record<string, string>} a sentence for each wrong field */
export function faultsOf(form, made) {
  /** @type {Record<string, string>} */
  const faults = {};
  if (!NAME.test(form.name)) faults.name = "1 to 64 letters, digits, dots, dashes and underscores; the first is a letter or digit.";
  if (!form.model.trim()) faults.model = "Write the name of the model.";
  if (form.capacity && !WHOLE.test(form.capacity.trim())) faults.capacity = "Write a whole number of thousands, such as 250.";
  if (form.sku === "DataZoneBatch" && !form.dataZone.trim()) faults.dataZone = "Write the zone, such as eu.";
  if (made) {
    // The control plane merges a change into what is there, so an empty field would change nothing without a word.
    const was = formOf(made, []);
    for (const name of /** @type {const} */ (["version", "capacity", "backendsOf", "raiPolicyName"])) {
      if (was[name] && !form[name].trim()) faults[name] ??= "What is set cannot be taken away, only changed. To begin anew, delete the deployment and create it again.";
    }
  }
  return faults;
}

/** The whole deployment. @param {Form} form */
export function bodyOf(form) {
  return {
    sku: { name: form.sku, ...(form.capacity.trim() && { capacity: Number(form.capacity) }) },
    properties: {
      model: { format: "OpenAI", name: form.model.trim(), ...(form.version.trim() && { version: form.version.trim() }) },
      dynamicThrottlingEnabled: form.dynamic,
      ...(form.sku === "DataZoneBatch" && { dataZone: form.dataZone.trim() }),
      ...(form.backendsOf && { backendsOf: form.backendsOf }),
      ...(form.whenFull && { whenFull: form.whenFull }),
      ...(form.raiPolicyName.trim() && { raiPolicyName: form.raiPolicyName.trim() }),
    },
  };
}

/** Only what differs; everything else stays as it is. @param {Form} form @param {any} made @param {string} whenFull */
export function changesOf(form, made, whenFull) {
  const whole = bodyOf(form);
  const was = bodyOf(formOf(made, [], whenFull));
  return differing(whole, was) ?? {};
}

/** @param {any} now @param {any} before @returns {any} undefined where nothing differs */
function differing(now, before) {
  if (typeof now !== "object" || now === null || typeof before !== "object" || before === null) return now === before ? undefined : now;
  const parts = Object.entries(now).map(([name, value]) => [name, differing(value, before[name])]).filter(([, value]) => value !== undefined);
  return parts.length ? Object.fromEntries(parts) : undefined;
}
