//! Guests that are written by hand: core modules in the text format, with the metadata of their world, as
//! `cargo build --target wasm32-unknown-unknown` would leave them. Each test says only what its guest does otherwise.

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What a scheduler answers, as bodies of functions in the text format.
#[derive(Debug, Clone)]
pub struct Guest {
    pub version: String,
    pub imports: &'static str,
    pub pages: u32,
    pub start: String,
    pub configure: String,
    pub update: String,
    pub pick: String,
    pub on_result: Option<String>,
    /// WIT of a world in place of `scheduler`.
    pub world: Option<(&'static str, &'static str)>,
}

/// Stores a variant case and its payload at 128 and returns that address.
pub fn answer(case: u32, payload: &str) -> String {
    format!(
        "(i32.store8 (i32.const 128) (i32.const {case})) (i32.store (i32.const 132) {payload}) (i32.const 128)"
    )
}

/// A plan of these servers: `case` 0 is a table, 1 a cycle.
pub fn list(case: u32, servers: &[u32]) -> String {
    let mut body = String::new();
    for (at, server) in servers.iter().enumerate() {
        body += &format!("(i32.store (i32.const {}) (i32.const {server})) ", 4096 + 4 * at);
    }
    body += &format!("(i32.store (i32.const 136) (i32.const {})) ", servers.len());
    body + &answer(case, "(i32.const 4096)")
}

pub const SPIN: &str = "(loop $on (br $on)) unreachable";
pub const TRAP: &str = "unreachable";
/// Wants 64 MiB more.
pub const GROW: &str = "(drop (memory.grow (i32.const 1024))) unreachable";

impl Default for Guest {
    /// Asks per request and picks server 0; takes any configuration.
    fn default() -> Self {
        Self {
            version: "1.0.0".into(),
            imports: "",
            pages: 4,
            start: String::new(),
            configure: answer(0, "(i32.const 0)"),
            update: answer(2, "(i32.const 0)"),
            pick: answer(0, "(i32.const 0)"),
            on_result: None,
            world: None,
        }
    }
}

impl Guest {
    /// Picks this server, whatever is asked.
    pub fn picks(server: u32) -> Self {
        Self { pick: answer(0, &format!("(i32.const {server})")), ..Self::default() }
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        let Self { version, imports, pages, start, configure, update, pick, .. } = self;
        let feedback = match &self.on_result {
            None => String::new(),
            Some(body) => format!(
                r#"(func (export "weir:policy/feedback@0.1.0#on-result")
                     (param $server i32) (param $outcome i32) (param $latency i32) {body})"#
            ),
        };
        let length = version.len();
        let wat = format!(
            r#"(module {imports}
              (memory (export "memory") {pages})
              (global $bump (mut i32) (i32.const 65536))
              (global $count (mut i32) (i32.const 0))
              (data (i32.const 512) "\00\03\00\00\04\00\00\00\20\03\00\00{length}\00\00\00\00\03\00\00\04\00\00\00")
              (data (i32.const 768) "test")
              (data (i32.const 800) "{version}")
              (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $bump) (i32.const 7)) (i32.const -8)))
                (global.set $bump (i32.add (local.get $at) (local.get $size)))
                (local.get $at))
              (func $free (export "cabi_post_weir:policy/scheduling@0.1.0#update") (param i32)
                (global.set $bump (i32.const 65536)))
              (func (export "weir:policy/lifecycle@0.1.0#describe") (result i32) (i32.const 512))
              (func (export "weir:policy/lifecycle@0.1.0#configure")
                (param $text i32) (param $length i32) (result i32) {configure})
              (func (export "weir:policy/scheduling@0.1.0#update")
                (param $servers i32) (param $length i32) (result i32) {update})
              (func $pick (export "weir:policy/scheduling@0.1.0#pick")
                (param $key i64) (param $attempt i32) (param $tried i64) (result i32) {pick})
              {feedback}
              (func $start {start})
              (start $start))"#,
            length = format_args!("\\{length:02x}"),
        );
        let mut module = wat::parse_str(&wat).unwrap_or_else(|e| panic!("{e}\n{wat}"));
        let mut resolve = Resolve::default();
        let (mut package, _) = resolve.push_path("../../wit").unwrap();
        let mut world = if self.on_result.is_some() { "scheduler-with-feedback" } else { "scheduler" };
        if let Some((name, wit)) = self.world {
            package = resolve.push_str("test.wit", wit).unwrap();
            world = name;
        }
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        module
    }
}
