//! `#[derive(Choice)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, Lit, Variant};

pub fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(syn::Error::new_spanned(&input.ident, "Choice is for enums without data"));
    };
    let choice = &input.ident;
    let variants: Vec<_> = data.variants.iter().map(|variant| &variant.ident).collect();
    let values = data.variants.iter().map(value).collect::<syn::Result<Vec<_>>>()?;

    Ok(quote! {
        #[automatically_derived]
        impl ::heddle_sdk::config::Setting for #choice {
            fn config_type() -> ::heddle_sdk::config::ConfigType {
                let choices = ::std::vec![#(::heddle_sdk::config::Json::from(#values)),*];
                ::heddle_sdk::config::ConfigType::of(::heddle_sdk::config::ConfigKind::Choice(choices))
            }

            fn read(
                value: &::heddle_sdk::config::Json,
            ) -> ::std::result::Result<Self, ::heddle_sdk::config::Problem> {
                #(if *value == #values {
                    return ::std::result::Result::Ok(Self::#variants);
                })*
                let wanted = <Self as ::heddle_sdk::config::Setting>::config_type();
                ::std::result::Result::Err(::heddle_sdk::config::Problem::wrong(value, &wanted))
            }

            fn to_json(&self) -> ::heddle_sdk::config::Json {
                match self {
                    #(Self::#variants => ::heddle_sdk::config::Json::from(#values)),*
                }
            }
        }
    })
}

/// The value that stands for a variant: a string or an int.
fn value(variant: &Variant) -> syn::Result<Lit> {
    if !matches!(variant.fields, Fields::Unit) {
        return Err(syn::Error::new_spanned(variant, "a choice has no data"));
    }
    match variant.attrs.iter().find(|attribute| attribute.path().is_ident("choice")) {
        None => {
            let name = snake_case(&variant.ident.to_string());
            Ok(Lit::Str(syn::LitStr::new(&name, variant.ident.span())))
        }
        Some(attribute) => match attribute.parse_args()? {
            value @ (Lit::Str(_) | Lit::Int(_)) => Ok(value),
            other => Err(syn::Error::new_spanned(other, "a choice is a text in quotes or a whole number")),
        },
    }
}

fn snake_case(name: &str) -> String {
    let mut result = String::new();
    for (i, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && i > 0 {
            result.push('_');
        }
        result.extend(letter.to_lowercase());
    }
    result
}
