//! `#[derive(Config)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Expr, ExprLit, Field, Ident, Lit, Meta, Type};

use crate::attributes::{doc, named_fields, parts, plain_name, text_of};

struct Setting<'a> {
    field: &'a Ident,
    setting_type: &'a Type,
    name: String,
    doc: String,
    presence: Presence,
}

enum Presence {
    /// What the type says: an `Option` may be left out.
    OfType,
    Required,
    Default(TokenStream),
    /// Takes all settings that are not named.
    Rest,
}

pub fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = named_fields(input, "Config")?;
    let settings = fields.into_iter().map(setting).collect::<syn::Result<Vec<_>>>()?;
    let (rest, named): (Vec<_>, Vec<_>) = settings.iter().partition(|s| matches!(s.presence, Presence::Rest));
    if let [_, second, ..] = rest.as_slice() {
        return Err(syn::Error::new_spanned(second.field, "one field can take the rest"));
    }
    let config = &input.ident;
    let open = !rest.is_empty();
    let declared = named.iter().map(|setting| declaration(setting));
    let check = (!open).then(|| quote!(::heddle_sdk::__config::check_names(values, &fields)?;));
    let indices = 0..named.len();
    let named_fields: Vec<_> = named.iter().map(|setting| setting.field).collect();
    let names: Vec<_> = named.iter().map(|setting| &setting.name).collect();
    let rest_fields: Vec<_> = rest.iter().map(|setting| setting.field).collect();

    Ok(quote! {
        #[automatically_derived]
        impl ::heddle_sdk::Config for #config {
            const OPEN: bool = #open;

            fn fields() -> ::std::vec::Vec<::heddle_sdk::config::ConfigField> {
                ::std::vec![#(#declared),*]
            }

            fn read(
                values: &::heddle_sdk::config::Object,
            ) -> ::std::result::Result<Self, ::heddle_sdk::config::Problem> {
                let fields = <Self as ::heddle_sdk::Config>::fields();
                #check
                ::std::result::Result::Ok(Self {
                    #(#named_fields: ::heddle_sdk::__config::field(values, &fields[#indices])?,)*
                    #(#rest_fields: ::heddle_sdk::__config::rest(values, &fields)?,)*
                })
            }

            fn to_object(&self) -> ::heddle_sdk::config::Object {
                let mut object = ::heddle_sdk::config::Object::new();
                #(object.insert(#names.into(), ::heddle_sdk::config::Setting::to_json(&self.#named_fields));)*
                #(for (name, value) in &self.#rest_fields {
                    object.insert(name.clone(), ::heddle_sdk::config::Setting::to_json(value));
                })*
                object
            }
        }

        #[automatically_derived]
        impl ::heddle_sdk::config::Setting for #config {
            fn config_type() -> ::heddle_sdk::config::ConfigType {
                let fields = <Self as ::heddle_sdk::Config>::fields();
                ::heddle_sdk::config::ConfigType::of(::heddle_sdk::config::ConfigKind::Struct(fields))
            }

            fn read(
                value: &::heddle_sdk::config::Json,
            ) -> ::std::result::Result<Self, ::heddle_sdk::config::Problem> {
                let values = ::heddle_sdk::__config::object(value, <Self as ::heddle_sdk::Config>::fields)?;
                <Self as ::heddle_sdk::Config>::read(values)
            }

            fn to_json(&self) -> ::heddle_sdk::config::Json {
                ::heddle_sdk::config::Json::Object(::heddle_sdk::Config::to_object(self))
            }
        }
    })
}

/// The `ConfigField` of a setting.
fn declaration(setting: &Setting<'_>) -> TokenStream {
    let Setting { setting_type, name, doc, presence, .. } = setting;
    let default = match presence {
        Presence::Default(value) => quote! {{
            let default: #setting_type = #value;
            ::std::option::Option::Some(::heddle_sdk::config::Setting::to_json(&default))
        }},
        Presence::OfType => quote!(<#setting_type as ::heddle_sdk::config::Setting>::when_absent()),
        Presence::Required | Presence::Rest => quote!(::std::option::Option::None),
    };
    quote! {{
        let default: ::std::option::Option<::heddle_sdk::config::Json> = #default;
        ::heddle_sdk::config::ConfigField {
            name: #name.into(),
            config_type: <#setting_type as ::heddle_sdk::config::Setting>::config_type(),
            required: default.is_none(),
            default: default.unwrap_or_default(),
            secret: <#setting_type as ::heddle_sdk::config::Setting>::SECRET,
            doc: #doc.into(),
        }
    }}
}

fn setting(field: &Field) -> syn::Result<Setting<'_>> {
    let Some(ident) = &field.ident else {
        return Err(syn::Error::new_spanned(field, "a setting needs a name"));
    };
    let setting_type = &field.ty;
    let mut setting = Setting {
        field: ident,
        setting_type,
        name: plain_name(ident),
        doc: doc(&field.attrs),
        presence: Presence::OfType,
    };
    for part in parts(&field.attrs, "config")? {
        match part {
            Meta::Path(path) if path.is_ident("default") => {
                setting.presence = Presence::Default(quote!(::std::default::Default::default()));
            }
            Meta::Path(path) if path.is_ident("required") => setting.presence = Presence::Required,
            Meta::Path(path) if path.is_ident("rest") => setting.presence = Presence::Rest,
            Meta::NameValue(pair) if pair.path.is_ident("default") => {
                setting.presence = Presence::Default(default_value(setting_type, &pair.value));
            }
            Meta::NameValue(pair) if pair.path.is_ident("name") => setting.name = text_of(&pair.value)?,
            other => {
                let message =
                    "#[config(…)] takes `default`, `default = …`, `required`, `rest` and `name = \"…\"`";
                return Err(syn::Error::new_spanned(other, message));
            }
        }
    }
    Ok(setting)
}

/// A text in quotes becomes whatever the field can be made of from it, such as a `String`.
fn default_value(setting_type: &Type, value: &Expr) -> TokenStream {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            quote!(<#setting_type as ::std::convert::From<&str>>::from(#text))
        }
        other => quote!(#other),
    }
}
