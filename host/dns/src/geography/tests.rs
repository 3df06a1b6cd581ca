//! Against databases that are written here, byte by byte by the specification of the format (version 2.0).

use super::*;

/// A value of a database.
enum Data<'d> {
    Text(&'d str),
    Short(u16),
    Number(u32),
    Long(u64),
    Map(&'d [(&'d str, Data<'d>)]),
    List(&'d [Data<'d>]),
}

fn write(data: &Data<'_>, out: &mut Vec<u8>) {
    match data {
        Data::Text(text) => {
            out.push(2 << 5 | u8::try_from(text.len()).ok().filter(|length| *length < 29).unwrap());
            out.extend_from_slice(text.as_bytes());
        }
        Data::Short(number) => {
            out.push(5 << 5 | 2);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Data::Long(number) => {
            // Types beyond 7 have a byte of their own.
            out.extend_from_slice(&[8, 9 - 7]);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Data::Number(number) => {
            out.push(6 << 5 | 4);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Data::Map(fields) => {
            out.push(7 << 5 | u8::try_from(fields.len()).unwrap());
            for (name, value) in *fields {
                write(&Data::Text(name), out);
                write(value, out);
            }
        }
        Data::List(elements) => {
            out.extend_from_slice(&[u8::try_from(elements.len()).unwrap(), 11 - 7]);
            elements.iter().for_each(|element| write(element, out));
        }
    }
}

/// A database in which all of 128.0.0.0/1 has this record, and nothing else has any.
fn database(record: &Data<'_>) -> Vec<u8> {
    const NODES: u32 = 1;
    // One node, two records of 24 bits: on the left "nothing", on the right the first byte of data.
    let mut out = vec![0, 0, 1, 0, 0, 1 + 16];
    out.extend_from_slice(&[0; 16]);
    write(record, &mut out);
    out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    let metadata = [
        ("node_count", Data::Number(NODES)),
        ("record_size", Data::Short(24)),
        ("ip_version", Data::Short(4)),
        ("database_type", Data::Text("Test")),
        ("languages", Data::List(&[])),
        ("binary_format_major_version", Data::Short(2)),
        ("binary_format_minor_version", Data::Short(0)),
        ("build_epoch", Data::Long(7)),
        ("description", Data::Map(&[("en", Data::Text("made by a test"))])),
    ];
    write(&Data::Map(&metadata), &mut out);
    out
}

const RECORD: Data<'_> = Data::Map(&[
    ("autonomous_system_number", Data::Number(64500)),
    ("country", Data::Map(&[("iso_code", Data::Text("DE"))])),
    ("subdivisions", Data::List(&[Data::Map(&[("iso_code", Data::Text("BE"))])])),
]);

fn geography(bytes: &[u8], labels: &[(&str, &str)]) -> Result<Geography, GeographyError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("networks.mmdb");
    std::fs::write(&file, bytes).unwrap();
    let labels = labels.iter().map(|(name, way)| ((*name).to_owned(), (*way).to_owned())).collect();
    Geography::read(&file, &labels)
}

fn labels(geography: &Geography, client: &str) -> Vec<(String, String)> {
    geography.labels(client.parse().unwrap()).to_vec()
}

#[test]
fn a_client_has_the_labels_whose_places_its_network_has() {
    let usual = weir_core::config::Geography::usual_labels();
    let usual: Vec<(&str, &str)> = usual.iter().map(|(name, way)| (name.as_str(), way.as_str())).collect();
    let geography = geography(&database(&RECORD), &usual).unwrap();
    let known = [("asn", "64500"), ("country", "DE"), ("region", "BE")];
    assert_eq!(labels(&geography, "203.0.113.1"), known.map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(labels(&geography, "10.0.0.1"), [], "a network that is not in it");
    assert_eq!(labels(&geography, "2001:db8::1"), [], "a family that it does not have");
    assert_eq!(geography.to_string(), "networks by Test, build 7");
}

#[test]
fn a_way_that_leads_to_no_value_is_no_label() {
    let ways =
        ["country", "subdivisions", "subdivisions.1.iso_code", "country.iso_code.x", "country.0", "x.y"];
    let named: Vec<(&str, &str)> = ways.iter().map(|way| (*way, *way)).collect();
    let geography = geography(&database(&RECORD), &named).unwrap();
    assert_eq!(labels(&geography, "203.0.113.1"), []);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_so_is_half_of_one() {
    let whole = database(&RECORD);
    for wrong in [&b"no database"[..], &[], &whole[..whole.len() - 9], &whole[20..]] {
        let error = geography(wrong, &[]).unwrap_err().to_string();
        assert!(error.contains("networks.mmdb: "), "{error}");
    }
}
