// Types in Heddle's notation: `int`, `decimal(10,2)`, `list<string?>`, `{a: int}`, `T?`.

import type { Field } from "./arrow/field.js";
import { type ColumnType, t } from "./types.js";

const NESTING_MAX = 32;

const SCALARS: Readonly<Record<string, ColumnType>> = {
  int: t.int,
  float: t.float,
  string: t.string,
  bool: t.bool,
  timestamp: t.timestamp,
  date: t.date,
  time: t.time,
  duration: t.duration,
  binary: t.binary,
  json: t.json,
} as Readonly<Record<string, ColumnType>>;

/** A text that is not a type. */
export class TypeTextError extends Error {
  override name = "TypeTextError";
}

/** Throws `TypeTextError`. */
export function parseType(text: string): Field {
  const reader = new TypeReader(text);
  const field = reader.type();
  reader.end();
  return field;
}

/** A row in braces; `..` at its end leaves it open. Throws `TypeTextError`. */
export function parseRow(text: string): { fields: Field[]; isOpen: boolean } {
  const reader = new TypeReader(text);
  const row = reader.row();
  reader.end();
  return row;
}

class TypeReader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  type(): Field {
    if (++this.#depth > NESTING_MAX) throw new TypeTextError(`a type nests at most ${NESTING_MAX} levels`);
    const field = this.#peek("{") ? this.#struct() : this.#named();
    this.#depth--;
    return this.#take("?") ? { ...field, nullable: true } : field;
  }

  row(): { fields: Field[]; isOpen: boolean } {
    const fields: Field[] = [];
    this.#expect("{");
    while (!this.#take("}")) {
      if (this.#take("..")) {
        this.#expect("}");
        return { fields, isOpen: true };
      }
      fields.push(this.#field());
      if (!this.#take(",")) {
        this.#expect("}");
        break;
      }
    }
    return { fields, isOpen: false };
  }

  end(): void {
    this.#space();
    const rest = this.#text.slice(this.#at);
    if (rest !== "") throw new TypeTextError(`\`${rest}\` is left over after the type`);
  }

  #field(): Field {
    const name = this.#word();
    if (name === "") throw new TypeTextError(`a field needs a name, at ${this.#at} of \`${this.#text}\``);
    this.#expect(":");
    return { ...this.type(), name };
  }

  #struct(): Field {
    const { fields, isOpen } = this.row();
    if (isOpen) throw new TypeTextError("only a row can be open, not a struct");
    return { name: "", type: { kind: "struct" }, nullable: false, children: fields };
  }

  #named(): Field {
    const name = this.#word();
    if (name === "list") {
      this.#expect("<");
      const item = { ...this.type(), name: "item" };
      this.#expect(">");
      return { name: "", type: { kind: "list" }, nullable: false, children: [item] };
    }
    if (name === "decimal") {
      this.#expect("(");
      const precision = this.#number();
      this.#expect(",");
      const scale = this.#number();
      this.#expect(")");
      try {
        return t.decimal(precision, scale).field;
      } catch (error) {
        throw new TypeTextError((error as Error).message);
      }
    }
    const found = Object.hasOwn(SCALARS, name) ? SCALARS[name] : undefined;
    if (found === undefined) throw new TypeTextError(`\`${name || this.#text}\` is not a type`);
    return found.field;
  }

  #space(): void {
    while (/\s/.test(this.#text.charAt(this.#at))) this.#at++;
  }

  #peek(mark: string): boolean {
    this.#space();
    return this.#text.startsWith(mark, this.#at);
  }

  #take(mark: string): boolean {
    if (!this.#peek(mark)) return false;
    this.#at += mark.length;
    return true;
  }

  #expect(mark: string): void {
    if (!this.#take(mark)) throw new TypeTextError(`\`${mark}\` is missing in \`${this.#text}\``);
  }

  #word(): string {
    this.#space();
    const found = /[\p{L}\p{N}_-]*/uy;
    found.lastIndex = this.#at;
    const word = found.exec(this.#text)?.[0] ?? "";
    this.#at += word.length;
    return word;
  }

  #number(): number {
    const word = this.#word();
    if (!/^\d+$/.test(word)) throw new TypeTextError(`a whole number is missing in \`${this.#text}\``);
    return Number(word);
  }
}
