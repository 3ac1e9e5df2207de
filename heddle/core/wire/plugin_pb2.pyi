from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Failure(_message.Message):
    __slots__ = ("kind", "message", "error_type", "stack_trace", "transient")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STEP: _ClassVar[Failure.Kind]
        CONFIG: _ClassVar[Failure.Kind]
        UNSUPPORTED: _ClassVar[Failure.Kind]
        CANCELLED: _ClassVar[Failure.Kind]
        EXPIRED: _ClassVar[Failure.Kind]
        PROTOCOL: _ClassVar[Failure.Kind]
    STEP: Failure.Kind
    CONFIG: Failure.Kind
    UNSUPPORTED: Failure.Kind
    CANCELLED: Failure.Kind
    EXPIRED: Failure.Kind
    PROTOCOL: Failure.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    STACK_TRACE_FIELD_NUMBER: _ClassVar[int]
    TRANSIENT_FIELD_NUMBER: _ClassVar[int]
    kind: Failure.Kind
    message: str
    error_type: str
    stack_trace: str
    transient: bool
    def __init__(self, kind: _Optional[_Union[Failure.Kind, str]] = ..., message: _Optional[str] = ..., error_type: _Optional[str] = ..., stack_trace: _Optional[str] = ..., transient: _Optional[bool] = ...) -> None: ...

class HandshakeRequest(_message.Message):
    __slots__ = ("protocol_min", "protocol_max", "engine_version", "inline_bytes_max", "frame_bytes_max")
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    INLINE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    FRAME_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    protocol_min: int
    protocol_max: int
    engine_version: str
    inline_bytes_max: int
    frame_bytes_max: int
    def __init__(self, protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., engine_version: _Optional[str] = ..., inline_bytes_max: _Optional[int] = ..., frame_bytes_max: _Optional[int] = ...) -> None: ...

class HandshakeResponse(_message.Message):
    __slots__ = ("protocol", "sdk", "namespace", "environment", "failure", "chains")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    CHAINS_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    sdk: str
    namespace: str
    environment: _containers.RepeatedScalarFieldContainer[str]
    failure: Failure
    chains: bool
    def __init__(self, protocol: _Optional[int] = ..., sdk: _Optional[str] = ..., namespace: _Optional[str] = ..., environment: _Optional[_Iterable[str]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., chains: _Optional[bool] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("environment",)
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    environment: _containers.ScalarMap[str, str]
    def __init__(self, environment: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("namespace", "version", "doc", "steps", "resources", "failure")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    version: str
    doc: str
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    resources: _containers.RepeatedCompositeFieldContainer[Resource]
    failure: Failure
    def __init__(self, namespace: _Optional[str] = ..., version: _Optional[str] = ..., doc: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., resources: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("schema", "open")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    schema: bytes
    open: bool
    def __init__(self, schema: _Optional[bytes] = ..., open: _Optional[bool] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("name", "doc", "input_mode", "input", "output", "output_from_config", "rows", "passthrough", "deterministic", "idempotent", "effect", "config", "config_open", "slots", "runnable", "sql", "lookup", "writer", "stream", "estimates")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    INPUT_MODE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FROM_CONFIG_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    PASSTHROUGH_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CONFIG_OPEN_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    RUNNABLE_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    LOOKUP_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    ESTIMATES_FIELD_NUMBER: _ClassVar[int]
    name: str
    doc: str
    input_mode: str
    input: Row
    output: Row
    output_from_config: bool
    rows: str
    passthrough: bool
    deterministic: bool
    idempotent: bool
    effect: bool
    config: _containers.RepeatedCompositeFieldContainer[ConfigField]
    config_open: bool
    slots: _containers.RepeatedCompositeFieldContainer[Slot]
    runnable: bool
    sql: str
    lookup: bool
    writer: bool
    stream: bool
    estimates: bool
    def __init__(self, name: _Optional[str] = ..., doc: _Optional[str] = ..., input_mode: _Optional[str] = ..., input: _Optional[_Union[Row, _Mapping]] = ..., output: _Optional[_Union[Row, _Mapping]] = ..., output_from_config: _Optional[bool] = ..., rows: _Optional[str] = ..., passthrough: _Optional[bool] = ..., deterministic: _Optional[bool] = ..., idempotent: _Optional[bool] = ..., effect: _Optional[bool] = ..., config: _Optional[_Iterable[_Union[ConfigField, _Mapping]]] = ..., config_open: _Optional[bool] = ..., slots: _Optional[_Iterable[_Union[Slot, _Mapping]]] = ..., runnable: _Optional[bool] = ..., sql: _Optional[str] = ..., lookup: _Optional[bool] = ..., writer: _Optional[bool] = ..., stream: _Optional[bool] = ..., estimates: _Optional[bool] = ...) -> None: ...

class Slot(_message.Message):
    __slots__ = ("name", "resource", "required")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    name: str
    resource: str
    required: bool
    def __init__(self, name: _Optional[str] = ..., resource: _Optional[str] = ..., required: _Optional[bool] = ...) -> None: ...

class Resource(_message.Message):
    __slots__ = ("name", "doc", "config", "config_open")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CONFIG_OPEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    doc: str
    config: _containers.RepeatedCompositeFieldContainer[ConfigField]
    config_open: bool
    def __init__(self, name: _Optional[str] = ..., doc: _Optional[str] = ..., config: _Optional[_Iterable[_Union[ConfigField, _Mapping]]] = ..., config_open: _Optional[bool] = ...) -> None: ...

class ConfigField(_message.Message):
    __slots__ = ("name", "type", "required", "default_json", "secret", "doc")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_JSON_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: ConfigType
    required: bool
    default_json: str
    secret: bool
    doc: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[ConfigType, _Mapping]] = ..., required: _Optional[bool] = ..., default_json: _Optional[str] = ..., secret: _Optional[bool] = ..., doc: _Optional[str] = ...) -> None: ...

class ConfigType(_message.Message):
    __slots__ = ("kind", "items", "fields", "choices_json", "nullable")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    CHOICES_JSON_FIELD_NUMBER: _ClassVar[int]
    NULLABLE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    items: ConfigType
    fields: _containers.RepeatedCompositeFieldContainer[ConfigField]
    choices_json: _containers.RepeatedScalarFieldContainer[str]
    nullable: bool
    def __init__(self, kind: _Optional[str] = ..., items: _Optional[_Union[ConfigType, _Mapping]] = ..., fields: _Optional[_Iterable[_Union[ConfigField, _Mapping]]] = ..., choices_json: _Optional[_Iterable[str]] = ..., nullable: _Optional[bool] = ...) -> None: ...

class OpenResourceRequest(_message.Message):
    __slots__ = ("type", "name", "config_json", "lease_s", "base")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    LEASE_S_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    type: str
    name: str
    config_json: str
    lease_s: float
    base: str
    def __init__(self, type: _Optional[str] = ..., name: _Optional[str] = ..., config_json: _Optional[str] = ..., lease_s: _Optional[float] = ..., base: _Optional[str] = ...) -> None: ...

class OpenResourceResponse(_message.Message):
    __slots__ = ("resource_id", "failure")
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    resource_id: int
    failure: Failure
    def __init__(self, resource_id: _Optional[int] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class CheckResourceRequest(_message.Message):
    __slots__ = ("resource_id",)
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    resource_id: int
    def __init__(self, resource_id: _Optional[int] = ...) -> None: ...

class CheckResourceResponse(_message.Message):
    __slots__ = ("problem", "failure")
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    problem: str
    failure: Failure
    def __init__(self, problem: _Optional[str] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class CloseResourceRequest(_message.Message):
    __slots__ = ("resource_id",)
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    resource_id: int
    def __init__(self, resource_id: _Optional[int] = ...) -> None: ...

class CloseResourceResponse(_message.Message):
    __slots__ = ("failure",)
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class BindStepRequest(_message.Message):
    __slots__ = ("step", "config_json", "resources", "base", "link", "parameters_json", "columns")
    class ResourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    STEP_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_JSON_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    step: str
    config_json: str
    resources: _containers.ScalarMap[str, int]
    base: str
    link: Link
    parameters_json: str
    columns: bytes
    def __init__(self, step: _Optional[str] = ..., config_json: _Optional[str] = ..., resources: _Optional[_Mapping[str, int]] = ..., base: _Optional[str] = ..., link: _Optional[_Union[Link, _Mapping]] = ..., parameters_json: _Optional[str] = ..., columns: _Optional[bytes] = ...) -> None: ...

class Link(_message.Message):
    __slots__ = ("takes", "gives", "returns", "open", "rows")
    TAKES_FIELD_NUMBER: _ClassVar[int]
    GIVES_FIELD_NUMBER: _ClassVar[int]
    RETURNS_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    takes: bytes
    gives: bytes
    returns: _containers.RepeatedScalarFieldContainer[str]
    open: bool
    rows: str
    def __init__(self, takes: _Optional[bytes] = ..., gives: _Optional[bytes] = ..., returns: _Optional[_Iterable[str]] = ..., open: _Optional[bool] = ..., rows: _Optional[str] = ...) -> None: ...

class BindStepResponse(_message.Message):
    __slots__ = ("binding_id", "failure")
    BINDING_ID_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    binding_id: int
    failure: Failure
    def __init__(self, binding_id: _Optional[int] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class InferSchemaRequest(_message.Message):
    __slots__ = ("binding_id", "input")
    BINDING_ID_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    binding_id: int
    input: Row
    def __init__(self, binding_id: _Optional[int] = ..., input: _Optional[_Union[Row, _Mapping]] = ...) -> None: ...

class InferSchemaResponse(_message.Message):
    __slots__ = ("output", "failure")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    output: Row
    failure: Failure
    def __init__(self, output: _Optional[_Union[Row, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class ReleaseStepRequest(_message.Message):
    __slots__ = ("binding_id",)
    BINDING_ID_FIELD_NUMBER: _ClassVar[int]
    binding_id: int
    def __init__(self, binding_id: _Optional[int] = ...) -> None: ...

class ReleaseStepResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("call_id",)
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    call_id: int
    def __init__(self, call_id: _Optional[int] = ...) -> None: ...

class CancelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthResponse(_message.Message):
    __slots__ = ("calls", "problems")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    calls: int
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, calls: _Optional[int] = ..., problems: _Optional[_Iterable[str]] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ("problems",)
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, problems: _Optional[_Iterable[str]] = ...) -> None: ...

class EngineFrame(_message.Message):
    __slots__ = ("call", "batch", "end", "grant")
    CALL_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    call: Call
    batch: Batch
    end: EndInput
    grant: Grant
    def __init__(self, call: _Optional[_Union[Call, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., end: _Optional[_Union[EndInput, _Mapping]] = ..., grant: _Optional[_Union[Grant, _Mapping]] = ...) -> None: ...

class PluginFrame(_message.Message):
    __slots__ = ("batch", "rejection", "log", "progress", "metric", "need", "result", "answer", "member", "released")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    NEED_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    batch: Batch
    rejection: Rejection
    log: Log
    progress: Progress
    metric: Metric
    need: Need
    result: Result
    answer: Answer
    member: int
    released: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, batch: _Optional[_Union[Batch, _Mapping]] = ..., rejection: _Optional[_Union[Rejection, _Mapping]] = ..., log: _Optional[_Union[Log, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., metric: _Optional[_Union[Metric, _Mapping]] = ..., need: _Optional[_Union[Need, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., member: _Optional[int] = ..., released: _Optional[_Iterable[int]] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("call_id", "binding_id", "context", "has_input", "batch", "end", "grant", "forgotten", "followers")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    BINDING_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    HAS_INPUT_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    FOLLOWERS_FIELD_NUMBER: _ClassVar[int]
    call_id: int
    binding_id: int
    context: Context
    has_input: bool
    batch: Batch
    end: bool
    grant: Grant
    forgotten: _containers.RepeatedScalarFieldContainer[int]
    followers: _containers.RepeatedCompositeFieldContainer[Follower]
    def __init__(self, call_id: _Optional[int] = ..., binding_id: _Optional[int] = ..., context: _Optional[_Union[Context, _Mapping]] = ..., has_input: _Optional[bool] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., end: _Optional[bool] = ..., grant: _Optional[_Union[Grant, _Mapping]] = ..., forgotten: _Optional[_Iterable[int]] = ..., followers: _Optional[_Iterable[_Union[Follower, _Mapping]]] = ...) -> None: ...

class Follower(_message.Message):
    __slots__ = ("binding_id", "step", "idempotency_key")
    BINDING_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    binding_id: int
    step: str
    idempotency_key: str
    def __init__(self, binding_id: _Optional[int] = ..., step: _Optional[str] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class Context(_message.Message):
    __slots__ = ("run_id", "workflow", "step", "attempt", "idempotency_key", "deadline_s", "operation", "argument_json", "turn")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENT_JSON_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    workflow: str
    step: str
    attempt: int
    idempotency_key: str
    deadline_s: float
    operation: str
    argument_json: str
    turn: Turn
    def __init__(self, run_id: _Optional[str] = ..., workflow: _Optional[str] = ..., step: _Optional[str] = ..., attempt: _Optional[int] = ..., idempotency_key: _Optional[str] = ..., deadline_s: _Optional[float] = ..., operation: _Optional[str] = ..., argument_json: _Optional[str] = ..., turn: _Optional[_Union[Turn, _Mapping]] = ...) -> None: ...

class Turn(_message.Message):
    __slots__ = ("max_rows", "max_wait_s")
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_S_FIELD_NUMBER: _ClassVar[int]
    max_rows: int
    max_wait_s: float
    def __init__(self, max_rows: _Optional[int] = ..., max_wait_s: _Optional[float] = ...) -> None: ...

class EndInput(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Batch(_message.Message):
    __slots__ = ("inline", "slice", "columns")
    INLINE_FIELD_NUMBER: _ClassVar[int]
    SLICE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    inline: bytes
    slice: Slice
    columns: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, inline: _Optional[bytes] = ..., slice: _Optional[_Union[Slice, _Mapping]] = ..., columns: _Optional[_Iterable[int]] = ...) -> None: ...

class Slice(_message.Message):
    __slots__ = ("segment", "offset", "length")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    offset: int
    length: int
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("id", "path", "size_bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    id: int
    path: str
    size_bytes: int
    def __init__(self, id: _Optional[int] = ..., path: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class Need(_message.Message):
    __slots__ = ("size_bytes",)
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    def __init__(self, size_bytes: _Optional[int] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("segment",)
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("rows", "reason", "error_type", "records")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    rows: bytes
    reason: str
    error_type: str
    records: bytes
    def __init__(self, rows: _Optional[bytes] = ..., reason: _Optional[str] = ..., error_type: _Optional[str] = ..., records: _Optional[bytes] = ...) -> None: ...

class Log(_message.Message):
    __slots__ = ("level", "message", "fields")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    level: str
    message: str
    fields: _containers.ScalarMap[str, str]
    def __init__(self, level: _Optional[str] = ..., message: _Optional[str] = ..., fields: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("rows_done", "rows_total", "message")
    ROWS_DONE_FIELD_NUMBER: _ClassVar[int]
    ROWS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    rows_done: int
    rows_total: int
    message: str
    def __init__(self, rows_done: _Optional[int] = ..., rows_total: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class Metric(_message.Message):
    __slots__ = ("name", "value", "unit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    unit: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., unit: _Optional[str] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: str
    def __init__(self, json: _Optional[str] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("failure", "done")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    failure: Failure
    done: int
    def __init__(self, failure: _Optional[_Union[Failure, _Mapping]] = ..., done: _Optional[int] = ...) -> None: ...
