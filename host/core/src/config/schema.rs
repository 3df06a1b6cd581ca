//! JSON schema and Markdown reference, made from the types of the sections, so that they cannot say anything else.

mod markdown;

use serde_json::Value;

use super::Fleet;

/// The JSON schema (draft 2020-12) of a fleet file, for editors. What holds between fields is not in it;
/// [`super::parse`] knows.
pub fn json_schema() -> String {
    format!("{:#}\n", schema())
}

/// The reference of every section and field with type, default and meaning, as Markdown.
pub fn reference() -> String {
    markdown::reference(&schema())
}

fn schema() -> Value {
    let mut schema = schemars::schema_for!(Fleet).to_value();
    without_null(&mut schema);
    schema
}

/// A default table as it would be written: what is absent from it is not there.
fn without_absent(default: &mut Value) {
    if let Value::Object(fields) = default {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(without_absent);
    }
}

/// TOML has no null: a field that may be absent is absent. What serde can read besides must not be offered by an editor.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("default").is_some_and(Value::is_null) {
                fields.shift_remove("default");
            }
            if let Some(default) = fields.get_mut("default") {
                without_absent(default);
            }
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(options)) = fields.get_mut("anyOf") {
                options.retain(|option| option.get("type").is_none_or(|kind| kind != "null"));
                if let [Value::Object(only)] = options.as_slice() {
                    let only = only.clone();
                    fields.shift_remove("anyOf");
                    for (name, value) in only {
                        fields.entry(name).or_insert(value);
                    }
                }
            }
            fields.values_mut().for_each(without_null);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_null),
        _ => {}
    }
}
