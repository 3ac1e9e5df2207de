//! `Plugin`: what a process offers under a namespace.

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Arc;

use crate::bound_step::AnyStep;
use crate::config::Config;
use crate::resource::{Resource, ResourceDefinition};
use crate::step::Step;

/// What a process offers under a namespace: the name that programs import.
///
/// ```no_run
/// use std::process::ExitCode;
/// use heddle_sdk::{Call, Plugin, Result, Step, Table};
///
/// fn identity(input: Table, _call: Call<()>) -> Result<Table> {
///     Ok(input)
/// }
///
/// fn main() -> ExitCode {
///     Plugin::new("tools").step(Step::map("identity", identity)).serve()
/// }
/// ```
pub struct Plugin {
    pub(crate) namespace: String,
    pub(crate) version: String,
    pub(crate) doc: String,
    pub(crate) environment: Vec<String>,
    pub(crate) steps: Vec<Arc<dyn AnyStep>>,
    pub(crate) resources: Vec<ResourceDefinition>,
}

impl Plugin {
    /// A plugin that offers nothing yet.
    #[must_use]
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            version: String::new(),
            doc: String::new(),
            environment: Vec::new(),
            steps: Vec::new(),
            resources: Vec::new(),
        }
    }

    /// Its version, such as `env!("CARGO_PKG_VERSION")`.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// What it is for, for users.
    #[must_use]
    pub fn doc(mut self, doc: &str) -> Self {
        doc.clone_into(&mut self.doc);
        self
    }

    /// The environment variables that it needs: a plugin gets no others than those of its declaration and the
    /// usual ones (`PATH`, `HOME`, …). They are set before any step or resource is used.
    #[must_use]
    pub fn environment<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.environment.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Adds a step.
    #[must_use]
    pub fn step<C: Config>(mut self, step: Step<C>) -> Self {
        self.steps.push(Arc::new(step));
        self
    }

    /// Adds a type of resource.
    #[must_use]
    pub fn resource<R: Resource>(mut self) -> Self {
        self.resources.push(ResourceDefinition::of::<R>());
        self
    }

    /// Serves the engine that started this process until it is gone. Started by hand, it prints what the plugin
    /// offers and how to use it. The exit status is 2 when the plugin contradicts itself.
    #[must_use]
    pub fn serve(self) -> ExitCode {
        crate::serve::serve(self)
    }

    pub(crate) fn find_step(&self, name: &str) -> Option<&Arc<dyn AnyStep>> {
        self.steps.iter().find(|step| &*step.definition().name == name)
    }

    pub(crate) fn find_resource(&self, name: &str) -> Option<&ResourceDefinition> {
        self.resources.iter().find(|resource| resource.name == name)
    }

    /// Where the plugin contradicts itself.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.namespace.trim().is_empty() || self.namespace.starts_with(['.', '/']) {
            let namespace = &self.namespace;
            problems.push(format!(
                "a namespace is a name such as \"security\" or \"team/risk\", not {namespace:?}"
            ));
        }
        let mut names = HashSet::new();
        for step in &self.steps {
            let step = step.definition();
            if !names.insert(step.name.to_string()) {
                problems.push(format!("step `{}` is registered twice", step.name));
            }
            for slot in &step.slots {
                if self.find_resource(slot.resource).is_none() {
                    let (name, resource) = (&step.name, slot.resource);
                    problems.push(format!(
                        "step `{name}` uses the resource `{resource}`, which is not registered; add it with \
                         Plugin::resource"
                    ));
                }
            }
        }
        let mut names = HashSet::new();
        for resource in &self.resources {
            if !names.insert(resource.name) {
                problems.push(format!("resource `{}` is registered twice", resource.name));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Call, Result, Table};

    struct Lost;

    impl Resource for Lost {
        const NAME: &'static str = "lost";
        type Config = ();

        fn open((): ()) -> Result<Self> {
            Ok(Self)
        }
    }

    #[test]
    fn contradictions_are_named() {
        let identity = |input: Table, _: Call<()>| Ok(input);
        let plugin = Plugin::new("")
            .step(Step::map("same", identity).slot::<Lost>("lost"))
            .step(Step::map("same", identity));
        let problems = plugin.problems().join("\n");
        assert!(problems.contains("a namespace is a name"));
        assert!(problems.contains("step `same` is registered twice"));
        assert!(problems.contains("uses the resource `lost`, which is not registered"));
    }
}
