//! What a plugin offers: as messages for the engine, and as text for people.

use std::fmt::Write as _;

use crate::config::ConfigField;
use crate::payload::schema_to_bytes;
use crate::plugin::Plugin;
use crate::resource::ResourceDefinition;
use crate::row::RowType;
use crate::step::{InputMode, Rows, StepDefinition};
use crate::wire;

pub(crate) fn for_engine(plugin: &Plugin) -> wire::DescribeResponse {
    wire::DescribeResponse {
        namespace: plugin.namespace.clone(),
        version: plugin.version.clone(),
        doc: plugin.doc.clone(),
        steps: plugin.steps.iter().map(|step| step_message(step.definition())).collect(),
        resources: plugin.resources.iter().map(resource_message).collect(),
        failure: None,
    }
}

pub(crate) fn row(row: &RowType) -> wire::Row {
    wire::Row { schema: schema_to_bytes(row.schema()), open: row.is_open() }
}

fn step_message(step: &StepDefinition) -> wire::Step {
    let slots = step.slots.iter().map(|slot| wire::Slot {
        name: slot.name.clone(),
        resource: slot.resource.to_owned(),
        required: slot.required,
    });
    wire::Step {
        name: step.name.to_string(),
        doc: step.doc.clone(),
        input_mode: step.input_mode.name().to_owned(),
        input: (step.input_mode != InputMode::None).then(|| row(&step.input)),
        output: step.output.as_ref().map(row),
        output_from_config: step.output_from_config,
        rows: step.rows.name().to_owned(),
        passthrough: step.passthrough,
        deterministic: step.deterministic,
        idempotent: step.idempotent,
        effect: step.effect,
        config: step.config.iter().map(ConfigField::to_wire).collect(),
        config_open: step.config_open,
        slots: slots.collect(),
        runnable: step.runnable,
    }
}

fn resource_message(resource: &ResourceDefinition) -> wire::Resource {
    wire::Resource {
        name: resource.name.to_owned(),
        doc: resource.doc.to_owned(),
        config: resource.config.iter().map(ConfigField::to_wire).collect(),
        config_open: resource.config_open,
    }
}

pub(crate) fn for_people(plugin: &Plugin) -> String {
    let mut text = format!("plugin {} {}", plugin.namespace, plugin.version).trim_end().to_owned() + "\n";
    for line in plugin.doc.lines() {
        let _ = writeln!(text, "  {line}");
    }
    for resource in &plugin.resources {
        let line = format!("  resource {} {}", resource.name, settings_text(&resource.config));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for step in &plugin.steps {
        add_step(&mut text, step.definition());
    }
    if plugin.resources.is_empty() && plugin.steps.is_empty() {
        text += "  offers nothing yet: add steps with Plugin::step\n";
    }
    let namespace = &plugin.namespace;
    let _ = write!(
        text,
        "\nNothing needs to be started: `heddle run` starts this program where a program says import \"{namespace}\".\n"
    );
    text
}

fn add_step(text: &mut String, step: &StepDefinition) {
    let slots: String =
        step.slots.iter().map(|slot| format!("<{}: {}> ", slot.name, slot.resource)).collect();
    let line = format!("  step {} {slots}{}", step.name, settings_text(&step.config));
    let _ = writeln!(text, "{}", line.trim_end());
    let input = match step.input_mode {
        InputMode::None => String::new(),
        InputMode::Required => format!("{} ", step.input),
        InputMode::Optional => format!("{}? ", step.input),
    };
    let output = step.output.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let _ = writeln!(text, "    {input}-> {output}");
    let rows = format!("rows={}", step.rows.name());
    let flags = [
        (step.rows != Rows::Table, rows.as_str()),
        (step.passthrough, "passthrough"),
        (step.deterministic == Some(true), "deterministic"),
        (step.idempotent == Some(true), "idempotent"),
        (step.effect == Some(true), "effect"),
        (!step.runnable, "without a body"),
    ];
    let flags: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    if !flags.is_empty() {
        let _ = writeln!(text, "    {}", flags.join(", "));
    }
}

fn settings_text(fields: &[ConfigField]) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let settings = fields.iter().map(|field| {
        let mark = if field.required { "" } else { "?" };
        let secret = if field.secret { " (secret)" } else { "" };
        format!("{}{mark}: {}{secret}", field.name, field.config_type)
    });
    format!("{{ {} }}", settings.collect::<Vec<_>>().join(", "))
}
