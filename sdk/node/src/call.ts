// One call of a step: what it was given, and what it may tell on the way.

import { CancelledError } from "./errors.js";

/** What a call knows of its run. */
export interface CallInfo {
  readonly runId: string;
  readonly workflow: string;
  readonly step: string;
  /** 1 for the first one. */
  readonly attempt: number;
  /** The same for all attempts at the same rows; undefined where the engine gives none. */
  readonly idempotencyKey: string | undefined;
  /** After so many seconds from its begin the engine cancels the call; undefined without a limit. */
  readonly deadlineS: number | undefined;
  /** The program's folder, for relative paths in settings. */
  readonly base: string;
}

export type LogLevel = "debug" | "info" | "warning" | "error";

/** What stands beside a log line's message; values are shown as text. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warning(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Rows of the input that the step refused. */
export interface Rejection {
  /** Ascending. */
  readonly rows: readonly number[];
  readonly reason: string;
  readonly errorType: string;
}

/** Where a call tells what happens. */
export interface Listener {
  log(level: LogLevel, message: string, fields: Readonly<Record<string, string>>): void;
  progress(rowsDone: number, rowsTotal: number, message: string): void;
  metric(name: string, value: number, unit: string): void;
}

/** @internal The end of a call that the SDK holds. */
export class CallControl {
  readonly listener: Listener;
  readonly #rejected = new Map<string, { rows: number[]; reason: string; errorType: string }>();
  readonly #rejectedRows = new Set<number>();
  #controller: AbortController | undefined;
  #cancelled = false;

  constructor(listener: Listener) {
    this.listener = listener;
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#controller?.abort(new CancelledError());
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled) this.#controller.abort(new CancelledError());
    }
    return this.#controller.signal;
  }

  reject(rows: Iterable<number>, reason: string, errorType: string): void {
    const key = `${errorType}\0${reason}`;
    const group = this.#rejected.get(key) ?? { rows: [], reason, errorType };
    this.#rejected.set(key, group);
    for (const row of rows) {
      if (this.#rejectedRows.has(row)) continue;
      this.#rejectedRows.add(row);
      group.rows.push(row);
    }
  }

  get rejections(): Rejection[] {
    return [...this.#rejected.values()]
      .filter(({ rows }) => rows.length > 0)
      .map(({ rows, reason, errorType }) => ({
        rows: rows.toSorted((a, b) => a - b),
        reason,
        errorType,
      }));
  }
}

/** A call of a step. `input` is undefined where a step with optional input is called without. */
export class Call<Config = unknown, Resources = unknown, Input = unknown> implements CallInfo {
  readonly config: Config;
  /** The resources in the step's slots, by the slots' names. */
  readonly resources: Resources;
  readonly input: Input;
  /** The number of rows of the input. */
  readonly rowCount: number;
  readonly runId: string;
  readonly workflow: string;
  readonly step: string;
  readonly attempt: number;
  readonly idempotencyKey: string | undefined;
  readonly deadlineS: number | undefined;
  readonly base: string;
  /** Log lines with the run and the step; after the call's end they go to stderr. */
  readonly log: Logger;
  readonly #control: CallControl;
  readonly #mayReject: boolean;

  /** @internal */
  constructor(
    info: CallInfo,
    control: CallControl,
    given: { config: Config; resources: Resources; input: Input; rowCount: number; mayReject: boolean },
  ) {
    this.config = given.config;
    this.resources = given.resources;
    this.input = given.input;
    this.rowCount = given.rowCount;
    this.runId = info.runId;
    this.workflow = info.workflow;
    this.step = info.step;
    this.attempt = info.attempt;
    this.idempotencyKey = info.idempotencyKey;
    this.deadlineS = info.deadlineS;
    this.base = info.base;
    this.#control = control;
    this.#mayReject = given.mayReject;
    this.log = new CallLogger(control.listener);
  }

  /** Aborts when the call is cancelled, its deadline has passed, or the engine is gone. */
  get signal(): AbortSignal {
    return this.#control.signal;
  }

  get cancelled(): boolean {
    return this.#control.cancelled;
  }

  /**
   * Refuses rows of the input, by number, counted from 0. The step returns its output with or without them; a
   * row that is refused twice keeps its first reason. Only for steps with `rows: "map"`.
   */
  reject(rows: number | Iterable<number>, reason: string, errorType = "Rejected"): void {
    if (!this.#mayReject) {
      throw new TypeError(`only a step with \`rows: "map"\` can reject rows; \`${this.step}\` is none`);
    }
    const numbers = typeof rows === "number" ? [rows] : [...rows];
    for (const row of numbers) {
      if (!Number.isInteger(row) || row < 0 || row >= this.rowCount) {
        throw new RangeError(`row ${row} cannot be rejected: the input has ${this.rowCount} rows`);
      }
    }
    this.#control.reject(numbers, reason, errorType);
  }

  /** How far the call is. `rowsTotal` is left out when it is not known. */
  progress(rowsDone: number, rowsTotal = 0, message = ""): void {
    this.#control.listener.progress(rowsDone, rowsTotal, message);
  }

  /** A number about the call; `unit` such as "rows" or "s". */
  metric(name: string, value: number, unit = ""): void {
    this.#control.listener.metric(name, value, unit);
  }
}

class CallLogger implements Logger {
  readonly #listener: Listener;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  debug(message: string, fields?: LogFields): void {
    this.#tell("debug", message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#tell("info", message, fields);
  }

  warning(message: string, fields?: LogFields): void {
    this.#tell("warning", message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#tell("error", message, fields);
  }

  #tell(level: LogLevel, message: string, fields: LogFields = {}): void {
    const texts = Object.entries(fields).map(([name, value]) => [name, text(value)]);
    this.#listener.log(level, message, Object.fromEntries(texts));
  }
}

function text(value: unknown): string {
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
