//! Steps: functions over tables, and what the engine may assume of them.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::call::Call;
use crate::config::{Config, ConfigField};
use crate::error::{Error, Result};
use crate::resource::Resource;
use crate::row::{Row, RowType};
use crate::table::Table;

/// How the rows that a step returns relate to those that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Row i of the output is made of row i of the input; rows may be rejected.
    Map,
    /// Some of the input's rows, in their order.
    Filter,
    /// Each row of the input gives any number of rows.
    Flat,
    /// The table as a whole.
    Table,
}

impl Rows {
    /// As the protocol says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Filter => "filter",
            Self::Flat => "flat",
            Self::Table => "table",
        }
    }
}

/// Whether a step takes rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputMode {
    None,
    Required,
    Optional,
}

impl InputMode {
    /// As the protocol says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Required => "required",
            Self::Optional => "optional",
        }
    }
}

/// A step: a function with the settings `C`. It is made by the constructor for its kind, and described by the
/// methods that follow.
///
/// ```
/// use heddle_sdk::{Call, Config, Result, Row, Step, Table};
///
/// #[derive(Row)]
/// struct Price { net: f64 }
///
/// #[derive(Row)]
/// struct Taxed { tax: f64 }
///
/// #[derive(Config)]
/// struct Tax { rate: f64 }
///
/// fn tax(prices: Table, call: Call<Tax>) -> Result<Table> {
///     let prices = prices.rows::<Price>()?;
///     let tax = |price: Price| Taxed { tax: price.net * call.config().rate };
///     Table::from_rows(prices.into_iter().map(tax).collect())
/// }
///
/// let step = Step::map("tax", tax).input::<Price>().output::<Taxed>().passthrough().deterministic(true);
/// ```
pub struct Step<C> {
    pub(crate) definition: StepDefinition,
    pub(crate) run: Option<Run<C>>,
    pub(crate) infer: Option<Infer<C>>,
    pub(crate) check: Option<Check<C>>,
    config: PhantomData<fn() -> C>,
}

pub(crate) type Run<C> = Arc<dyn Fn(Option<Table>, Call<C>) -> Result<Output> + Send + Sync>;
pub(crate) type Infer<C> = Arc<dyn Fn(&C, &RowType) -> Result<RowType> + Send + Sync>;
pub(crate) type Check<C> = Arc<dyn Fn(&C) -> Result<()> + Send + Sync>;

/// What a step returned.
pub(crate) enum Output {
    Nothing,
    Table(Table),
    Stream(Box<dyn Iterator<Item = Result<Table>>>),
}

/// What a plugin says of a step, whatever the type of its settings.
#[derive(Clone)]
pub(crate) struct StepDefinition {
    pub name: Arc<str>,
    pub doc: String,
    pub input_mode: InputMode,
    pub input: RowType,
    pub output: Option<RowType>,
    pub output_from_config: bool,
    pub rows: Rows,
    pub passthrough: bool,
    pub deterministic: Option<bool>,
    pub idempotent: Option<bool>,
    pub effect: Option<bool>,
    pub config: Vec<ConfigField>,
    pub config_open: bool,
    pub slots: Vec<Slot>,
    pub runnable: bool,
}

#[derive(Clone)]
pub(crate) struct Slot {
    pub name: String,
    pub resource: &'static str,
    pub required: bool,
}

impl<C: Config> Step<C> {
    /// Row i of the output is made of row i of the input. Such a step may reject rows.
    #[must_use]
    pub fn map<F>(name: &str, function: F) -> Self
    where
        F: Fn(Table, Call<C>) -> Result<Table> + Send + Sync + 'static,
    {
        Self::over_rows(name, Rows::Map, function)
    }

    /// Keeps some of the input's rows, in their order.
    #[must_use]
    pub fn filter<F>(name: &str, function: F) -> Self
    where
        F: Fn(Table, Call<C>) -> Result<Table> + Send + Sync + 'static,
    {
        Self::over_rows(name, Rows::Filter, function)
    }

    /// Makes any number of rows of each row of the input.
    #[must_use]
    pub fn flat<F>(name: &str, function: F) -> Self
    where
        F: Fn(Table, Call<C>) -> Result<Table> + Send + Sync + 'static,
    {
        Self::over_rows(name, Rows::Flat, function)
    }

    /// Looks at the table as a whole.
    #[must_use]
    pub fn table<F>(name: &str, function: F) -> Self
    where
        F: Fn(Table, Call<C>) -> Result<Table> + Send + Sync + 'static,
    {
        Self::over_rows(name, Rows::Table, function)
    }

    /// Makes rows of nothing. The iterator that it returns is asked for one table after the other, so memory holds
    /// one at a time; all have the same columns.
    #[must_use]
    pub fn source<F, I>(name: &str, function: F) -> Self
    where
        F: Fn(Call<C>) -> Result<I> + Send + Sync + 'static,
        I: IntoIterator<Item = Result<Table>>,
        I::IntoIter: 'static,
    {
        let run: Run<C> = Arc::new(move |_, call| Ok(Output::Stream(Box::new(function(call)?.into_iter()))));
        Self::new(name, InputMode::None, Rows::Table, Some(run))
    }

    /// Leaves something in the world and returns no rows.
    #[must_use]
    pub fn sink<F>(name: &str, function: F) -> Self
    where
        F: Fn(Table, Call<C>) -> Result<()> + Send + Sync + 'static,
    {
        let run: Run<C> = Arc::new(move |input, call| {
            function(given(input)?, call)?;
            Ok(Output::Nothing)
        });
        let mut step = Self::new(name, InputMode::Required, Rows::Table, Some(run));
        step.definition.output = None;
        step.effect(true)
    }

    /// A step that may stand at the head of a statement, without rows, or as a stage.
    #[must_use]
    pub fn optional_input<F>(name: &str, function: F) -> Self
    where
        F: Fn(Option<Table>, Call<C>) -> Result<Table> + Send + Sync + 'static,
    {
        let run: Run<C> = Arc::new(move |input, call| Ok(Output::Table(function(input, call)?)));
        Self::new(name, InputMode::Optional, Rows::Table, Some(run))
    }

    /// A step without a body: programs that use it check, but do not run.
    #[must_use]
    pub fn declared(name: &str) -> Self {
        Self::new(name, InputMode::Required, Rows::Table, None)
    }

    /// What it does, for users.
    #[must_use]
    pub fn doc(mut self, doc: &str) -> Self {
        doc.clone_into(&mut self.definition.doc);
        self
    }

    /// The columns that it needs. Without this, it takes any.
    #[must_use]
    pub fn input<R: Row>(self) -> Self {
        self.input_row(RowType::of::<R>())
    }

    /// The columns that it returns. Without this, the data tells.
    #[must_use]
    pub fn output<R: Row>(self) -> Self {
        self.output_row(RowType::of::<R>())
    }

    /// The columns that it needs, where no struct names them.
    #[must_use]
    pub fn input_row(mut self, row: RowType) -> Self {
        self.definition.input = row;
        self
    }

    /// The columns that it returns, where no struct names them.
    #[must_use]
    pub fn output_row(mut self, row: RowType) -> Self {
        self.definition.output = Some(row);
        self
    }

    /// The columns that it returns follow from its settings and its input's row. The function must not change
    /// anything in the world: the engine calls it to check programs.
    #[must_use]
    pub fn output_from_config<F>(mut self, infer: F) -> Self
    where
        F: Fn(&C, &RowType) -> Result<RowType> + Send + Sync + 'static,
    {
        self.definition.output_from_config = true;
        self.infer = Some(Arc::new(infer));
        self
    }

    /// Checks settings beyond their types; its error refuses them. [`Error::config`] names the setting.
    #[must_use]
    pub fn check<F>(mut self, check: F) -> Self
    where
        F: Fn(&C) -> Result<()> + Send + Sync + 'static,
    {
        self.check = Some(Arc::new(check));
        self
    }

    /// Columns that it does not name travel through unchanged.
    #[must_use]
    pub fn passthrough(mut self) -> Self {
        self.definition.passthrough = true;
        self
    }

    /// Whether the same input and settings give the same output.
    #[must_use]
    pub fn deterministic(mut self, deterministic: bool) -> Self {
        self.definition.deterministic = Some(deterministic);
        self
    }

    /// Whether a second call with the same input leaves the world as the first one did.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.definition.idempotent = Some(idempotent);
        self
    }

    /// Whether it leaves something in the world.
    #[must_use]
    pub fn effect(mut self, effect: bool) -> Self {
        self.definition.effect = Some(effect);
        self
    }

    /// It needs a resource, which programs give as `<slot=name>`.
    #[must_use]
    pub fn slot<R: Resource>(self, slot: &str) -> Self {
        self.with_slot::<R>(slot, true)
    }

    /// It can do without this resource.
    #[must_use]
    pub fn optional_slot<R: Resource>(self, slot: &str) -> Self {
        self.with_slot::<R>(slot, false)
    }

    fn with_slot<R: Resource>(mut self, slot: &str, required: bool) -> Self {
        self.definition.slots.push(Slot { name: slot.to_owned(), resource: R::NAME, required });
        self
    }

    fn over_rows<F>(name: &str, rows: Rows, function: F) -> Self
    where
        F: Fn(Table, Call<C>) -> Result<Table> + Send + Sync + 'static,
    {
        let run: Run<C> = Arc::new(move |input, call| Ok(Output::Table(function(given(input)?, call)?)));
        Self::new(name, InputMode::Required, rows, Some(run))
    }

    fn new(name: &str, input_mode: InputMode, rows: Rows, run: Option<Run<C>>) -> Self {
        let definition = StepDefinition {
            name: name.into(),
            doc: String::new(),
            input_mode,
            input: RowType::any(),
            output: Some(RowType::any()),
            output_from_config: false,
            rows,
            passthrough: false,
            deterministic: None,
            idempotent: None,
            effect: None,
            config: C::fields(),
            config_open: C::OPEN,
            slots: Vec::new(),
            runnable: run.is_some(),
        };
        Self { definition, run, infer: None, check: None, config: PhantomData }
    }
}

fn given(input: Option<Table>) -> Result<Table> {
    input.ok_or_else(|| Error::protocol("the call came without the rows that the step needs"))
}
