// What user code throws, as data: a failure has the error's own name, its message, and the stack trace of the
// user's own code.

import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { type Failure, Failure_Kind } from "./wire/plugin.js";

/** An error with a type name of its own, by which handlers of a program tell it from others. */
export class StepError extends Error {
  override name = "StepError";
  readonly errorType: string;
  /** Whether another attempt may succeed. */
  readonly transient: boolean;

  constructor(message: string, options: { errorType?: string; transient?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.errorType = options.errorType ?? "StepError";
    this.transient = options.transient ?? false;
  }
}

/** A failure that another attempt may get over. */
export class TransientError extends StepError {
  override name = "TransientError";

  constructor(message: string, options: { errorType?: string; cause?: unknown } = {}) {
    super(message, { errorType: "TransientError", ...options, transient: true });
  }
}

/** What `call.signal` aborts with. */
export class CancelledError extends Error {
  override name = "CancelledError";

  constructor() {
    super("the call was cancelled");
  }
}

export type FailureKind = "step" | "config" | "unsupported" | "cancelled" | "expired" | "protocol";

/** A failure with its kind; the SDK's own, or one of user code that was looked at already. */
export class FailureError extends Error {
  override name = "FailureError";
  readonly kind: FailureKind;
  readonly errorType: string;
  readonly stackTrace: string;
  readonly transient: boolean;

  constructor(
    kind: FailureKind,
    message: string,
    errorType: string,
    details: { stackTrace?: string; transient?: boolean; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.kind = kind;
    this.errorType = errorType;
    this.stackTrace = details.stackTrace ?? "";
    this.transient = details.transient ?? false;
  }
}

export function configError(message: string): FailureError {
  return new FailureError("config", message, "ConfigError");
}

export function protocolError(message: string, errorType = "ProtocolError"): FailureError {
  return new FailureError("protocol", message, errorType);
}

/** A step returned what it must not return. */
export function contractError(message: string): FailureError {
  return new FailureError("step", message, "ContractError");
}

const CONTRACT_ERRORS = new Set(["TableError"]);

const TRANSIENT_CODES = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
  "UND_ERR_SOCKET",
]);

/** The failure that something thrown is. */
export function failureOf(thrown: unknown, kind: FailureKind = "step"): FailureError {
  if (thrown instanceof FailureError) return thrown;
  if (!(thrown instanceof Error)) {
    return new FailureError(kind, `something that is no error was thrown: ${shown(thrown)}`, typeof thrown);
  }
  const errorType = errorTypeOf(thrown);
  if (CONTRACT_ERRORS.has(errorType)) return contractError(thrown.message);
  return new FailureError(kind, thrown.message || errorType, errorType, {
    stackTrace: stackTraceOf(thrown),
    transient: isTransient(thrown),
    cause: thrown,
  });
}

function errorTypeOf(error: Error): string {
  if (error instanceof StepError) return error.errorType;
  if (error.name !== "Error") return error.name;
  const className = error.constructor.name;
  if (className !== "Error") return className;
  const { code } = error as { code?: unknown };
  return typeof code === "string" ? code : "Error";
}

function isTransient(error: Error): boolean {
  const seen = new Set<unknown>();
  for (
    let current: unknown = error;
    current instanceof Error && !seen.has(current);
    current = current.cause
  ) {
    seen.add(current);
    const { transient, code } = current as { transient?: unknown; code?: unknown };
    if (transient === true || current.name === "TimeoutError") return true;
    if (typeof code === "string" && TRANSIENT_CODES.has(code)) return true;
  }
  return false;
}

/** This file's folder, and that of its source, which stands in stack traces where source maps are enabled. */
const OWN_FOLDERS = [".", "../../src"].map(
  (path) => join(dirname(fileURLToPath(import.meta.url)), path) + sep,
);
const CAUSES_MAX = 8;

/** The stack trace without the frames of this SDK and of Node itself; causes follow. */
function stackTraceOf(error: Error): string {
  const parts: string[] = [];
  for (let current: unknown = error; current instanceof Error && parts.length < CAUSES_MAX; ) {
    const lines = (current.stack ?? String(current)).split("\n");
    parts.push(lines.filter((line) => !isOwnFrame(line)).join("\n"));
    current = current.cause;
  }
  return parts.join("\ncaused by: ");
}

function isOwnFrame(line: string): boolean {
  if (!/^\s+at /.test(line)) return false;
  return line.includes("node:") || OWN_FOLDERS.some((folder) => line.includes(folder));
}

function shown(value: unknown): string {
  try {
    return String(value);
  } catch {
    return `a value of the type ${typeof value}`;
  }
}

const KINDS: Readonly<Record<FailureKind, Failure_Kind>> = {
  step: Failure_Kind.STEP,
  config: Failure_Kind.CONFIG,
  unsupported: Failure_Kind.UNSUPPORTED,
  cancelled: Failure_Kind.CANCELLED,
  expired: Failure_Kind.EXPIRED,
  protocol: Failure_Kind.PROTOCOL,
};

const TEXT_CHARS_MAX = 64 << 10;

export function encodeFailure(thrown: unknown): Failure {
  const failure = failureOf(thrown);
  return {
    kind: KINDS[failure.kind],
    message: failure.message.slice(0, TEXT_CHARS_MAX),
    errorType: failure.errorType,
    stackTrace: failure.stackTrace.slice(0, TEXT_CHARS_MAX),
    transient: failure.transient,
  };
}

/** The name among `names` that somebody may have meant, as the end of a message. */
export function suggestion(name: string, names: readonly string[]): string {
  const [near] = names
    .map((other) => ({ other, far: distance(name, other) }))
    .filter(({ other, far }) => far <= Math.max(1, Math.floor(other.length / 3)))
    .sort((a, b) => a.far - b.far);
  if (near !== undefined) return `did you mean \`${near.other}\`?`;
  return names.length === 0
    ? "there are none"
    : `there are ${names.map((other) => `\`${other}\``).join(", ")}`;
}

function distance(a: string, b: string): number {
  let before = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (before[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(change, (before[j] as number) + 1, (current[j - 1] as number) + 1));
    }
    before = current;
  }
  return before[b.length] as number;
}
