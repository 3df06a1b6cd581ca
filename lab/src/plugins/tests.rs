//! The built files, as a host sees them.

use super::*;
use wit_component::{ComponentEncoder, DecodedWasm};

/// The one plugin that wants what no host offers.
const FOREIGN: &str = "foreign-import";

/// What a module imports and exports once it is a component.
struct Surface {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Surface {
    /// Encodes a module as the host does, which also checks every function of it against its world.
    fn of(file: &Path) -> Self {
        let module = std::fs::read(file).unwrap();
        let encoder = ComponentEncoder::default().validate(true).module(&module);
        let component = encoder.and_then(|mut encoder| encoder.encode());
        let component = component.unwrap_or_else(|error| panic!("{}: {error:#}", file.display()));
        let DecodedWasm::Component(resolve, world) = wit_component::decode(&component).unwrap() else {
            panic!("{} is no component", file.display());
        };
        let world = &resolve.worlds[world];
        Self {
            imports: world.imports.keys().map(|key| resolve.name_world_key(key)).collect(),
            exports: world.exports.keys().map(|key| resolve.name_world_key(key)).collect(),
        }
    }
}

#[test]
fn every_built_plugin_is_a_plugin_and_imports_what_the_host_offers() {
    let built = build(paths::root(), &mut |step| say::line(step)).unwrap();
    // One of each language, so that the loop below says something.
    assert!(["two-choices", "round-robin-c"].iter().all(|name| built.files.contains_key(*name)));
    for (name, file) in &built.files {
        let Surface { imports, exports } = Surface::of(file);
        let foreign: Vec<_> = imports.iter().filter(|import| !import.starts_with("weir:policy/")).collect();
        let wanted: &[&str] = if name == FOREIGN { &["weir:foreign/files@1.0.0"] } else { &[] };
        assert_eq!(foreign, wanted, "{name} imports");

        let kind = match name.as_str() {
            "wrong-world" | "http-status" | "agent-words" | "latency-shed" | "queue-depth" | "misjudge" => {
                "checking"
            }
            "failover" | "weighted" | "multifo" | "subset" | "sticky-subnet" | "geo" | "chain" => "answering",
            _ => "scheduling",
        };
        for interface in ["lifecycle", kind] {
            let interface = format!("weir:policy/{interface}@0.1.0");
            assert!(exports.contains(&interface), "{name} exports {exports:?}");
        }
        let learns = ["misbehave", "peak-ewma"].contains(&name.as_str());
        assert_eq!(
            exports.contains(&"weir:policy/feedback@0.1.0".into()),
            learns,
            "{name} exports {exports:?}"
        );
    }
}

#[test]
fn a_file_that_has_not_changed_is_left_alone_and_a_stranger_is_removed() {
    let folder = std::env::temp_dir().join(format!("weir-lab-publish-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (module, file, stranger) = (folder.join("module"), folder.join("a.wasm"), folder.join("b.wasm"));
    let written = |bytes: &str| {
        std::fs::write(&module, bytes).unwrap();
        publish(&module, &file).unwrap();
        (std::fs::read_to_string(&file).unwrap(), inode(&file))
    };
    let first = written("one");
    assert_eq!(written("one"), first);
    let second = written("two");
    assert_eq!(second.0, "two");
    assert_ne!(second.1, first.1);

    std::fs::write(&stranger, "old").unwrap();
    let kept = BTreeMap::from([("a".to_owned(), file.clone()), ("m".to_owned(), module.clone())]);
    remove_others(&folder, &kept).unwrap();
    assert!(file.exists() && !stranger.exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A file that was replaced by rename is another file.
fn inode(file: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.metadata().unwrap().ino()
}
