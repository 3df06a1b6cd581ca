//! The directory as operators and orchestrators treat it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use weir_core::schedule::PolicySource;
use weir_wasm::InstanceSpec;

use crate::fixture::{Node, put, servers};
use crate::guest::Guest;

fn version(version: &str) -> Vec<u8> {
    Guest { version: version.into(), ..Guest::default() }.build()
}

#[test]
fn a_file_that_is_written_slowly_is_used_when_it_is_whole() {
    let node = Node::new();
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_state(&hosted, "absent");
    // Nobody calls for a scan here: the events of the directory do.
    let bytes = version("1.0.0");
    fs::write(node.path("a.wasm"), &bytes).unwrap();
    node.wait_version(&hosted, "1.0.0");
}

#[test]
fn a_swap_of_links_as_kubernetes_does_it_is_a_new_version() {
    let node = Node::new();
    for (dir, v) in [("..1", "1.0.0"), ("..2", "2.0.0")] {
        fs::create_dir(node.path(dir)).unwrap();
        put(&node.path(dir).join("a.wasm"), &version(v));
    }
    symlink("..1", node.path("..data")).unwrap();
    symlink("..data/a.wasm", node.path("a.wasm")).unwrap();
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_version(&hosted, "1.0.0");
    symlink("..2", node.path("..new")).unwrap();
    fs::rename(node.path("..new"), node.path("..data")).unwrap();
    node.wait_version(&hosted, "2.0.0");
}

#[test]
fn a_link_that_leads_out_of_the_directory_is_refused() {
    let node = Node::new();
    put(&node.dir.path().join("outside.wasm"), &version("1.0.0"));
    symlink("../outside.wasm", node.path("a.wasm")).unwrap();
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    let status = node.wait_state(&hosted, "rejected");
    assert!(status.reason.contains("is not in the plugin directory"), "{}", status.reason);
}

#[test]
fn what_others_may_write_to_is_refused_unless_that_is_allowed() {
    let node = Node::new();
    put(&node.path("a.wasm"), &version("1.0.0"));
    fs::set_permissions(node.path("a.wasm"), fs::Permissions::from_mode(0o666)).unwrap();
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    let status = node.wait_state(&hosted, "rejected");
    assert!(status.reason.contains("chmod go-w"), "{}", status.reason);
    let Node { runtime, dir, .. } = node;
    drop((hosted, runtime));
    let node = Node::with(dir, |options| options.rules.writable_by_others = true);
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_version(&hosted, "1.0.0");
    drop(hosted);
    let Node { runtime, dir, .. } = node;
    drop(runtime);
    fs::set_permissions(dir.path().join("plugins"), fs::Permissions::from_mode(0o777)).unwrap();
    let node = Node::at(dir);
    node.changed.wait("the directory is refused", || {
        node.runtime.rescan(Duration::from_secs(9));
        node.runtime.directory_problem().is_some_and(|p| p.contains("mode 777"))
    });
}

#[test]
fn a_pipe_is_no_plugin_and_nobody_waits_for_it() {
    let node = Node::new();
    let fifo = node.path("a.wasm");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600), 0)
        .unwrap();
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    let status = node.wait_state(&hosted, "rejected");
    assert!(status.reason.contains("not a regular file"), "{}", status.reason);
    // The watcher goes on.
    fs::remove_file(&fifo).unwrap();
    node.put("a.wasm", &version("1.0.0"));
    node.wait_version(&hosted, "1.0.0");
}

#[test]
fn another_content_than_is_pinned_is_refused() {
    let node = Node::new();
    let pinned = version("1.0.0");
    let sha256 = {
        use sha2::Digest as _;
        weir_core::plugin::Digest(sha2::Sha256::digest(&pinned).into()).to_string()
    };
    node.put("a.wasm", &version("2.0.0"));
    let hosted = node.scheduler(InstanceSpec { sha256: Some(sha256.clone()), ..InstanceSpec::new("a.wasm") });
    let status = node.wait_state(&hosted, "rejected");
    assert!(status.reason.contains(&sha256), "{}", status.reason);
    node.put("a.wasm", &pinned);
    node.wait_version(&hosted, "1.0.0");
}

#[test]
fn a_deleted_file_serves_for_its_grace_period_and_not_longer() {
    let node =
        Node::with(tempfile::tempdir().unwrap(), |options| options.rules.grace = Duration::from_secs(3));
    node.put("a.wasm", &version("1.0.0"));
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_state(&hosted, "active");
    fs::remove_file(node.path("a.wasm")).unwrap();
    assert!(node.runtime.rescan(Duration::from_secs(9)));
    assert!(hosted.status().serving);
    // Back in time: nothing has happened.
    node.put("a.wasm", &version("1.0.0"));
    assert_eq!(hosted.status().generation, 1);
    fs::remove_file(node.path("a.wasm")).unwrap();
    node.wait_state(&hosted, "absent");
    assert!(!hosted.status().serving);
    assert_eq!(hosted.plan(&servers(1)), weir_core::schedule::Plan::Fallback);
}

#[test]
fn a_directory_that_is_deleted_and_made_again_is_watched_again() {
    let node = Node::new();
    node.put("a.wasm", &version("1.0.0"));
    let hosted = node.scheduler(InstanceSpec::new("a.wasm"));
    node.wait_version(&hosted, "1.0.0");
    fs::remove_dir_all(node.path("")).unwrap();
    // Without the directory nothing is known of the file, and what serves goes on.
    node.changed.wait("the directory is missed", || {
        node.runtime.rescan(Duration::from_secs(9));
        hosted.status().state == "rejected"
    });
    assert!(hosted.status().serving);
    fs::create_dir(node.path("")).unwrap();
    assert!(node.runtime.rescan(Duration::from_secs(9)));
    // From here on nobody calls for a scan.
    put(&node.path("a.wasm"), &version("2.0.0"));
    node.wait_version(&hosted, "2.0.0");
}
