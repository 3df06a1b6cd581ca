//! Clients in a process of their own, in whatever network namespace the command puts them, seen from the program that
//! drives them.

#![allow(
    dead_code,
    reason = "an interface for programs that disturb a lab under clients; not each uses all of it"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Plan;
use super::line::Line;
use super::timeline::{Mark, Second, Timeline};

/// Patience with the clients' own answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// The files of one run of clients.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// The plan, JSON.
    pub(crate) spec: PathBuf,
    /// The time line, JSON.
    pub(crate) json: PathBuf,
    /// The time line, to look at.
    pub(crate) svg: PathBuf,
}

impl Files {
    /// Writes the plan as `FOLDER/NAME.plan.json` and names the results beside it.
    pub(crate) fn write(folder: &Path, name: &str, plan: &Plan) -> Result<Self> {
        plan.check()?;
        let file = |end: &str| folder.join(format!("{name}.{end}"));
        let files = Self { spec: file("plan.json"), json: file("clients.json"), svg: file("clients.svg") };
        std::fs::write(&files.spec, serde_json::to_vec_pretty(plan)?)
            .with_context(|| format!("cannot write {}", files.spec.display()))?;
        Ok(files)
    }

    /// Arguments of this program that run the plan.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        [
            "clients",
            "--json",
            "--spec",
            &text(&self.spec),
            "--out",
            &text(&self.json),
            "--svg",
            &text(&self.svg),
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

/// Clients that run. Dropped, they are killed.
pub(crate) struct Running {
    child: Child,
    orders: ChildStdin,
    files: Files,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    seconds: Vec<Second>,
    marks: Vec<Mark>,
    /// No line will come any more.
    over: bool,
}

impl Seen {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` finds something. `None` where the clients ended or the time is up before.
    fn wait<T>(&self, patience: Duration, mut look: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let until = Instant::now() + patience;
        let mut state = self.state();
        loop {
            if let Some(found) = look(&state) {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if state.over || left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Running {
    /// Starts `command`, which is this program with [`Files::arguments`], in its namespace. Its standard error is left
    /// as the caller set it.
    pub(crate) fn start(mut command: Command, files: Files) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start clients: {}", command.get_program().display()))?;
        let (Some(orders), Some(lines)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("clients: no pipes");
        };
        let seen = Arc::new(Seen::default());
        let seeing = Arc::clone(&seen);
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines() {
                let Ok(line) = line else { break };
                match serde_json::from_str(&line) {
                    Ok(Line::Second(second)) => seeing.state().seconds.push(second),
                    Ok(Line::Marked(mark)) => seeing.state().marks.push(mark),
                    Ok(Line::Started(_) | Line::Ended(_)) | Err(_) => {}
                }
                seeing.changed.notify_all();
            }
            seeing.state().over = true;
            seeing.changed.notify_all();
        });
        Ok(Self { child, orders, files, seen })
    }

    /// The files of this run.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// All seconds that are over.
    pub(crate) fn seconds(&self) -> Vec<Second> {
        self.seen.state().seconds.clone()
    }

    /// Waits for a second, over already or to come, that starts at `from` or later and is as wanted.
    ///
    /// # Errors
    /// No such second came in time; the last one is in the error.
    pub(crate) fn await_second(
        &self,
        from: u64,
        patience: Duration,
        wanted: impl Fn(&Second) -> bool,
    ) -> Result<Second> {
        let found = self.seen.wait(patience, |state| {
            state
                .seconds
                .iter()
                .rev()
                .take_while(|second| second.at >= from)
                .find(|second| wanted(second))
                .cloned()
        });
        found.with_context(|| {
            let last = self.seen.state().seconds.last().map(|second| serde_json::json!(second).to_string());
            let last = last.unwrap_or_else(|| "none".to_owned());
            format!("clients did not get there within {} s; the last second: {last}", patience.as_secs())
        })
    }

    /// Sets a mark and waits until the clients have taken it.
    pub(crate) fn mark(&mut self, label: &str) -> Result<Mark> {
        let before = self.seen.state().marks.len();
        writeln!(self.orders, "mark {label}").context("the clients have ended")?;
        self.seen
            .wait(PATIENCE, |state| state.marks.get(before).cloned())
            .with_context(|| format!("the clients did not take the mark `{label}`"))
    }

    /// Ends the clients and reads their time line.
    pub(crate) fn stop(mut self) -> Result<Timeline> {
        // Clients that ended by themselves have closed their end.
        drop(writeln!(self.orders, "stop"));
        self.finished()
    }

    /// Waits until the clients end as their plan says and reads their time line.
    pub(crate) fn finished(mut self) -> Result<Timeline> {
        let status = self.child.wait()?;
        if !status.success() {
            bail!("clients ended with {status}; look at what they wrote to standard error");
        }
        let text = std::fs::read(&self.files.json)
            .with_context(|| format!("cannot read {}", self.files.json.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is no time line", self.files.json.display()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `finished` it has been waited for, and neither call does anything.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell that speaks as clients do, and a folder for its time line.
    fn spoken(script: &str) -> Running {
        let folder = std::env::temp_dir().join(format!("weir-lab-follow-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let plan = Plan {
            sources: vec!["127.0.0.1".parse().unwrap()],
            destinations: vec!["127.0.0.1:80".parse().unwrap()],
            ..Plan::default()
        };
        let name = format!("{:?}", std::thread::current().id());
        let files = Files::write(&folder, &name, &plan).unwrap();
        std::fs::write(&files.json, serde_json::to_vec(&Timeline::default()).unwrap()).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Running::start(command, files).unwrap()
    }

    #[test]
    fn a_mark_is_awaited_and_stop_brings_the_time_line() {
        let mut running = spoken(
            r#"echo '{"started":2}'; read word label; [ "$word" = mark ] || exit 1
               echo "{\"marked\":{\"at_ms\":7,\"label\":\"$label\",\"open\":2}}"; read word; [ "$word" = stop ]"#,
        );
        let mark = running.mark("kill l4-1").unwrap();
        assert_eq!((mark.at_ms, mark.label.as_str(), mark.open), (7, "kill l4-1", 2));
        assert_eq!(running.stop().unwrap(), Timeline::default());
    }

    #[test]
    fn a_second_is_found_by_what_it_says_and_the_end_of_the_clients_ends_the_wait() {
        let second = |at, open| {
            serde_json::to_string(&Line::Second(Second { at, open, ..Second::default() })).unwrap()
        };
        let running = spoken(&format!("echo '{}'; echo '{}'", second(0, 5), second(1, 9)));
        let found = running.await_second(0, PATIENCE, |second| second.open > 5).unwrap();
        assert_eq!(found.at, 1);
        let error = running.await_second(1, PATIENCE, |second| second.open == 5).unwrap_err().to_string();
        assert!(error.contains("\"open\":9"), "{error}");
    }

    #[test]
    fn clients_that_fail_bring_no_time_line() {
        assert!(spoken("exit 3").finished().unwrap_err().to_string().contains('3'));
    }
}
