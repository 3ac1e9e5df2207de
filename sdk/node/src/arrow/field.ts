// Arrow's types as the format has them, also those that apache-arrow for JavaScript does not know. A `Field`
// is a named column of a schema, or a child of one.

export type TimeUnit = "s" | "ms" | "us" | "ns";

export interface IntType {
  readonly kind: "int";
  readonly bits: 8 | 16 | 32 | 64;
  readonly signed: boolean;
}

/** A type's own parameters; those of nested types are in the children of their `Field`. */
export type Type =
  | IntType
  | { readonly kind: "null" | "bool" }
  | { readonly kind: "string" | "large_string" | "string_view" }
  | { readonly kind: "binary" | "large_binary" | "binary_view" }
  | { readonly kind: "list" | "large_list" | "list_view" | "large_list_view" }
  | { readonly kind: "struct" | "run_end_encoded" }
  | { readonly kind: "float"; readonly bits: 16 | 32 | 64 }
  | { readonly kind: "decimal"; readonly bits: number; readonly precision: number; readonly scale: number }
  | { readonly kind: "date"; readonly unit: "day" | "ms" }
  | { readonly kind: "time"; readonly bits: 32 | 64; readonly unit: TimeUnit }
  | { readonly kind: "timestamp"; readonly unit: TimeUnit; readonly zone: string | undefined }
  | { readonly kind: "duration"; readonly unit: TimeUnit }
  | { readonly kind: "interval"; readonly unit: "year_month" | "day_time" | "month_day_nano" }
  | { readonly kind: "fixed_size_binary"; readonly bytes: number }
  | { readonly kind: "fixed_size_list"; readonly size: number }
  | { readonly kind: "map"; readonly sorted: boolean }
  | { readonly kind: "union"; readonly mode: "sparse" | "dense"; readonly ids: readonly number[] };

export type Kind = Type["kind"];

export interface DictionaryEncoding {
  readonly id: bigint;
  readonly index: IntType;
  readonly ordered: boolean;
}

export interface Field {
  readonly name: string;
  /** Of the values, if the field is dictionary-encoded. */
  readonly type: Type;
  readonly nullable: boolean;
  readonly children: readonly Field[];
  readonly dictionary?: DictionaryEncoding | undefined;
  readonly metadata?: ReadonlyMap<string, string> | undefined;
}

export interface Schema {
  readonly fields: readonly Field[];
  readonly metadata?: ReadonlyMap<string, string> | undefined;
}

/** How the values of a type lie in memory, without validity bits and children. */
export type Layout =
  | { readonly shape: "none" | "bits" | "struct" | "view" | "run_end_encoded" }
  | { readonly shape: "fixed"; readonly bytes: number }
  | { readonly shape: "bytes" | "list" | "list_view"; readonly offsetBytes: 4 | 8 }
  | { readonly shape: "fixed_list"; readonly size: number }
  | { readonly shape: "union"; readonly dense: boolean };

const OFFSETS_32 = 4;
const OFFSETS_64 = 8;
const VIEW: Layout = { shape: "view" };

/** Of the field's column: of the indices, if it is dictionary-encoded. */
export function layoutOf(field: Field): Layout {
  if (field.dictionary !== undefined) return { shape: "fixed", bytes: field.dictionary.index.bits / 8 };
  return layoutOfType(field.type);
}

export function layoutOfType(type: Type): Layout {
  switch (type.kind) {
    case "null":
      return { shape: "none" };
    case "bool":
      return { shape: "bits" };
    case "int":
    case "float":
    case "decimal":
    case "time":
      return { shape: "fixed", bytes: type.bits / 8 };
    case "date":
      return { shape: "fixed", bytes: type.unit === "day" ? 4 : 8 };
    case "timestamp":
    case "duration":
      return { shape: "fixed", bytes: 8 };
    case "interval":
      return { shape: "fixed", bytes: { year_month: 4, day_time: 8, month_day_nano: 16 }[type.unit] };
    case "fixed_size_binary":
      return { shape: "fixed", bytes: type.bytes };
    case "string":
    case "binary":
      return { shape: "bytes", offsetBytes: OFFSETS_32 };
    case "large_string":
    case "large_binary":
      return { shape: "bytes", offsetBytes: OFFSETS_64 };
    case "string_view":
    case "binary_view":
      return VIEW;
    case "list":
    case "map":
      return { shape: "list", offsetBytes: OFFSETS_32 };
    case "large_list":
      return { shape: "list", offsetBytes: OFFSETS_64 };
    case "list_view":
      return { shape: "list_view", offsetBytes: OFFSETS_32 };
    case "large_list_view":
      return { shape: "list_view", offsetBytes: OFFSETS_64 };
    case "fixed_size_list":
      return { shape: "fixed_list", size: type.size };
    case "struct":
      return { shape: "struct" };
    case "union":
      return { shape: "union", dense: type.mode === "dense" };
    case "run_end_encoded":
      return { shape: "run_end_encoded" };
  }
}

/** Whether columns of this layout begin with validity bits. */
export function hasValidity(layout: Layout): boolean {
  return layout.shape !== "none" && layout.shape !== "union" && layout.shape !== "run_end_encoded";
}

/** Whether both are the same type, names of children included; metadata does not count. */
export function sameType(a: Field, b: Field): boolean {
  if (a === b) return true;
  if (!sameParameters(a.type, b.type) || a.children.length !== b.children.length) return false;
  if ((a.dictionary === undefined) !== (b.dictionary === undefined)) return false;
  if (a.dictionary && b.dictionary && !sameParameters(a.dictionary.index, b.dictionary.index)) return false;
  return a.children.every((child, i) => {
    const other = b.children[i] as Field;
    return child.name === other.name && child.nullable === other.nullable && sameType(child, other);
  });
}

function sameParameters(a: Type, b: Type): boolean {
  if (a === b) return true;
  const left = a as unknown as Record<string, unknown>;
  const right = b as unknown as Record<string, unknown>;
  return Object.keys(left).every((key) => String(left[key]) === String(right[key])) && a.kind === b.kind;
}

export function sameSchema(a: Schema, b: Schema): boolean {
  if (a === b) return true;
  return (
    a.fields.length === b.fields.length &&
    a.fields.every((field, i) => {
      const other = b.fields[i] as Field;
      return field.name === other.name && field.nullable === other.nullable && sameType(field, other);
    })
  );
}

/** Heddle's name of a field's type (`int`, `list<string>`, `{a: int}?`), or Arrow's where Heddle has none. */
export function typeName(field: Field, nullable = false): string {
  if (field.metadata?.get("heddle.type") === "unknown") return "unknown";
  return nameOf(field) + (nullable ? "?" : "");
}

function nameOf(field: Field): string {
  const { type } = field;
  const child = field.children[0];
  if (field.dictionary !== undefined) return `dictionary<${nameOf({ ...field, dictionary: undefined })}>`;
  switch (type.kind) {
    case "int":
      return type.bits === 64 && type.signed ? "int" : `${type.signed ? "" : "u"}int${type.bits}`;
    case "float":
      return type.bits === 64 ? "float" : `float${type.bits}`;
    case "large_string":
    case "string_view":
      return "string";
    case "large_binary":
    case "binary_view":
      return "binary";
    case "decimal":
      return `decimal(${type.precision},${type.scale})`;
    case "date":
      return type.unit === "day" ? "date" : "date64";
    case "time":
      return type.unit === "us" ? "time" : `time${type.bits}[${type.unit}]`;
    case "timestamp":
      if (type.unit === "us" && type.zone === "UTC") return "timestamp";
      return `timestamp[${type.unit}${type.zone ? `, ${type.zone}` : ""}]`;
    case "duration":
      return type.unit === "us" ? "duration" : `duration[${type.unit}]`;
    case "list":
    case "large_list":
      return `list<${child ? typeName(child, child.nullable) : "null"}>`;
    case "struct":
      return `{${field.children.map((f) => `${f.name}: ${typeName(f, f.nullable)}`).join(", ")}}`;
    case "fixed_size_binary":
      return `fixed_size_binary[${type.bytes}]`;
    default:
      return type.kind;
  }
}
