//! What `wit-bindgen` makes of `wit/`. Authors do not see it: they see the types, re-exported beside the trait that
//! uses them, and they run without Wasm as well.
//!
//! Bindings are made once, for a world of everything, and each `export_*!` macro exports its part of it with the type
//! of its own world beside it ([`section`]). One crate cannot hold the bindings of two worlds that share an interface: the
//! macros that `wit-bindgen` makes would have one name.
#![allow(unsafe_code, reason = "generated: the canonical ABI passes pointers")]
#![allow(missing_docs, unreachable_pub, reason = "generated from wit/, which is documented")]
#![allow(clippy::undocumented_unsafe_blocks, clippy::indexing_slicing, reason = "generated")]
#![allow(clippy::allow_attributes_without_reason, clippy::unwrap_used, clippy::panic, reason = "generated")]
#![allow(clippy::needless_pass_by_value, clippy::semicolon_if_nothing_returned, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package weir:sdk;

        world everything {
            include weir:policy/scheduler-with-feedback@0.1.0;
            include weir:policy/agent-check@0.1.0;
            include weir:policy/dns-answers@0.1.0;
        }
    ",
    world: "weir:sdk/everything",
    generate_all,
    pub_export_macro: true,
    additional_derives: [PartialEq],
});

/// The encoded types of the worlds, made by the build script.
pub mod section {
    pub static SCHEDULER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/scheduler.bin"));
    pub static SCHEDULER_WITH_FEEDBACK: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/scheduler-with-feedback.bin"));
    pub static AGENT_CHECK: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent-check.bin"));
    pub static DNS_ANSWERS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dns-answers.bin"));
}
