//! `#[derive(Row)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{DeriveInput, Meta, Type};

use crate::attributes::{named_fields, parts, plain_name, text_of};

struct Column<'a> {
    field: &'a syn::Ident,
    values: syn::Ident,
    name: String,
    column_type: &'a Type,
}

pub fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let open = is_open(input)?;
    let columns = columns(input)?;
    let row = &input.ident;
    let (generics, arguments, conditions) = input.generics.split_for_impl();

    let fields: Vec<_> = columns.iter().map(|column| column.field).collect();
    let values: Vec<_> = columns.iter().map(|column| &column.values).collect();
    let names: Vec<_> = columns.iter().map(|column| &column.name).collect();
    let types: Vec<_> = columns.iter().map(|column| column.column_type).collect();
    let indices = 0..columns.len();

    Ok(quote! {
        #[automatically_derived]
        impl #generics ::heddle_sdk::Row for #row #arguments #conditions {
            const OPEN: bool = #open;

            fn fields() -> ::std::vec::Vec<::heddle_sdk::arrow::schema::Field> {
                ::std::vec![#(::heddle_sdk::__row::field::<#types>(#names)),*]
            }

            fn from_columns(
                columns: &[::heddle_sdk::arrow::array::ArrayRef],
                num_rows: usize,
            ) -> ::heddle_sdk::Result<::std::vec::Vec<Self>> {
                #(let mut #values = ::heddle_sdk::__row::read::<#types>(columns, #indices, #names)?;)*
                let mut rows = ::std::vec::Vec::with_capacity(num_rows);
                for _ in 0..num_rows {
                    rows.push(Self {
                        #(#fields: #values.next().expect("a column is as long as its batch")),*
                    });
                }
                ::std::result::Result::Ok(rows)
            }

            fn into_columns(
                rows: ::std::vec::Vec<Self>,
            ) -> ::heddle_sdk::Result<::std::vec::Vec<::heddle_sdk::arrow::array::ArrayRef>> {
                #(let mut #values = ::std::vec::Vec::with_capacity(rows.len());)*
                for row in rows {
                    #(#values.push(row.#fields);)*
                }
                ::std::result::Result::Ok(::std::vec![
                    #(::heddle_sdk::__row::write::<#types>(#values)?),*
                ])
            }
        }

        #[automatically_derived]
        impl #generics ::heddle_sdk::Value for #row #arguments #conditions {
            fn field(name: &str) -> ::heddle_sdk::arrow::schema::Field {
                let fields = <Self as ::heddle_sdk::Row>::fields();
                let data_type = ::heddle_sdk::arrow::schema::DataType::Struct(fields.into());
                ::heddle_sdk::arrow::schema::Field::new(name, data_type, false)
            }

            fn read(
                array: &dyn ::heddle_sdk::arrow::array::Array,
            ) -> ::heddle_sdk::Result<::std::vec::Vec<::std::option::Option<Self>>> {
                ::heddle_sdk::__row::read_struct(array)
            }

            fn array(
                values: ::std::vec::Vec<::std::option::Option<Self>>,
            ) -> ::heddle_sdk::Result<::heddle_sdk::arrow::array::ArrayRef> {
                ::heddle_sdk::__row::write_struct(values)
            }
        }
    })
}

fn is_open(input: &DeriveInput) -> syn::Result<bool> {
    let mut open = false;
    for part in parts(&input.attrs, "row")? {
        match part {
            Meta::Path(path) if path.is_ident("open") => open = true,
            other => {
                return Err(syn::Error::new_spanned(other, "`open` is all that #[row(…)] takes on a struct"));
            }
        }
    }
    Ok(open)
}

fn columns(input: &DeriveInput) -> syn::Result<Vec<Column<'_>>> {
    let mut columns = Vec::new();
    for field in named_fields(input, "Row")? {
        let Some(name) = &field.ident else { continue };
        let mut column = Column {
            field: name,
            values: format_ident!("values_of_{}", plain_name(name)),
            name: plain_name(name),
            column_type: &field.ty,
        };
        for part in parts(&field.attrs, "row")? {
            match part {
                Meta::NameValue(pair) if pair.path.is_ident("name") => column.name = text_of(&pair.value)?,
                other => {
                    let message = "`name = \"…\"` is all that #[row(…)] takes on a field";
                    return Err(syn::Error::new_spanned(other, message));
                }
            }
        }
        columns.push(column);
    }
    Ok(columns)
}
