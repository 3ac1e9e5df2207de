// Settings that a program gave, held against those that were declared.

import { JSONParse } from "json-with-bigint";
import {
  type ConfigOf,
  isOpen,
  type OpenSettings,
  type Setting,
  type Settings,
  type SettingType,
} from "./config.js";
import { configError, suggestion } from "./errors.js";
import { Row } from "./row.js";
import type { ConfigField, ConfigType } from "./wire/plugin.js";

type Path = readonly (string | number)[];

/** The settings in a JSON object. Throws a failure of the kind `config`, which names the setting. */
export function parseConfig(text: string, where: string): unknown {
  try {
    return JSONParse(text === "" ? "{}" : text);
  } catch {
    throw configError(`the settings of ${where} are not JSON`);
  }
}

/** What a step gets. `where` stands in messages: "step `score`". Throws a failure of the kind `config`. */
export function checkConfig<C extends Settings | OpenSettings>(
  given: unknown,
  config: C,
  where: string,
): ConfigOf<C> {
  if (!isObject(given))
    throw configError(`the settings of ${where} are ${kindOf(given)} where a dict is wanted`);
  if (isOpen(config)) return given as ConfigOf<C>;
  try {
    return checkFields(given, config as Settings, []) as ConfigOf<C>;
  } catch (error) {
    if (error instanceof SettingError) throw configError(`${where}: ${error.message}`);
    throw error;
  }
}

class SettingError extends Error {}

function checkFields(given: Readonly<Record<string, unknown>>, fields: Settings, path: Path): unknown {
  const names = Object.keys(fields);
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(fields, name)) {
      throw new SettingError(`${shown([...path, name])} is not a setting here; ${suggestion(name, names)}`);
    }
  }
  const values = names.map((name) => {
    const field = fields[name] as Setting;
    const at = [...path, name];
    if (Object.hasOwn(given, name)) return [name, checkValue(given[name], field.type, at)];
    if (!field.required) return [name, checkValue(field.default, field.type, at)];
    throw new SettingError(`the setting ${shown(at)} (${typeText(field.type)}) is missing`);
  });
  return Object.fromEntries(values);
}

function checkValue(value: unknown, type: SettingType, path: Path): unknown {
  if (value === null || value === undefined) {
    if (type.nullable || type.kind === "any") return null;
    throw unfit(value, type, path);
  }
  const checked = checkedValue(value, type, path);
  if (type.give === undefined) return checked;
  try {
    return type.give(checked as never);
  } catch (error) {
    throw new SettingError(`the setting ${shown(path)}: ${(error as Error).message}`);
  }
}

function checkedValue(value: unknown, type: SettingType, path: Path): unknown {
  switch (type.kind) {
    case "any":
      return value;
    case "bool":
      if (typeof value === "boolean") return value;
      break;
    case "int":
      if (typeof value === "bigint" || Number.isSafeInteger(value)) return value;
      break;
    case "float":
      if (typeof value === "bigint" || typeof value === "number") return value;
      break;
    case "string":
    case "statement":
      if (typeof value === "string") return value;
      break;
    case "choice":
      if (type.choices?.includes(value as string)) return value;
      break;
    case "list":
      if (Array.isArray(value)) {
        return value.map((item, i) => checkValue(item, type.items as SettingType, [...path, i]));
      }
      break;
    case "map":
      if (isObject(value)) {
        const items = Object.entries(value).map(([key, item]) => [
          key,
          checkValue(item, type.items as SettingType, [...path, key]),
        ]);
        return Object.fromEntries(items);
      }
      break;
    case "struct":
      if (isObject(value)) return checkFields(value, type.fields as Settings, path);
      break;
    case "row":
      if (isObject(value)) return checkRow(value, path);
      break;
  }
  throw unfit(value, type, path);
}

function checkRow(value: Readonly<Record<string, unknown>>, path: Path): Row {
  for (const [name, text] of Object.entries(value)) {
    const at = [...path, name];
    if (typeof text !== "string") {
      throw new SettingError(
        `the setting ${shown(at)} is ${kindOf(text)} where a type such as "int" is wanted`,
      );
    }
    try {
      Row.fromTexts({ [name]: text });
    } catch (error) {
      throw new SettingError(`the setting ${shown(at)}: ${(error as Error).message}`);
    }
  }
  return Row.fromTexts(value as Readonly<Record<string, string>>);
}

function unfit(value: unknown, type: SettingType, path: Path): SettingError {
  return new SettingError(`the setting ${shown(path)} is ${kindOf(value)} where ${typeText(type)} is wanted`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Never the value itself, which may be secret. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "bigint" || Number.isInteger(value)) return "an int";
  if (typeof value === "number") return "a float";
  if (typeof value === "boolean") return "a bool";
  return typeof value === "string" ? "a string" : "a dict";
}

function shown(path: Path): string {
  return `\`${path.map((part, i) => (typeof part === "number" ? `[${part}]` : i > 0 ? `.${part}` : part)).join("")}\``;
}

export function typeText(type: SettingType): string {
  return bareText(type) + (type.nullable ? " or null" : "");
}

function bareText(type: SettingType): string {
  switch (type.kind) {
    case "choice":
      return (type.choices ?? []).map((choice) => JSON.stringify(choice)).join(" or ");
    case "list":
      return `list of ${typeText(type.items as SettingType)}`;
    case "map":
      return `map to ${typeText(type.items as SettingType)}`;
    case "struct": {
      const fields = Object.entries(type.fields ?? {});
      return `{${fields.map(([name, field]) => `${name}: ${typeText(field.type)}`).join(", ")}}`;
    }
    case "row":
      return '{column: "type", …}';
    case "statement":
      return "string";
    default:
      return type.kind;
  }
}

/** Checks the declaration itself: defaults must fit. Throws an `Error` that names the setting. */
export function encodeConfig(config: Settings | OpenSettings, where: string): ConfigField[] {
  if (isOpen(config)) return [];
  return Object.entries(config as Settings).map(([name, field]) => {
    if (!field.required) checkDefault(name, field, where);
    return {
      name,
      type: encodeType(field.type, where),
      required: field.required,
      defaultJson: field.required ? "" : defaultText(field),
      secret: field.secret,
      doc: field.doc,
    };
  });
}

/** The default of a setting as JSON. */
export function defaultText(field: Setting): string {
  return jsonText(field.default ?? null);
}

/** JSON, in which a `bigint` is a whole number. */
function jsonText(value: unknown): string {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(jsonText).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}:${jsonText(item)}`);
  return `{${entries.join(",")}}`;
}

function checkDefault(name: string, field: Setting, where: string): void {
  try {
    checkValue(field.default, field.type, [name]);
  } catch (error) {
    throw new TypeError(`${where}: the default of ${(error as Error).message.replace(/^the setting /, "")}`);
  }
}

function encodeType(type: SettingType, where: string): ConfigType {
  return {
    kind: type.kind,
    items: type.items && encodeType(type.items, where),
    fields: type.fields === undefined ? [] : encodeConfig(type.fields, where),
    choicesJson: (type.choices ?? []).map((choice) => JSON.stringify(choice)),
    nullable: type.nullable,
  };
}
