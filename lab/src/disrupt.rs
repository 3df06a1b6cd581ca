//! `cargo lab disrupt`: what changes and failures do to connections that are open, and to new ones.
//!
//! Each step is done to a running topology while clients keep connections open whose every byte they check. What broke,
//! for how long new connections failed, and how long it took until connections were spread as they should be, is written
//! down by phase. Weir and the stack that it replaces go through the same steps on the same topology.
//!
//! | module | is |
//! |---|---|
//! | [`step`] | the steps of the matrix |
//! | [`scene`] | one step as it is done and watched |
//! | [`balance`] | when connections are spread as they should be |
//! | [`record`], [`table`] | what came of it, for machines and for people |
//! | [`against`] | two stacks beside each other |

mod against;
mod balance;
mod record;
mod scene;
mod step;
mod table;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::fabric::Fabric;
use crate::inside::Orders;
use crate::kernel::{self, Kernel};
use crate::stack::Stack;
use crate::tiers::{Shape, Tiers};
use crate::world::World;
use crate::{build, install, paths, say};
pub(crate) use record::Phase;
use record::{Done, Record};
pub(crate) use scene::{Scene, plan};
use step::{ALL, Step};

/// What somebody wants to see.
#[derive(Debug, clap::Args)]
pub(crate) struct Wish {
    /// Names of steps, or `all`; none shows what there is
    steps: Vec<String>,
    /// Do it so many times, each time in a new world
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: u32,
    /// Do so many runs at the same time; each takes one core and some hundred MiB
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: u32,
    /// Keep up so many connections
    #[arg(long, value_name = "N", default_value_t = 100)]
    connections: usize,
    /// Write all results here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table here, for the book
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Say in which rows it is worse than in these results of another stack, written with --json
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Forget what earlier runs found; otherwise only what they lack is done
    #[arg(long)]
    fresh: bool,
    /// Take what is built already
    #[arg(long)]
    built: bool,
    #[command(flatten)]
    tiers: Tiers,
}

/// Steps to be done in one world.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    shape: Shape,
    kernel: String,
    steps: Vec<String>,
    connections: usize,
    seed: u64,
}

/// What `--json` writes.
#[derive(Debug, Deserialize)]
struct Results {
    runs: Vec<Record>,
}

fn results(file: &Path) -> Result<Results> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not written by --json", file.display()))
}

/// A run of all steps at full size takes less.
const AT_MOST: Duration = Duration::from_secs(3 * 3600);
/// How long a world may take to be whole.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);
/// The file of results, in the folder of a run.
const RECORD: &str = "record.json";

/// Outside: runs what is lacking, shows everything.
pub(crate) fn run(wish: &Wish) -> Result<()> {
    let steps = wanted(&wish.steps)?;
    if steps.is_empty() {
        let rows: Vec<Vec<String>> =
            ALL.iter().map(|s| vec![s.name.to_owned(), s.about.to_owned()]).collect();
        print!("{}", say::table(&["step", "what happens"], &rows));
        return Ok(());
    }
    let shape = wish.tiers.shape()?;
    let others = wish.against.as_deref().map(results).transpose()?;
    if !wish.built {
        install::for_building()?;
        build::stack(shape.choice)?;
    }
    let records = all(wish, shape, &steps)?;
    print!("\n{}", table::text(&records));
    if let Some(others) = &others {
        print!("\n{}", against::text(&records, &others.runs));
    }
    if let Some(file) = &wish.json {
        write(file, &format!("{:#}\n", json!({ "runs": records })))?;
    }
    if let Some(file) = &wish.markdown {
        write(file, &table::markdown(&records))?;
    }
    let failed = records.iter().flat_map(|record| &record.steps).filter(|done| done.failed.is_some()).count();
    if failed > 0 {
        bail!("{failed} steps could not be done; the same command tries them again");
    }
    Ok(())
}

/// The records of all runs, in their order.
fn all(wish: &Wish, shape: Shape, steps: &[&Step]) -> Result<Vec<Record>> {
    let next = AtomicU32::new(1);
    let work = || {
        let mut done = Vec::new();
        loop {
            let run = next.fetch_add(1, Ordering::Relaxed);
            if run > wish.runs {
                return done;
            }
            done.push((run, completed(wish, shape, steps, run)));
        }
    };
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..wish.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    done.sort_by_key(|(run, _)| *run);
    done.into_iter().map(|(_, record)| record).collect()
}

/// The record of a run, with every step in it: from earlier, or done now.
fn completed(wish: &Wish, shape: Shape, steps: &[&Step], run: u32) -> Result<Record> {
    let name = format!("disrupt-{}-{run}", label(shape));
    let kept = paths::lab("disrupt").join(label(shape)).join(format!("run-{run}.json"));
    let kernel = wish.tiers.kernel.unwrap_or_else(Kernel::choose);
    // What was found in another way is not to be mixed with what is found now.
    let alike = |record: &Record| {
        !wish.fresh && record.connections == wish.connections && record.kernel == kernel.name()
    };
    let mut record = read(&kept).filter(alike);
    // A run that was killed has left its results where it wrote them.
    if let Some(left) = read(&kernel::folder(&name).join(RECORD)).filter(alike) {
        record = Some(match record {
            Some(known) => merged(Some(left), known),
            None => left,
        });
    }
    let missing: Vec<String> = steps
        .iter()
        .filter(|step| !record.as_ref().is_some_and(|record| has(record, step.name)))
        .map(|step| step.name.to_owned())
        .collect();
    if missing.is_empty() {
        say::line(format!("  run {run}     known already: {}", paths::short(&kept)));
    } else {
        say::line(format!("  run {run}     {} steps, kernel {}", missing.len(), kernel.name()));
        let task = Task {
            shape,
            kernel: kernel.name().to_owned(),
            steps: missing,
            connections: wish.connections,
            seed: u64::from(run),
        };
        let place = kernel::Wish { kernel: Some(kernel), limit: AT_MOST, ..kernel::Wish::named(&name) };
        let running = kernel::start(&place, crate::inside::Job::Disrupt(task))?;
        let results = running.out.join(RECORD);
        let ended = running.follow(|line| match wish.jobs {
            1 => say::line(line),
            _ => say::line(format!("{run}: {line}")),
        });
        // What was done before it ended counts, however it ended.
        if let Some(new) = read(&results) {
            let all = merged(record, new);
            write(&kept, &format!("{:#}\n", json!(all)))?;
            record = Some(all);
        }
        ended?;
    }
    record.with_context(|| {
        format!("run {run} left no results; its logs are in {}", paths::short(&kernel::folder(&name)))
    })
}

/// Inside: brings a world up and does one step after the other.
pub(crate) fn inside(out: &Path, task: Task, _: &Orders) -> Result<()> {
    let steps = wanted(&task.steps)?;
    let mut tell = |line: &str| println!("{line}");
    let began = Instant::now();
    let mut world = World::bring_up(Fabric::new(out)?, task.shape.size, task.shape.choice, &mut tell)?;
    world.await_whole(WHOLE_WITHIN)?;
    let mut record = Record {
        shape: task.shape,
        kernel: task.kernel,
        connections: task.connections,
        seed: task.seed,
        up_seconds: began.elapsed().as_secs_f64(),
        steps: Vec::new(),
    };
    for step in steps {
        let began = Instant::now();
        println!("  {:<9} {}", step.name, step.about);
        let plan = plan(&world, task.connections, step.seed(task.seed), step.ipv6_uploads);
        let done = done(step, &mut world, out, &plan, &mut tell);
        let settled = world.settle();
        println!(
            "    {} in {}",
            if done.failed.is_none() { "done" } else { "FAILED" },
            say::elapsed(began.elapsed())
        );
        record.steps.push(done);
        write(&out.join(RECORD), &format!("{:#}\n", json!(record)))?;
        settled.with_context(|| format!("after {} the world could not be put right", step.name))?;
    }
    world.end();
    Ok(())
}

fn done(
    step: &Step,
    world: &mut World,
    out: &Path,
    plan: &crate::clients::Plan,
    tell: &mut dyn FnMut(&str),
) -> Done {
    let phases = (|| {
        let mut scene = Scene::open(world, out, step.name, plan, tell)?;
        (step.phases)(&mut scene)?;
        scene.close()
    })();
    match phases {
        Ok(phases) => Done { step: step.name.to_owned(), phases, failed: None },
        Err(error) => {
            let why = format!("{error:#}");
            tell(&format!("    {why}"));
            Done { step: step.name.to_owned(), phases: Vec::new(), failed: Some(why) }
        }
    }
}

/// The steps of these names, in the order in which they are done.
fn wanted(names: &[String]) -> Result<Vec<&'static Step>> {
    let unknown = names.iter().find(|name| *name != "all" && !ALL.iter().any(|step| step.name == **name));
    if let Some(name) = unknown {
        let known: Vec<&str> = ALL.iter().map(|step| step.name).collect();
        bail!("no step is named {name}; there are: all, {}", known.join(", "));
    }
    let is_wanted = |step: &&Step| names.iter().any(|name| name == "all" || name == step.name);
    Ok(ALL.iter().filter(is_wanted).collect())
}

/// A name for results that may be compared: `classic-l4x2-l7x2`.
fn label(shape: Shape) -> String {
    let stack = |stack: Stack| if stack == Stack::Weir { "weir" } else { "classic" };
    let (size, choice) = (shape.size, shape.choice);
    format!(
        "l4-{}-{}-l7-{}-{}-servers-{}-users-{}",
        stack(choice.l4),
        size.l4,
        stack(choice.l7),
        size.l7,
        size.servers,
        size.users
    )
}

fn has(record: &Record, step: &str) -> bool {
    record.steps.iter().any(|done| done.step == step && done.failed.is_none())
}

/// New results in the place of old ones, in the order of the steps.
fn merged(old: Option<Record>, mut new: Record) -> Record {
    let known = old.into_iter().flat_map(|record| record.steps);
    let kept: Vec<Done> = known.filter(|done| !new.steps.iter().any(|mine| mine.step == done.step)).collect();
    new.steps.extend(kept);
    new.steps.sort_by_key(|done| ALL.iter().position(|step| step.name == done.step));
    new
}

fn read(file: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
