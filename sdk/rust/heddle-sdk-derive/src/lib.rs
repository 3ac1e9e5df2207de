//! The derive macros of `heddle-sdk`: `Row`, `Config` and `Choice`. Their documentation is at the traits.

mod attributes;
mod choice;
mod config;
mod row;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct a row of a table: its fields are the columns. See `heddle_sdk::Row`.
#[proc_macro_derive(Row, attributes(row))]
pub fn derive_row(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    row::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct the settings of a step or a resource. See `heddle_sdk::Config`.
#[proc_macro_derive(Config, attributes(config))]
pub fn derive_config(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    config::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes an enum without data a setting that is one of a few values: the variants' names in snake case, or what
/// `#[choice("…")]` or `#[choice(1)]` says.
#[proc_macro_derive(Choice, attributes(choice))]
pub fn derive_choice(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    choice::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
