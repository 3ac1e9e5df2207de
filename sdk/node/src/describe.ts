// What a plugin offers: for the engine, and as text for somebody who started it by hand.

import { isOpen, type OpenSettings, type Settings } from "./config.js";
import { defaultText, encodeConfig, typeText } from "./config_check.js";
import type { Plugin } from "./plugin.js";
import { OptionalSlot, type ResourceType, type Slots } from "./resource.js";
import { encodeRow } from "./row.js";
import type { Step } from "./step.js";
import type { DescribeResponse, Step as StepMessage } from "./wire/plugin.js";

export function describe(plugin: Plugin): DescribeResponse {
  return {
    namespace: plugin.namespace,
    version: plugin.version,
    doc: plugin.doc,
    steps: [...plugin.steps.values()].map(describeStep),
    resources: [...plugin.resources.values()].map((resource) => ({
      name: resource.name,
      doc: resource.options.doc ?? "",
      config: encodeConfig(resource.config, `resource \`${resource.name}\``),
      configOpen: isOpen(resource.config),
    })),
    failure: undefined,
  };
}

function describeStep(step: Step): StepMessage {
  return {
    name: step.name,
    doc: step.doc,
    inputMode: step.inputMode,
    input: step.inputMode === "none" ? undefined : encodeRow(step.input),
    output: step.output && encodeRow(step.output),
    outputFromConfig: step.infer !== undefined,
    rows: step.rows,
    passthrough: step.passthrough,
    deterministic: step.traits.deterministic,
    idempotent: step.traits.idempotent,
    effect: step.traits.effect,
    config: encodeConfig(step.config, `step \`${step.name}\``),
    configOpen: isOpen(step.config),
    slots: slotsOf(step.slots),
    runnable: step.run !== undefined,
  };
}

/** A step's slots with the resources that they take. */
export function slotsOf(slots: Slots): { name: string; resource: string; required: boolean }[] {
  return Object.entries(slots).map(([name, slot]) => {
    const isOptional = slot instanceof OptionalSlot;
    const type = (isOptional ? slot.type : slot) as ResourceType;
    return { name, resource: type.name, required: !isOptional };
  });
}

export function describeForPeople(plugin: Plugin): string {
  const lines = [`plugin ${plugin.namespace} ${plugin.version}`.trimEnd(), ...indented(plugin.doc, "  ")];
  for (const resource of plugin.resources.values()) {
    lines.push(`  resource ${resource.name} ${configText(resource.config)}`.trimEnd());
    lines.push(...indented(resource.options.doc ?? "", "    "));
  }
  for (const step of plugin.steps.values()) lines.push(...stepLines(step));
  if (lines.length === 1) lines.push("  offers nothing yet: register functions with `plugin.step`");
  lines.push(
    "",
    "Nothing needs to be started: the engine runs this plugin where a program says",
    `import "${plugin.namespace}"; \`heddle.toml\` names its folder under [plugins].`,
  );
  return `${lines.join("\n")}\n`;
}

function stepLines(step: Step): string[] {
  const slots = slotsOf(step.slots).map((slot) => `<${slot.name}: ${slot.resource}> `);
  const lines = [`  step ${step.name} ${slots.join("")}${configText(step.config)}`.trimEnd()];
  lines.push(...indented(step.doc, "    "));
  const input = { none: "", required: `${step.input} `, optional: `[${step.input}] ` }[step.inputMode];
  const bySettings = step.infer === undefined ? "" : " and what its settings say";
  lines.push(`    ${input}-> ${step.output ?? "nothing"}${bySettings}`);
  const flags = step.rows === "table" ? [] : [`rows=${step.rows}`];
  if (step.passthrough) flags.push("passthrough");
  for (const [name, value] of Object.entries(step.traits)) flags.push(value ? name : `not ${name}`);
  if (step.run === undefined) flags.push("declared without a body");
  if (flags.length > 0) lines.push(`    ${flags.join(", ")}`);
  return lines;
}

function indented(text: string, by: string): string[] {
  return text === "" ? [] : text.split("\n").map((line) => by + line.trim());
}

function configText(config: Settings | OpenSettings): string {
  if (isOpen(config)) return "{ .. }";
  const settings = Object.entries(config as Settings).map(([name, setting]) => {
    const shown = setting.required || setting.secret ? "" : ` = ${defaultText(setting)}`;
    return `${name}: ${typeText(setting.type)}${shown}${setting.secret ? " (secret)" : ""}`;
  });
  return settings.length === 0 ? "" : `{ ${settings.join(", ")} }`;
}
