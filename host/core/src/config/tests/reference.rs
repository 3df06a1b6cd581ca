//! The schema, the reference and the example say the same, since all come from the types or are checked against them.

use serde_json::Value;

use super::*;

fn schema() -> Value {
    serde_json::from_str(&json_schema()).unwrap()
}

/// Every field of every section, with the name of the section's type.
fn fields() -> Vec<(String, String, Value)> {
    let schema = schema();
    let sections =
        schema["$defs"].as_object().unwrap().iter().map(|(name, section)| (name.clone(), section.clone()));
    let of = |(name, section): (String, Value)| {
        let fields = section["properties"].as_object().cloned().unwrap_or_default();
        fields.into_iter().map(move |(field, value)| (name.clone(), field, value)).collect::<Vec<_>>()
    };
    sections.chain([("Fleet".to_owned(), schema.clone())]).flat_map(of).collect()
}

#[test]
fn every_field_is_explained_and_every_section_closed() {
    assert!(fields().len() > 50);
    for (section, field, schema) in fields() {
        assert!(
            schema["description"].as_str().is_some_and(|text| text.ends_with(['.', '`'])),
            "{section}.{field}"
        );
    }
    for (name, section) in schema()["$defs"].as_object().unwrap() {
        if section.get("properties").is_some() {
            assert_eq!(section["additionalProperties"], false, "{name}");
        }
    }
}

#[test]
fn the_schema_offers_no_null() {
    let text = json_schema();
    assert!(!text.contains("null"), "{text}");
}

#[test]
fn the_reference_has_a_row_for_every_field_and_a_heading_for_every_table() {
    let page = reference();
    for (section, field, _) in fields() {
        assert!(page.contains(&format!("| `{field}` |")), "{section}.{field}");
    }
    for heading in [
        "[paths]",
        "[nodes.NAME]",
        "[l4.check]",
        "[bgp]",
        "[[bgp.neighbors]]",
        "[pools.NAME.check]",
        "[[pools.NAME.servers]]",
        "[services.NAME]",
    ] {
        assert!(page.contains(&format!("\n## `{heading}`\n")), "{heading}");
    }
    let servers = page.split_once("\n## `[[pools.NAME.servers]]`\n").map_or("", |(_, section)| section);
    let row = servers.lines().find(|line| line.starts_with("| `weight` |"));
    assert_eq!(
        row,
        Some(
            "| `weight` | whole number, 0 to 256 | `1` | Its share of the requests, relative to the other servers of \
             the pool. 0: no new requests. |"
        )
    );
}

#[test]
fn the_example_has_every_field_and_its_values_are_the_defaults() {
    let fleet = good(EXAMPLE);
    let table: toml::Table = EXAMPLE.parse().unwrap();
    let mut written = Vec::new();
    names(&toml::Value::Table(table), &mut written);
    for (section, field, _) in fields() {
        assert!(written.contains(&field), "the example lacks {section}.{field}");
    }
    assert_eq!((fleet.paths.clone(), fleet.log.clone()), (Paths::default(), Log::default()));
    assert_eq!((fleet.metrics.clone(), fleet.agent.clone()), (Metrics::default(), Agent::default()));
    assert_eq!(fleet.drain, Drain::default());
    assert_eq!(fleet.pools["web"].timeouts, Timeouts::default());
    assert_eq!(fleet.services["www"].client_timeouts, ClientTimeouts::default());
    let small = good(SMALL);
    let (pool, other) = (&fleet.pools["web"], &small.pools["web"]);
    assert_eq!(
        (pool.retries, pool.send_proxy, pool.slow_start),
        (other.retries, other.send_proxy, other.slow_start)
    );
}

fn names(value: &toml::Value, found: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(name, value)| {
            found.push(name.clone());
            names(value, found);
        }),
        toml::Value::Array(list) => list.iter().for_each(|value| names(value, found)),
        _ => {}
    }
}
