use super::*;

#[test]
fn the_example_parses() {
    match parse("example.toml", EXAMPLE) {
        Ok(fleet) => assert_eq!(fleet.pools.len(), 1),
        Err(errors) => panic!("{errors}"),
    }
}
