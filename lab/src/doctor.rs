//! `cargo lab doctor`: what this machine can do, what it lacks, and how to get that. Changes nothing.

use anyhow::Result;

use crate::{kernel, machine, paths, say};

/// A finding: what was looked for, what is there, what it is for, how to get it.
struct Finding {
    what: &'static str,
    found: Option<String>,
    needed_for: &'static str,
    remedy: &'static str,
}

/// Prints what was found. Ends with an error where `up` and `test` could not do without.
pub(crate) fn run() -> Result<()> {
    let findings = look();
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|finding| {
            let (found, remedy) = match &finding.found {
                Some(found) => (found.clone(), String::new()),
                None => ("missing".to_owned(), finding.remedy.to_owned()),
            };
            vec![finding.what.to_owned(), found, finding.needed_for.to_owned(), remedy]
        })
        .collect();
    print!("{}", say::table(&["what", "found", "needed for", "how to get it"], &rows));
    let lacking: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.found.is_none() && finding.needed_for.contains("up, test"))
        .map(|finding| finding.what)
        .collect();
    if lacking.is_empty() {
        println!("\nThis machine is ready for `cargo lab up` and `cargo lab test`.");
        println!("The lab of all tiers would run in {}.", kernel::Kernel::choose().what());
    } else {
        println!("\n`cargo lab up` and `cargo lab test` lack: {}.", lacking.join(", "));
        println!("As root on Debian they install that themselves.");
    }
    Ok(())
}

fn look() -> Vec<Finding> {
    let yes = |present: bool| present.then(|| "yes".to_owned());
    let version = |name: &str, arguments: &[&str]| {
        let program = machine::program(name)?;
        let text = machine::answer(program, arguments).unwrap_or_default();
        // Version lines differ in everything but that the first word with a digit and a dot is the version.
        let version = text
            .split_whitespace()
            .find(|word| word.contains('.') && word.contains(|c: char| c.is_ascii_digit()));
        Some(version.unwrap_or("yes").trim_matches([',', '(', ')']).to_owned())
    };
    let wasm = if machine::rustup_wasm() {
        Some("from rustup".to_owned())
    } else {
        machine::debian_wasm().then(|| "from Debian's rustc-web".to_owned())
    };
    let tool = |what, found, needed_for, remedy| Finding { what, found, needed_for, remedy };
    let mut findings = vec![
        tool("rustc", version("rustc", &["--version"]), "up, test, bench", "https://rustup.rs"),
        tool(
            "C compiler",
            version("cc", &["-dumpfullversion", "-dumpversion"]),
            "up, test, bench",
            "apt-get install gcc libc6-dev",
        ),
        tool("cmake", version("cmake", &["--version"]), "up, test, bench", "apt-get install cmake"),
        tool(
            "Wasm target",
            wasm,
            "up, test, bench",
            "rustup target add wasm32-unknown-unknown, or apt-get install rustc-web rust-web-src lld-19",
        ),
        tool(
            "clang-19",
            version("clang-19", &["--version"]),
            "up, test (the plugin in C)",
            "apt-get install clang-19",
        ),
        tool(
            "lld-19",
            version("wasm-ld-19", &["--version"]),
            "up, test (the plugin in C)",
            "apt-get install lld-19",
        ),
        tool(
            "root",
            yes(machine::is_root()),
            "installing packages",
            "run as root, or install the packages above by hand",
        ),
        tool("haproxy", version("haproxy", &["-v"]), "bench proxy", "unpacked by the bench below target/"),
        tool("nginx", version("nginx", &["-v"]), "bench proxy", "unpacked by the bench below target/"),
        tool(
            "wrk",
            yes(machine::program("wrk").is_some()),
            "bench proxy",
            "unpacked by the bench below target/",
        ),
        tool("taskset", version("taskset", &["--version"]), "bench proxy", "apt-get install util-linux"),
    ];
    findings.extend(for_lab());
    findings
}

/// What carries the lab of all tiers.
fn for_lab() -> Vec<Finding> {
    let mut findings = vec![];
    for name in kernel::NEEDED {
        findings.push(Finding {
            what: name,
            found: machine::kernel_module(name).then(|| "in this kernel".to_owned()),
            needed_for: "up on this machine's own kernel",
            remedy: "not needed: the user-mode kernel has it",
        });
    }
    let program = kernel::user_mode_program();
    findings.push(Finding {
        what: "user-mode kernel",
        found: program.map(|program| paths::short(&program)),
        needed_for: "up, where this kernel lacks any of the above",
        remedy: "unpacked by `cargo lab up` below target/ (package user-mode-linux)",
    });
    let memory = kernel::shared_memory();
    findings.push(Finding {
        what: "/dev/shm",
        found: (memory >= u64::from(kernel::MEMORY)).then(|| format!("{memory} MiB")),
        needed_for: "memory of the user-mode kernel",
        remedy: "mount -o remount,size=8G /dev/shm; without it the memory is a file below target/, which is slower",
    });
    for name in ["unshare", "nsenter", "setpriv"] {
        findings.push(Finding {
            what: name,
            found: machine::program(name).map(|program| program.display().to_string()),
            needed_for: "up (nodes are namespaces)",
            remedy: "apt-get install util-linux",
        });
    }
    findings
}
