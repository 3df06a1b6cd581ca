//! The programs that are compared, each run and measured in a node.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::sidecar::Host;
use super::{ASK, Table, UNKNOWN, ensure_whole};
use crate::fabric::{Fabric, daemon};
use crate::inside::Orders;
use crate::paths;

/// Something that is done to the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Work {
    /// An empty kernel gets the table.
    WeirProgram,
    /// A sidecar that was killed starts again, is told the same, and finds nothing to do.
    WeirSame,
    /// An empty kernel gets the table.
    IpvsadmRestore,
    /// The kernel's table is read and printed.
    IpvsadmSave,
    /// An empty kernel gets the table.
    KeepalivedStart,
    /// The file is read again, with nothing new in it.
    KeepalivedReload,
}

impl Work {
    /// In the order of the table.
    pub(super) const ALL: [Self; 6] = [
        Self::WeirProgram,
        Self::IpvsadmRestore,
        Self::KeepalivedStart,
        Self::WeirSame,
        Self::IpvsadmSave,
        Self::KeepalivedReload,
    ];

    /// For people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::WeirProgram => "Weir, first programming",
            Self::WeirSame => "Weir, the same again after a restart",
            Self::IpvsadmRestore => "ipvsadm --restore",
            Self::IpvsadmSave => "ipvsadm --save",
            Self::KeepalivedStart => "keepalived, start",
            Self::KeepalivedReload => "keepalived, reload",
        }
    }
}

/// What one of them cost in one round, in seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) work: Work,
    /// CPU time of the program itself.
    pub(super) user: f64,
    /// CPU time of the kernel in its name.
    pub(super) system: f64,
    /// Time that passed.
    pub(super) wall: f64,
    /// Commands that changed something, where the program counts them.
    pub(super) commands: Option<u64>,
}

impl Turn {
    /// CPU time in all.
    pub(super) fn total(&self) -> f64 {
        self.user + self.system
    }

    /// For whoever waits.
    pub(super) fn line(&self) -> String {
        format!(
            "{:<38} {:.2} s outside the kernel, {:.2} s in it, {:.2} s elapsed",
            self.work.name(),
            self.user,
            self.system,
            self.wall
        )
    }
}

/// Where and with what a program is measured.
pub(super) struct Bench<'a> {
    pub(super) fabric: &'a Fabric,
    pub(super) node: &'a str,
    pub(super) table: &'a Table,
    pub(super) orders: &'a Orders,
}

/// How long the machine may take to look at its processes.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

impl Bench<'_> {
    /// CPU seconds of all programs until now, without the kernel's; `None` where the programs' own account tells them apart.
    fn outside_the_kernel(&self) -> Result<Option<f64>> {
        println!("{ASK}");
        let answer = self.orders.next(ANSWER_WITHIN)?.context("nobody says what programs have used")?;
        if answer == UNKNOWN {
            return Ok(None);
        }
        Ok(Some(answer.parse().with_context(|| format!("no number of seconds: {answer}"))?))
    }

    /// What was used since `before`, of which the machine may know better what was the kernel's.
    fn turn(
        &self,
        work: Work,
        used: Used,
        before: Option<f64>,
        wall: f64,
        commands: Option<u64>,
    ) -> Result<Turn> {
        let mut turn = used.turn(work, wall, commands);
        if let (Some(before), Some(now)) = (before, self.outside_the_kernel()?) {
            (turn.user, turn.system) = (now - before, (turn.total() - (now - before)).max(0.0));
        }
        Ok(turn)
    }
}

/// What a program does in a round, from an empty table on; it is left empty.
type Program = fn(&Bench<'_>) -> Result<Vec<Turn>>;

/// All of them.
pub(super) const ALL: [Program; 3] = [weir, ipvsadm, keepalived];

/// The service address, and the device that carries it, made and brought up: the others take it for granted.
const ADDRESS: u64 = 3;
/// Whoever has not used the CPU for so long has done what there was to do.
const IDLE: Duration = Duration::from_secs(1);
/// Between two looks at that.
const LOOK: Duration = Duration::from_millis(100);
/// No program takes longer.
const PATIENCE: Duration = Duration::from_secs(600);

fn weir(bench: &Bench<'_>) -> Result<Vec<Turn>> {
    let Bench { fabric, node, table, .. } = *bench;
    let folder = std::env::temp_dir().join(format!("bench-{node}"));
    std::fs::create_dir_all(&folder)?;
    let socket = folder.join("sidecar.sock");
    let mut turns = Vec::new();
    for (work, generation, expected) in
        [(Work::WeirProgram, 1, table.objects() as u64 + ADDRESS), (Work::WeirSame, 2, 0)]
    {
        let order = table.as_order(generation);
        let program = paths::weir().display().to_string();
        let socket_text = socket.display().to_string();
        // Looks on a timer are left out: it is told what it shall do, once.
        let argv = [program.as_str(), "sidecar", "--socket", &socket_text, "--every", "3600000"];
        let before = bench.outside_the_kernel()?;
        let sidecar = Running::start(fabric, node, &argv, "sidecar")?;
        let mut host = Host::connect(&socket)?;
        let began = Instant::now();
        host.say(&order)?;
        let observed = host.settled(generation)?;
        let (wall, used) = (began.elapsed().as_secs_f64(), sidecar.used()?);
        let changed = observed["counters"]["changed"].as_u64().context("a report without counters")?;
        ensure!(changed == expected, "{}: {changed} commands, not {expected}", work.name());
        turns.push(bench.turn(work, used, before, wall, Some(changed))?);
        // Dropping it kills it, and the kernel keeps what it has.
    }
    let (lines, _) = saved(bench)?;
    ensure_whole(table, lines, "Weir")?;
    clear(fabric, node)?;
    Ok(turns)
}

fn ipvsadm(bench: &Bench<'_>) -> Result<Vec<Turn>> {
    let Bench { fabric, node, table, .. } = *bench;
    let rules = scratch(node, "rules", &table.as_rules())?;
    let outside = bench.outside_the_kernel()?;
    let began = Instant::now();
    let before = Used::by_children()?;
    let mut command = fabric.command(node, &["ipvsadm", "--restore"])?;
    let status = command.stdin(File::open(&rules)?).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "ipvsadm --restore ended with {status}");
    let used = Used::by_children()?.since(before);
    let wall = began.elapsed().as_secs_f64();
    let restored = bench.turn(Work::IpvsadmRestore, used, outside, wall, None)?;
    let (lines, save) = saved(bench)?;
    ensure_whole(table, lines, "ipvsadm")?;
    clear(fabric, node)?;
    Ok(vec![restored, save])
}

fn keepalived(bench: &Bench<'_>) -> Result<Vec<Turn>> {
    let Bench { fabric, node, table, .. } = *bench;
    let file = scratch(node, "keepalived.conf", &table.as_keepalived())?.display().to_string();
    // Only what keeps IPVS, in the foreground; what it made stays when it is killed.
    let argv = [
        "keepalived",
        "--dont-fork",
        "--check",
        "--log-console",
        "--use-file",
        &file,
        "--pid=/run/keepalived.pid",
        "--checkers_pid=/run/checkers.pid",
    ];
    let (outside, began) = (bench.outside_the_kernel()?, Instant::now());
    let keepalived = Running::start(fabric, node, &argv, "keepalived")?;
    let (started, wall) = keepalived.idle(began)?;
    let start = bench.turn(Work::KeepalivedStart, started, outside, wall, None)?;
    let (lines, _) = saved(bench)?;
    ensure_whole(table, lines, "keepalived")?;
    let (outside, before, began) = (bench.outside_the_kernel()?, keepalived.used()?, Instant::now());
    keepalived.signal(Signal::HUP)?;
    let (after, wall) = keepalived.idle(began)?;
    let reload = bench.turn(Work::KeepalivedReload, after.since(before), outside, wall, None)?;
    let (lines, _) = saved(bench)?;
    ensure_whole(table, lines, "keepalived's reload")?;
    drop(keepalived);
    clear(fabric, node)?;
    Ok(vec![start, reload])
}

/// The kernel's table as `ipvsadm` prints it: how many lines, and what that cost.
fn saved(bench: &Bench<'_>) -> Result<(usize, Turn)> {
    let outside = bench.outside_the_kernel()?;
    let (began, before) = (Instant::now(), Used::by_children()?);
    let text = bench.fabric.run(bench.node, &["ipvsadm", "--save", "--numeric"])?;
    let used = Used::by_children()?.since(before);
    let wall = began.elapsed().as_secs_f64();
    Ok((text.lines().count(), bench.turn(Work::IpvsadmSave, used, outside, wall, None)?))
}

fn clear(fabric: &Fabric, node: &str) -> Result<()> {
    fabric.run(node, &["ipvsadm", "--clear"]).map(drop)
}

fn scratch(node: &str, name: &str, text: &str) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("bench-{node}"));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(name);
    std::fs::write(&file, text)?;
    Ok(file)
}

/// A program that stays. Dropping it kills it and those that it started.
struct Running(Child);

impl Running {
    fn start(fabric: &Fabric, node: &str, argv: &[&str], name: &str) -> Result<Self> {
        let log =
            File::options().create(true).append(true).open(fabric.logs(node).join(format!("{name}.log")))?;
        let mut command = fabric.command(node, argv)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Self(command.spawn().with_context(|| format!("cannot start {name}"))?))
    }

    /// The first process and its children.
    fn all(&self) -> Vec<u32> {
        let id = self.0.id();
        std::iter::once(id).chain(daemon::children(id)).collect()
    }

    fn used(&self) -> Result<Used> {
        let mut sum = Used { user: 0, system: 0 };
        for id in self.all() {
            let one = Used::read(&format!("/proc/{id}/stat"), [11, 12])?;
            sum = Used { user: sum.user + one.user, system: sum.system + one.system };
        }
        Ok(sum)
    }

    /// What it has used when it has nothing more to do, and how long after `began` that was.
    fn idle(&self, began: Instant) -> Result<(Used, f64)> {
        let (mut last, mut since) = (self.used()?, Instant::now());
        while since.elapsed() < IDLE {
            ensure!(began.elapsed() < PATIENCE, "a program does not come to rest");
            std::thread::sleep(LOOK);
            let now = self.used()?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok((last, (since - began).as_secs_f64()))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(self.0.id().cast_signed()).context("no process")?;
        Ok(kill_process(id, signal)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for id in self.all() {
            if let Some(id) = Pid::from_raw(id.cast_signed()) {
                let _ = kill_process(id, Signal::KILL);
            }
        }
        drop(self.0.wait());
    }
}

/// CPU time in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Used {
    user: u64,
    system: u64,
}

impl Used {
    /// Of all children that have ended and were waited for.
    fn by_children() -> Result<Self> {
        Self::read("/proc/self/stat", [13, 14])
    }

    /// From a `stat` file, at these places behind the program's name.
    fn read(file: &str, places: [usize; 2]) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        let fields: Vec<&str> = text
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_ascii_whitespace().collect())
            .unwrap_or_default();
        let number = |place: usize| fields.get(place).and_then(|word| word.parse().ok());
        let [user, system] = places.map(number);
        Ok(Self { user: user.context("no user time")?, system: system.context("no system time")? })
    }

    const fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    fn turn(self, work: Work, wall: f64, commands: Option<u64>) -> Turn {
        let seconds = |ticks: u64| ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        Turn { work, user: seconds(self.user), system: seconds(self.system), wall, commands }
    }
}
