/** Plugins for Heddle: steps over Arrow tables, resources, sources and sinks. */

export * as arrow from "apache-arrow";
export { TableError } from "./arrow/build.js";
export { InputEndedError } from "./arrow/lease.js";
export type { DayTime, MonthDayNano } from "./arrow/values.js";
export type { Call, CallInfo, LogFields, Logger, LogLevel, Rejection } from "./call.js";
export {
  type AnySetting,
  type ConfigOf,
  c,
  type OpenSettings,
  Secret,
  Setting,
  type SettingOptions,
  type Settings,
} from "./config.js";
export { CancelledError, StepError, TransientError } from "./errors.js";
export { Plugin, type PluginOptions } from "./plugin.js";
export {
  type OptionalSlot,
  optional,
  type ResourceOptions,
  type ResourcesOf,
  type ResourceType,
  type Slots,
} from "./resource.js";
export { anyRow, Row, row } from "./row.js";
export type {
  DeclaredOptions,
  InferRequest,
  Output,
  RowKind,
  Rows,
  SinkOptions,
  SourceOptions,
  StepOptions,
  Traits,
} from "./step.js";
export { type ColumnGiven, type Columns, Table } from "./table.js";
export { TypeTextError } from "./type_text.js";
export { ColumnType, type RowGiven, type RowValue, type Shape, t } from "./types.js";
