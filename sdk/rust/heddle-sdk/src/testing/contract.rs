//! What a step's declaration promises, checked on what it is given and what it returns.

use arrow_array::Array;
use arrow_schema::Field;

use super::{Outcome, needs_input};
use crate::error::{Error, Result};
use crate::row::{RowType, is_unknown};
use crate::step::{InputMode, Rows, StepDefinition};
use crate::table::Table;
use crate::type_text::type_name;

/// The input, when it fits the declaration.
pub(super) fn given<'a>(step: &StepDefinition, input: Option<&'a Table>) -> Result<Option<&'a Table>> {
    match input {
        Some(_) if step.input_mode == InputMode::None => {
            Err(Error::contract(format!("step `{}` takes no rows", step.name)))
        }
        None if needs_input(step.input_mode) => {
            Err(Error::contract(format!("step `{}` needs rows; give them with `input`", step.name)))
        }
        Some(table) => {
            check_columns(&format!("the input of step `{}`", step.name), &step.input, table)?;
            Ok(Some(table))
        }
        None => Ok(None),
    }
}

/// Checks what the step returned.
pub(super) fn check(step: &StepDefinition, input: Option<&Table>, outcome: &Outcome) -> Result<()> {
    let owner = format!("what step `{}` returned", step.name);
    if let Some(row) = &step.output {
        outcome.tables.iter().try_for_each(|table| check_columns(&owner, row, table))?;
    }
    let (Some(input), [table]) = (input, outcome.tables.as_slice()) else {
        return Ok(());
    };
    let (given, found) = (input.num_rows(), table.num_rows());
    match step.rows {
        Rows::Map => {
            let kept = given - outcome.rejected_rows().len();
            if found != given && found != kept {
                let allowed = if kept == given { given.to_string() } else { format!("{kept} or {given}") };
                return Err(Error::contract(format!(
                    "`{}` is a `map` step and was given {given} rows, so it returns {allowed} rows, not {found}",
                    step.name
                )));
            }
        }
        Rows::Filter if found > given => {
            return Err(Error::contract(format!(
                "`{}` is a `filter` step and was given {given} rows, so it cannot return {found}",
                step.name
            )));
        }
        _ => {}
    }
    Ok(())
}

fn check_columns(owner: &str, row: &RowType, table: &Table) -> Result<()> {
    row.schema().fields().iter().try_for_each(|field| check_column(owner, field, table))
}

fn check_column(owner: &str, field: &Field, table: &Table) -> Result<()> {
    let name = field.name();
    let array =
        table.array(name).map_err(|error| Error::contract(format!("{owner}: {}", error.message())))?;
    if is_unknown(field) {
        return Ok(());
    }
    if array.data_type() != field.data_type() {
        let found = type_name(array.data_type(), false);
        let wanted = type_name(field.data_type(), false);
        return Err(Error::contract(format!(
            "{owner} has `{name}` as {found}, but it is declared as {wanted}"
        )));
    }
    if !field.is_nullable() && array.null_count() > 0 {
        return Err(Error::contract(format!("{owner} has a null in `{name}`, which is not nullable")));
    }
    Ok(())
}
