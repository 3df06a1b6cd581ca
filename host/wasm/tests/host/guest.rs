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
        let Self { update, pick, .. } = self;
        let feedback = match &self.on_result {
            None => String::new(),
            Some(body) => format!(
                r#"(func (export "weir:policy/feedback@0.1.0#on-result")
                     (param $server i32) (param $outcome i32) (param $latency i32) {body})"#
            ),
        };
        let functions = format!(
            r#"(func $free (export "cabi_post_weir:policy/scheduling@0.1.0#update") (param i32)
                (global.set $bump (i32.const 65536)))
              (func (export "weir:policy/scheduling@0.1.0#update")
                (param $servers i32) (param $length i32) (result i32) {update})
              (func $pick (export "weir:policy/scheduling@0.1.0#pick")
                (param $key i64) (param $attempt i32) (param $tried i64) (result i32) {pick})
              {feedback}"#
        );
        let world = if self.on_result.is_some() { "scheduler-with-feedback" } else { "scheduler" };
        Module {
            version: &self.version,
            imports: self.imports,
            pages: self.pages,
            start: &self.start,
            configure: &self.configure,
            functions: &functions,
            world,
            wit: self.world,
        }
        .build()
    }
}

/// What guests of all worlds have in common.
struct Module<'a> {
    version: &'a str,
    imports: &'a str,
    pages: u32,
    start: &'a str,
    configure: &'a str,
    functions: &'a str,
    world: &'a str,
    /// WIT of a world in place of it.
    wit: Option<(&'a str, &'a str)>,
}

impl Module<'_> {
    fn build(&self) -> Vec<u8> {
        let Self { version, imports, pages, start, configure, functions, .. } = self;
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
              (func (export "weir:policy/lifecycle@0.1.0#describe") (result i32) (i32.const 512))
              (func (export "weir:policy/lifecycle@0.1.0#configure")
                (param $text i32) (param $length i32) (result i32) {configure})
              {functions}
              (func $start {start})
              (start $start))"#,
            length = format_args!("\\{:02x}", version.len()),
        );
        let mut module = wat::parse_str(&wat).unwrap_or_else(|e| panic!("{e}\n{wat}"));
        let mut resolve = Resolve::default();
        let (mut package, _) = resolve.push_path("../../wit").unwrap();
        let mut world = self.world;
        if let Some((name, wit)) = self.wit {
            package = resolve.push_str("test.wit", wit).unwrap();
            world = name;
        }
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        module
    }
}

/// Bytes that a guest stores at 128, and then returns that address.
fn stored(bytes: &[u32], words: &[(u32, u32)]) -> String {
    let mut body = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        body += &format!("(i32.store8 (i32.const {}) (i32.const {byte})) ", 128 + at);
    }
    for (at, word) in words {
        body += &format!("(i32.store (i32.const {}) (i32.const {})) ", 128 + at, *word as i32);
    }
    body + "(i32.const 128)"
}

/// A guest of the world `agent-check`, as the body of its `evaluate`. Parameters: `$id`, `$state`, `$streak`, `$case`
/// (0 agent, 1 http, 2 tcp, 3 failed, 4 tick) and `$first` to `$fourth` of the observation.
#[derive(Debug, Clone)]
pub struct JudgeGuest {
    pub version: String,
    pub evaluate: String,
}

impl JudgeGuest {
    pub fn new(version: &str, evaluate: impl Into<String>) -> Self {
        Self { version: version.into(), evaluate: evaluate.into() }
    }

    pub fn build(&self) -> Vec<u8> {
        let functions = format!(
            r#"(func (export "weir:policy/checking@0.1.0#evaluate")
                (param $id i32) (param $name i32) (param $name_length i32) (param $state i32) (param $streak i32)
                (param $labels i32) (param $labels_length i32)
                (param $case i32) (param $first i32) (param $second i32) (param $third i32) (param $fourth i32)
                (result i32)
                (global.set $bump (i32.const 65536))
                {})"#,
            self.evaluate
        );
        plain("agent-check", &self.version, &functions)
    }
}

/// A verdict: `health` (0 up, 1 down), percent of the weight, both optional.
pub fn verdict(health: Option<u32>, percent: Option<u32>) -> String {
    let bytes = [0, 0, 0, 0, health.is_some().into(), health.unwrap_or(0), 0, 0, percent.is_some().into()];
    // No limit and no reason.
    stored(&bytes, &[(12, 0), (16, percent.unwrap_or(0)), (20, 0), (28, 0)])
}

/// A verdict with everything in it, all of it out of bounds: weight `absolute` 70,000 and 4 bytes of reason at 768.
pub fn verdict_of_everything() -> String {
    stored(
        &[0, 0, 0, 0, 1, 1, 1, 1, 1],
        &[(12, 1), (16, 70_000), (20, 1), (24, 30), (28, 1), (32, 768), (36, 4)],
    )
}

/// An error of 4 bytes: `test`.
pub fn error() -> String {
    stored(&[1], &[(4, 768), (8, 4)])
}

/// A guest of the world `dns-answers`. Parameters of `decide`: `$name`, `$type`, `$client`, `$client_length`, `$prefix`.
#[derive(Debug, Clone)]
pub struct ChooserGuest {
    pub version: String,
    pub update: String,
    pub decide: String,
    /// For all names but the first it answers `fallback`: of the names that are made up for a trial, some have fewer addresses
    /// than a guest names that always says the same.
    pub first_only: bool,
}

impl ChooserGuest {
    pub fn new(version: &str, decide: impl Into<String>) -> Self {
        Self { version: version.into(), update: String::new(), decide: decide.into(), first_only: true }
    }

    pub fn build(&self) -> Vec<u8> {
        let others = match self.first_only {
            true => format!("(if (local.get $name) (then (return {})))", block(&decision(1, 0))),
            false => String::new(),
        };
        let functions = format!(
            r#"(func (export "weir:policy/answering@0.1.0#update")
                (param $name i32) (param $name_length i32) (param $addresses i32) (param $length i32)
                (global.set $bump (i32.const 65536))
                {})
              (func (export "weir:policy/answering@0.1.0#decide")
                (param $name i32) (param $type i32) (param $client i32) (param $client_length i32)
                (param $prefix i32) (param $labels i32) (param $labels_length i32) (result i32)
                (global.set $bump (i32.const 65536))
                {others}
                {})"#,
            self.update, self.decide
        );
        plain("dns-answers", &self.version, &functions)
    }
}

/// These addresses, with this ttl, scope and lifetime.
pub fn addresses(indices: &[u32], ttl: u32, scope: u32, lifetime_ms: u32) -> String {
    let mut body = String::new();
    for (at, index) in indices.iter().enumerate() {
        body += &format!("(i32.store (i32.const {}) (i32.const {index})) ", 4096 + 4 * at);
    }
    let count = u32::try_from(indices.len()).unwrap();
    body += &stored(&[0], &[(4, 4096), (8, count), (12, ttl), (16, scope), (20, lifetime_ms)]);
    body
}

/// A body as one expression.
fn block(body: &str) -> String {
    format!("(block (result i32) {body})")
}

/// 1 is `fallback`, 2 is `none-up` with this case of `otherwise`.
pub fn decision(case: u32, otherwise: u32) -> String {
    stored(&[case, 0, 0, 0, otherwise], &[])
}

fn plain(world: &str, version: &str, functions: &str) -> Vec<u8> {
    let configure = answer(0, "(i32.const 0)");
    let module = Module {
        version,
        imports: "",
        pages: 4,
        start: "",
        configure: &configure,
        functions,
        world,
        wit: None,
    };
    module.build()
}
