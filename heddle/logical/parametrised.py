"""Outputs that take parameters: what the rows of a node depend on, and the program with values for a query.

A program's parameter has one value in a run. A query may read an output several times, with another value
each time: then the nodes that depend on it are there once for each value, and all others once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from typing import Final, TypeAlias

from heddle.core.record import record
from heddle.core.statements import with_placeholders
from heddle.frontend.typed import (
    ConfigData,
    Node,
    NodeId,
    Parameter,
    ParamRef,
    QueryInput,
    QueryNode,
    ResourceUse,
    SecretRef,
    StepCall,
    StepNode,
    TypedProgram,
    inputs_of,
    parameters_in,
)
from heddle.logical.lower import read_by, relation_names
from heddle.logical.sql import reading_others

_OF_RESOURCE: Final = "a resource depends on it"
_OF_COLUMNS: Final = "columns may depend on it"
_OF_SECRETS: Final = "it is a secret"

Values: TypeAlias = Mapping[str, ConfigData]
"""Of parameters, by name."""
NO_VALUES: Final[Values] = {}


@record(frozen=True, slots=True)
class Taken:
    """The parameters that rows depend on, in the program's order. A query may give values to those that are
    `open`. The `fixed` ones have the program's value in every query; `reasons` say why, by name."""

    open: tuple[Parameter, ...] = ()
    fixed: tuple[Parameter, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


def taken_by(program: TypedProgram, node: NodeId) -> Taken:
    """What the rows of a node depend on."""
    if not program.parameters:
        return Taken()
    names: set[str] = set()
    reasons: dict[str, str] = {}
    for read in read_by(program, [node]):
        if isinstance(read, StepNode):
            names |= _own(read, program)
            reasons |= _reasons(read, program)
    known = [parameter for name, parameter in program.parameters.items() if name in names]
    reasons |= {p.name: _OF_SECRETS for p in known if isinstance(p.value, SecretRef)}
    return Taken(
        tuple(p for p in known if p.name not in reasons),
        tuple(p for p in known if p.name in reasons),
        reasons,
    )


class Instances:
    """A program with the nodes that a query reads, under the values that it gives. The nodes of the first
    values are the program's own; further values have copies of what depends on them."""

    def __init__(self, program: TypedProgram) -> None:
        self._program = program
        self._own = {n.id: _own(n, program) for n in program.nodes if isinstance(n, StepNode)}
        self._below: dict[NodeId, frozenset[str]] = {}
        for node in program.nodes:
            below = (self._below[i] for i in inputs_of(node))
            self._below[node.id] = frozenset(self._own.get(node.id, ())).union(*below)
        self._parameters: dict[str, Parameter] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._of_resources = set().union(*(_of_settings(r.config) for r in program.resources.values()))
        self._taken = set(program.parameters) | {
            p.name for n in program.nodes if isinstance(n, StepNode) for p in n.call.parameters
        }
        self._copies: dict[tuple[NodeId, frozenset[tuple[str, str]]], Node] = {}
        self._nodes: list[Node] = list(program.nodes)
        self._originals: dict[NodeId, NodeId] = {}
        self._relations = relation_names(program)

    @property
    def program(self) -> TypedProgram:
        """With the parameters that its nodes were given, and no others."""
        workflows = {
            name: replace(w, nodes=(*w.nodes, *(i for i, of in self._originals.items() if of in w.nodes)))
            for name, w in self._program.workflows.items()
        }
        return replace(
            self._program, nodes=tuple(self._nodes), workflows=workflows, parameters=self._parameters
        )

    def node(self, node: NodeId, values: Values) -> NodeId:
        """The node that gives the rows of `node` under these values; parameters that are not among them have
        the program's."""
        names = {name: self._named(name, values) for name in sorted(self._below[node])}
        return self._copied(node, {own: name for own, name in names.items() if own != name})

    def relation(self, node: NodeId) -> str:
        """The name under which SQL reads a node."""
        return self._relations[node] if node < len(self._program.nodes) else f"r{node}"

    def _named(self, own: str, values: Values) -> str:
        """The name of a parameter with its value in this query. The first value has its own name, but where
        resources read that: there it is the program's value."""
        program = parameter = self._program.parameters[own]
        if own in values and not (program.bound and repr(values[own]) == repr(program.value)):
            parameter = replace(program, bound=True, value=values[own])
        key = own, repr((parameter.bound, parameter.value))
        if key not in self._names:
            is_free = own not in self._of_resources or parameter is program
            name, number = own, 1
            while name in self._parameters or (name in self._taken if number > 1 else not is_free):
                number += 1
                name = f"{own}_{number}"
            self._names[key] = name
            self._parameters[name] = replace(parameter, name=name)
        return self._names[key]

    def _copied(self, node_id: NodeId, names: Mapping[str, str]) -> NodeId:
        """The node with other parameters: `names` has those that change. It is itself when none does."""
        for below in read_by(self._program, [node_id]):
            own = {old: new for old, new in names.items() if old in self._below[below.id]}
            key = below.id, frozenset(own.items())
            if key in self._copies:
                continue
            if not own:
                self._copies[key] = below
                continue
            inputs = {i: self._copy_of(i, names) for i in inputs_of(below)}
            new_id = len(self._nodes)
            copy = self._copy(below, new_id, inputs, own)
            self._copies[key] = copy
            self._nodes.append(copy)
            self._originals[new_id] = below.id
        return self._copy_of(node_id, names)

    def _copy_of(self, node_id: NodeId, names: Mapping[str, str]) -> NodeId:
        own = {old: new for old, new in names.items() if old in self._below[node_id]}
        return self._copies[node_id, frozenset(own.items())].id

    def _copy(
        self, node: Node, new_id: NodeId, inputs: Mapping[NodeId, NodeId], names: Mapping[str, str]
    ) -> Node:
        match node:
            case QueryNode():
                renamed = {i.relation: self.relation(inputs[i.node]) for i in node.inputs}
                return replace(
                    node,
                    id=new_id,
                    sql=reading_others(node.sql, renamed),
                    inputs=tuple(QueryInput(renamed[i.relation], inputs[i.node]) for i in node.inputs),
                    lineage={name: (self._copy_of(i, names), own) for name, (i, own) in node.lineage.items()},
                    relation=self.relation(new_id),
                )
            case StepNode(input=below):
                return replace(
                    node,
                    id=new_id,
                    call=_renamed(node.call, names),
                    input=None if below is None else inputs[below],
                )
            case _:
                raise AssertionError("only steps and what reads them depend on parameters")


def _own(node: StepNode, program: TypedProgram) -> set[str]:
    """The parameters of the program that a step itself takes."""
    names = {p.name for p in node.call.parameters if p.source == "workflow"}
    names |= _of_settings(node.call.config)
    return names.union(*(_of_settings(use.config) for use in _resources(node, program)))


def _reasons(node: StepNode, program: TypedProgram) -> dict[str, str]:
    """Why a query may not give a value to some parameters of a step."""
    call = node.call
    declared = call.module.step(call.signature.name, head=node.input is None) or call.signature
    reasons: dict[str, str] = {}
    if declared.output_from_config:
        reasons |= dict.fromkeys(_of_settings(call.config), _OF_COLUMNS)
    for use in _resources(node, program):
        reasons |= dict.fromkeys(_of_settings(use.config), _OF_RESOURCE)
    secret = {name: value for name, value in call.config.items() if name in _secret_settings(call)}
    return reasons | dict.fromkeys(_of_settings(secret), _OF_SECRETS)


def _secret_settings(call: StepCall) -> frozenset[str]:
    return frozenset(setting.name for setting in call.signature.config if setting.secret)


def _resources(node: StepNode, program: TypedProgram) -> Iterator[ResourceUse]:
    return (program.resources[name] for name in node.call.resources.values())


def _of_settings(settings: Mapping[str, ConfigData]) -> set[str]:
    return {name for value in settings.values() for name in parameters_in(value)}


def _renamed(call: StepCall, names: Mapping[str, str]) -> StepCall:
    """The call with other names of parameters, in its settings and in its statements."""
    bound = {p.name for p in call.parameters if p.source == "workflow"}
    statements = {setting.name for setting in call.signature.config if setting.type.kind == "statement"}

    def in_statement(name: str) -> str:
        return f"@{names.get(name, name) if name in bound else name}"

    config = {
        name: with_placeholders(value, in_statement)
        if name in statements and isinstance(value, str)
        else _setting(value, names)
        for name, value in call.config.items()
    }
    parameters = tuple(
        replace(p, name=names.get(p.name, p.name), column=names.get(p.column, p.column))
        if p.source == "workflow"
        else p
        for p in call.parameters
    )
    return replace(call, config=config, parameters=parameters)


def _setting(value: ConfigData, names: Mapping[str, str]) -> ConfigData:
    match value:
        case ParamRef(name=name):
            return ParamRef(names.get(name, name))
        case list():
            return [_setting(item, names) for item in value]
        case dict():
            return {key: _setting(item, names) for key, item in value.items()}
        case _:
            return value
