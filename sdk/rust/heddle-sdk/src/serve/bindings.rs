//! Steps with their settings and resources, as calls name them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::bound_step::{AnyStep, BoundStep};
use crate::call::OpenSlot;
use crate::config::{Json, Object};
use crate::error::{Error, Result};
use crate::plugin::Plugin;
use crate::serve::link::Link;
use crate::serve::resources::{OpenResource, Resources, Use};
use crate::step::StepDefinition;
use crate::text::listed;
use crate::wire;

/// All bindings by their ids.
#[derive(Default)]
pub(crate) struct Bindings {
    last_id: AtomicU64,
    by_id: RwLock<HashMap<u64, Arc<Binding>>>,
}

/// A step with its settings and resources.
pub(crate) struct Binding {
    pub step: Arc<dyn AnyStep>,
    pub bound: Arc<dyn BoundStep>,
    pub base: Arc<Path>,
    /// How it stands in a chain.
    pub link: Option<Link>,
    slots: Vec<(String, Arc<OpenResource>)>,
}

impl Bindings {
    pub fn add(&self, binding: Binding) -> u64 {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let mut bindings = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        bindings.insert(id, Arc::new(binding));
        id
    }

    pub fn get(&self, id: u64) -> Result<Arc<Binding>> {
        let bindings = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        bindings.get(&id).cloned().ok_or_else(|| Error::protocol(format!("there is no binding {id}")))
    }

    pub fn remove(&self, id: u64) {
        self.by_id.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl Binding {
    /// Checks settings and resources.
    pub fn new(plugin: &Plugin, resources: &Resources, request: &wire::BindStepRequest) -> Result<Self> {
        let step = plugin.find_step(&request.step).cloned().ok_or_else(|| {
            let steps = listed(plugin.steps.iter().map(|step| &*step.definition().name));
            Error::protocol(format!("this plugin has no step `{}`; it has {steps}", request.step))
        })?;
        let owner = format!("step `{}`", request.step);
        let bound = step.bind(&settings(&request.config_json, &owner)?)?;
        let slots = filled_slots(step.definition(), resources, &request.resources)?;
        let link = request.link.clone().map(Link::read).transpose()?;
        Ok(Self { step, bound, base: Path::new(&request.base).into(), link, slots })
    }

    /// The resources, in use until what is returned first is dropped.
    pub fn enter(&self) -> Result<(Vec<Use>, Vec<OpenSlot>)> {
        let uses = self.slots.iter().map(|(_, resource)| resource.enter()).collect::<Result<Vec<_>>>()?;
        let slots = self.slots.iter().zip(&uses).map(|((slot, _), entered)| OpenSlot {
            slot: slot.clone(),
            resource: entered.resource().resource(),
        });
        let slots = slots.collect();
        Ok((uses, slots))
    }
}

/// The object of a `config_json`.
pub(crate) fn settings(config_json: &str, owner: &str) -> Result<Object> {
    if config_json.is_empty() {
        return Ok(Object::new());
    }
    match serde_json::from_str(config_json) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err(Error::config(format!("the settings of {owner} are no JSON object"))),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            Err(Error::config(format!("the settings of {owner} are no JSON (line {line}, column {column})")))
        }
    }
}

fn filled_slots(
    step: &StepDefinition,
    resources: &Resources,
    given: &HashMap<String, u64>,
) -> Result<Vec<(String, Arc<OpenResource>)>> {
    if let Some(name) = given.keys().find(|name| step.slots.iter().all(|slot| slot.name != **name)) {
        let slots = listed(step.slots.iter().map(|slot| slot.name.as_str()));
        return Err(Error::config(format!("step `{}` has no slot `{name}`; it has {slots}", step.name)));
    }
    let mut filled = Vec::new();
    for slot in &step.slots {
        let (name, wanted) = (&slot.name, slot.resource);
        let Some(id) = given.get(name) else {
            if slot.required {
                let message = format!("step `{}` needs a `{wanted}` in the slot `{name}`", step.name);
                return Err(Error::config(message));
            }
            continue;
        };
        let resource = resources.get(*id)?;
        if resource.resource_type != wanted {
            return Err(Error::config(format!(
                "the slot `{name}` of step `{}` takes a `{wanted}`, but `{}` is a `{}`",
                step.name, resource.name, resource.resource_type
            )));
        }
        filled.push((name.clone(), resource));
    }
    Ok(filled)
}
