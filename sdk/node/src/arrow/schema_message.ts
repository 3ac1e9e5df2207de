// Schemas in Arrow's flatbuffers: the header of an IPC stream, read into `Schema` and written from it.

import { Binary } from "apache-arrow/fb/binary";
import { BinaryView } from "apache-arrow/fb/binary-view";
import { Bool } from "apache-arrow/fb/bool";
import { Date as DateTable } from "apache-arrow/fb/date";
import { DateUnit } from "apache-arrow/fb/date-unit";
import { Decimal } from "apache-arrow/fb/decimal";
import { DictionaryEncoding as DictionaryTable } from "apache-arrow/fb/dictionary-encoding";
import { Duration } from "apache-arrow/fb/duration";
import { Endianness } from "apache-arrow/fb/endianness";
import { Field as FieldTable } from "apache-arrow/fb/field";
import { FixedSizeBinary } from "apache-arrow/fb/fixed-size-binary";
import { FixedSizeList } from "apache-arrow/fb/fixed-size-list";
import { FloatingPoint } from "apache-arrow/fb/floating-point";
import { Int } from "apache-arrow/fb/int";
import { Interval } from "apache-arrow/fb/interval";
import { KeyValue } from "apache-arrow/fb/key-value";
import { LargeBinary } from "apache-arrow/fb/large-binary";
import { LargeList } from "apache-arrow/fb/large-list";
import { LargeListView } from "apache-arrow/fb/large-list-view";
import { LargeUtf8 } from "apache-arrow/fb/large-utf8";
import { List } from "apache-arrow/fb/list";
import { ListView } from "apache-arrow/fb/list-view";
import { Map as MapTable } from "apache-arrow/fb/map";
import { Null } from "apache-arrow/fb/null";
import { RunEndEncoded } from "apache-arrow/fb/run-end-encoded";
import { Schema as SchemaTable } from "apache-arrow/fb/schema";
import { Struct_ } from "apache-arrow/fb/struct-";
import { Time } from "apache-arrow/fb/time";
import { Timestamp } from "apache-arrow/fb/timestamp";
import { Type as TypeId } from "apache-arrow/fb/type";
import { Union } from "apache-arrow/fb/union";
import { UnionMode } from "apache-arrow/fb/union-mode";
import { Utf8 } from "apache-arrow/fb/utf8";
import { Utf8View } from "apache-arrow/fb/utf8-view";
import type { Builder, Offset } from "flatbuffers";
import type { DictionaryEncoding, Field, IntType, Kind, Schema, TimeUnit, Type } from "./field.js";

const TIME_UNITS: readonly TimeUnit[] = ["s", "ms", "us", "ns"];
const INTERVAL_UNITS = ["year_month", "day_time", "month_day_nano"] as const;
const FLOAT_BITS = [16, 32, 64] as const;
const NESTING_MAX = 64;

/** The tables without parameters. */
const PLAIN = {
  null: [TypeId.Null, Null.startNull, Null.endNull],
  bool: [TypeId.Bool, Bool.startBool, Bool.endBool],
  string: [TypeId.Utf8, Utf8.startUtf8, Utf8.endUtf8],
  large_string: [TypeId.LargeUtf8, LargeUtf8.startLargeUtf8, LargeUtf8.endLargeUtf8],
  string_view: [TypeId.Utf8View, Utf8View.startUtf8View, Utf8View.endUtf8View],
  binary: [TypeId.Binary, Binary.startBinary, Binary.endBinary],
  large_binary: [TypeId.LargeBinary, LargeBinary.startLargeBinary, LargeBinary.endLargeBinary],
  binary_view: [TypeId.BinaryView, BinaryView.startBinaryView, BinaryView.endBinaryView],
  list: [TypeId.List, List.startList, List.endList],
  large_list: [TypeId.LargeList, LargeList.startLargeList, LargeList.endLargeList],
  list_view: [TypeId.ListView, ListView.startListView, ListView.endListView],
  large_list_view: [TypeId.LargeListView, LargeListView.startLargeListView, LargeListView.endLargeListView],
  struct: [TypeId.Struct_, Struct_.startStruct_, Struct_.endStruct_],
  run_end_encoded: [TypeId.RunEndEncoded, RunEndEncoded.startRunEndEncoded, RunEndEncoded.endRunEndEncoded],
} as const satisfies Partial<Record<Kind, unknown>>;

const PLAIN_KINDS = new Map<TypeId, keyof typeof PLAIN>(
  Object.entries(PLAIN).map(([kind, [id]]) => [id, kind as keyof typeof PLAIN]),
);

/** Throws when the table holds what this version of the format does not know. */
export function readSchema(table: SchemaTable): Schema {
  if (table.endianness() !== Endianness.Little) throw new Error("it is big-endian");
  const fields: Field[] = [];
  for (let i = 0; i < table.fieldsLength(); i++) fields.push(readField(table.fields(i), 0));
  const metadata = readMetadata(table);
  return metadata === undefined ? { fields } : { fields, metadata };
}

function readField(table: FieldTable | null, depth: number): Field {
  if (table === null || depth > NESTING_MAX) throw new Error("a field is missing or nests too deeply");
  const children: Field[] = [];
  for (let i = 0; i < table.childrenLength(); i++) children.push(readField(table.children(i), depth + 1));
  const type = readType(table, children.length);
  const dictionary = table.dictionary();
  const metadata = readMetadata(table);
  return {
    name: table.name() ?? "",
    type,
    nullable: table.nullable(),
    children,
    ...(dictionary !== null && { dictionary: readDictionary(dictionary) }),
    ...(metadata !== undefined && { metadata }),
  };
}

function readDictionary(table: DictionaryTable): DictionaryEncoding {
  const index = table.indexType();
  return {
    id: table.id(),
    index: index === null ? { kind: "int", bits: 32, signed: true } : intType(index),
    ordered: table.isOrdered(),
  };
}

function intType(table: Int): IntType {
  const bits = table.bitWidth();
  if (bits !== 8 && bits !== 16 && bits !== 32 && bits !== 64) throw new Error(`an int of ${bits} bits`);
  return { kind: "int", bits, signed: table.isSigned() };
}

function readType(table: FieldTable, childCount: number): Type {
  const id = table.typeType();
  const plain = PLAIN_KINDS.get(id);
  if (plain !== undefined) return checkedChildren({ kind: plain }, childCount);
  switch (id) {
    case TypeId.Int:
      return intType(table.type(new Int()));
    case TypeId.FloatingPoint:
      return { kind: "float", bits: at(FLOAT_BITS, table.type(new FloatingPoint()).precision()) };
    case TypeId.Decimal: {
      const t: Decimal = table.type(new Decimal());
      return { kind: "decimal", bits: t.bitWidth(), precision: t.precision(), scale: t.scale() };
    }
    case TypeId.Date:
      return { kind: "date", unit: table.type(new DateTable()).unit() === DateUnit.DAY ? "day" : "ms" };
    case TypeId.Time: {
      const t: Time = table.type(new Time());
      return { kind: "time", bits: t.bitWidth() === 32 ? 32 : 64, unit: at(TIME_UNITS, t.unit()) };
    }
    case TypeId.Timestamp: {
      const t: Timestamp = table.type(new Timestamp());
      return { kind: "timestamp", unit: at(TIME_UNITS, t.unit()), zone: t.timezone() ?? undefined };
    }
    case TypeId.Duration:
      return { kind: "duration", unit: at(TIME_UNITS, table.type(new Duration()).unit()) };
    case TypeId.Interval:
      return { kind: "interval", unit: at(INTERVAL_UNITS, table.type(new Interval()).unit()) };
    case TypeId.FixedSizeBinary:
      return { kind: "fixed_size_binary", bytes: table.type(new FixedSizeBinary()).byteWidth() };
    case TypeId.FixedSizeList:
      return checkedChildren(
        { kind: "fixed_size_list", size: table.type(new FixedSizeList()).listSize() },
        childCount,
      );
    case TypeId.Map:
      return checkedChildren({ kind: "map", sorted: table.type(new MapTable()).keysSorted() }, childCount);
    case TypeId.Union: {
      const t: Union = table.type(new Union());
      const given = t.typeIdsArray();
      const ids = given === null ? Array.from({ length: childCount }, (_, i) => i) : [...given];
      return { kind: "union", mode: t.mode() === UnionMode.Dense ? "dense" : "sparse", ids };
    }
    default:
      throw new Error(`the type number ${id} is not known`);
  }
}

const CHILD_COUNTS: Partial<Record<Kind, number>> = {
  list: 1,
  large_list: 1,
  list_view: 1,
  large_list_view: 1,
  fixed_size_list: 1,
  map: 1,
  run_end_encoded: 2,
};

function checkedChildren(type: Type, count: number): Type {
  const wanted = CHILD_COUNTS[type.kind];
  if (wanted !== undefined && count !== wanted) throw new Error(`a ${type.kind} has ${count} children`);
  return type;
}

function at<T>(values: readonly T[], index: number): T {
  const value = values[index];
  if (value === undefined) throw new Error(`the unit number ${index} is not known`);
  return value;
}

function readMetadata(table: SchemaTable | FieldTable): ReadonlyMap<string, string> | undefined {
  const count = table.customMetadataLength();
  if (count === 0) return undefined;
  const metadata = new Map<string, string>();
  for (let i = 0; i < count; i++) {
    const entry = table.customMetadata(i);
    metadata.set(entry?.key() ?? "", entry?.value() ?? "");
  }
  return metadata;
}

export function writeSchema(builder: Builder, schema: Schema): Offset {
  const fields = schema.fields.map((field) => writeField(builder, field));
  const vector = SchemaTable.createFieldsVector(builder, fields);
  const metadata = writeMetadata(builder, schema.metadata, SchemaTable.createCustomMetadataVector);
  SchemaTable.startSchema(builder);
  SchemaTable.addEndianness(builder, Endianness.Little);
  SchemaTable.addFields(builder, vector);
  if (metadata !== 0) SchemaTable.addCustomMetadata(builder, metadata);
  return SchemaTable.endSchema(builder);
}

function writeField(builder: Builder, field: Field): Offset {
  const children = FieldTable.createChildrenVector(
    builder,
    field.children.map((child) => writeField(builder, child)),
  );
  const name = builder.createString(field.name);
  const metadata = writeMetadata(builder, field.metadata, FieldTable.createCustomMetadataVector);
  const dictionary = field.dictionary === undefined ? 0 : writeDictionary(builder, field.dictionary);
  const [id, type] = writeType(builder, field.type);
  FieldTable.startField(builder);
  FieldTable.addName(builder, name);
  FieldTable.addNullable(builder, field.nullable);
  FieldTable.addTypeType(builder, id as never);
  FieldTable.addType(builder, type);
  FieldTable.addChildren(builder, children);
  if (dictionary !== 0) FieldTable.addDictionary(builder, dictionary);
  if (metadata !== 0) FieldTable.addCustomMetadata(builder, metadata);
  return FieldTable.endField(builder);
}

function writeDictionary(builder: Builder, dictionary: DictionaryEncoding): Offset {
  const index = Int.createInt(builder, dictionary.index.bits, dictionary.index.signed);
  DictionaryTable.startDictionaryEncoding(builder);
  DictionaryTable.addId(builder, dictionary.id);
  DictionaryTable.addIndexType(builder, index);
  DictionaryTable.addIsOrdered(builder, dictionary.ordered);
  return DictionaryTable.endDictionaryEncoding(builder);
}

function writeType(builder: Builder, type: Type): [TypeId, Offset] {
  switch (type.kind) {
    case "int":
      return [TypeId.Int, Int.createInt(builder, type.bits, type.signed)];
    case "float":
      return [
        TypeId.FloatingPoint,
        FloatingPoint.createFloatingPoint(builder, FLOAT_BITS.indexOf(type.bits)),
      ];
    case "decimal":
      return [TypeId.Decimal, Decimal.createDecimal(builder, type.precision, type.scale, type.bits)];
    case "date": {
      const unit = type.unit === "day" ? DateUnit.DAY : DateUnit.MILLISECOND;
      return [TypeId.Date, DateTable.createDate(builder, unit)];
    }
    case "time":
      return [TypeId.Time, Time.createTime(builder, TIME_UNITS.indexOf(type.unit), type.bits)];
    case "timestamp": {
      const zone = type.zone === undefined ? 0 : builder.createString(type.zone);
      return [TypeId.Timestamp, Timestamp.createTimestamp(builder, TIME_UNITS.indexOf(type.unit), zone)];
    }
    case "duration":
      return [TypeId.Duration, Duration.createDuration(builder, TIME_UNITS.indexOf(type.unit))];
    case "interval":
      return [TypeId.Interval, Interval.createInterval(builder, INTERVAL_UNITS.indexOf(type.unit))];
    case "fixed_size_binary":
      return [TypeId.FixedSizeBinary, FixedSizeBinary.createFixedSizeBinary(builder, type.bytes)];
    case "fixed_size_list":
      return [TypeId.FixedSizeList, FixedSizeList.createFixedSizeList(builder, type.size)];
    case "map":
      return [TypeId.Map, MapTable.createMap(builder, type.sorted)];
    case "union": {
      const ids = Union.createTypeIdsVector(builder, [...type.ids]);
      const mode = type.mode === "dense" ? UnionMode.Dense : UnionMode.Sparse;
      return [TypeId.Union, Union.createUnion(builder, mode, ids)];
    }
    default: {
      const [id, start, end] = PLAIN[type.kind];
      start(builder);
      return [id, end(builder)];
    }
  }
}

function writeMetadata(
  builder: Builder,
  metadata: ReadonlyMap<string, string> | undefined,
  vector: (builder: Builder, entries: Offset[]) => Offset,
): Offset {
  if (metadata === undefined || metadata.size === 0) return 0;
  const entries = [...metadata].map(([key, value]) =>
    KeyValue.createKeyValue(builder, builder.createString(key), builder.createString(value)),
  );
  return vector(builder, entries);
}
