//! What the derives read from a type: its fields, names and documentation.

use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::{Attribute, Data, DeriveInput, Expr, ExprLit, Field, Fields, Ident, Lit, Meta, Token};

/// The fields of a struct with named fields, or of one without any.
pub fn named_fields<'a>(input: &'a DeriveInput, derive: &str) -> syn::Result<Vec<&'a Field>> {
    if let Data::Struct(data) = &input.data {
        match &data.fields {
            Fields::Named(fields) => return Ok(fields.named.iter().collect()),
            Fields::Unit => return Ok(Vec::new()),
            Fields::Unnamed(_) => {}
        }
    }
    Err(syn::Error::new_spanned(&input.ident, format!("{derive} is for structs with named fields")))
}

/// The field's name, without `r#`.
pub fn plain_name(name: &Ident) -> String {
    name.unraw().to_string()
}

/// The documentation comment as one text.
pub fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The parts of `#[name(a, b = c)]`.
pub fn parts(attributes: &[Attribute], name: &str) -> syn::Result<Vec<Meta>> {
    let mut result = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
        result.extend(attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?);
    }
    Ok(result)
}

/// The text of `name = "text"`.
pub fn text_of(expression: &Expr) -> syn::Result<String> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.value()),
        _ => Err(syn::Error::new_spanned(expression, "a text in quotes is wanted here")),
    }
}
