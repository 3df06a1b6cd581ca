//! What of a request is hashed.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::value::Token;

/// What of a request is hashed: `{ header = "x-user" }`, `{ cookie = "session" }`, `"path"` or `"source"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// The value of a header. A request without it gets a random number.
    Header(Token),
    /// The value of a cookie. A request without it gets a random number.
    Cookie(Token),
    /// The path of the URL, without its query.
    Path,
    /// The address of the client, without its port.
    Source,
}

/// What completes "expected ...".
const FORMS: &str = "`{ header = \"NAME\" }`, `{ cookie = \"NAME\" }`, \"path\" or \"source\"";

// By hand, since the derived reader says "wanted exactly 1 element, found 0 elements" to an operator.
impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Form)
    }
}

struct Form;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    header: Option<Token>,
    cookie: Option<Token>,
}

impl<'de> Visitor<'de> for Form {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMS)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Key, E> {
        match text {
            "path" => Ok(Key::Path),
            "source" => Ok(Key::Source),
            _ => Err(E::custom(format!("`{text}` is no key: write {FORMS}"))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Key, A::Error> {
        match Table::deserialize(MapAccessDeserializer::new(map))? {
            Table { header: Some(name), cookie: None } => Ok(Key::Header(name)),
            Table { header: None, cookie: Some(name) } => Ok(Key::Cookie(name)),
            Table { header: None, cookie: None } => {
                Err(A::Error::custom(format!("the key is empty: write {FORMS}")))
            }
            Table { .. } => Err(A::Error::custom("a key is a header or a cookie, not both")),
        }
    }
}

impl JsonSchema for Key {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<Token>();
        let table = |field: &str| {
            json_schema!({
                "type": "object",
                "properties": { field: name.clone() },
                "required": [field],
                "additionalProperties": false,
            })
        };
        json_schema!({
            "oneOf": [table("header"), table("cookie"), { "enum": ["path", "source"] }],
            "x-weir-type": FORMS,
        })
    }
}
