//! From bytes to instances that are ready for every worker: compile, check, try, prepare. Runs on a thread of its own, so that
//! failures of the version that serves are dealt with meanwhile.

use std::sync::Arc;

use weir_core::plugin::Version;

use crate::check::{CheckError, Checked};
use crate::compile::LoadError;
use crate::imports::{Host, Meters, Voice};
use crate::instance::SetupError;
use crate::runtime::Shared;
use crate::trial::{Passed, Trial, TrialError};
use crate::world::World;

/// What a version is made from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) version: Version,
    pub(crate) wasm: Arc<[u8]>,
    pub(crate) config: Arc<str>,
    pub(crate) memory: usize,
    pub(crate) golden: Option<Arc<str>>,
}

/// What instances of a version are made from, for as long as it serves.
#[derive(Debug, Clone)]
pub(crate) struct Mold {
    pub(crate) source: Source,
    checked: Checked,
    voice: Arc<Voice>,
    pub(crate) meters: Arc<Meters>,
}

/// A version that passed, ready to be put to use.
#[derive(Debug)]
pub(crate) struct Candidate<W: World> {
    pub(crate) mold: Mold,
    pub(crate) passed: Passed,
    pub(crate) planner: Option<W::Instance>,
    pub(crate) workers: Vec<W::Instance>,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The version is no good.
    Version(String),
    /// The host could not.
    Host(String),
}

impl From<LoadError> for Refusal {
    fn from(error: LoadError) -> Self {
        match error {
            // A child at idle priority may not get enough of a busy machine.
            LoadError::Timeout
            | LoadError::Child(_)
            | LoadError::Killed { .. }
            | LoadError::Cache(_)
            | LoadError::Artifact(_) => Self::Host(error.to_string()),
            LoadError::TooLarge { .. } | LoadError::Compile(_) | LoadError::Check(_) => {
                Self::Version(error.to_string())
            }
        }
    }
}

impl From<CheckError> for Refusal {
    fn from(error: CheckError) -> Self {
        Self::Version(error.to_string())
    }
}

impl From<TrialError> for Refusal {
    fn from(error: TrialError) -> Self {
        match error {
            TrialError::Setup(error) => error.into(),
            error => Self::Version(error.to_string()),
        }
    }
}

impl From<SetupError> for Refusal {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::NoRoom(_) => Self::Host(error.to_string()),
            error => Self::Version(error.to_string()),
        }
    }
}

/// What a version is tried with beside the one that serves.
pub(crate) struct Surroundings<W: World> {
    pub(crate) workers: usize,
    pub(crate) scene: W::Scene,
    pub(crate) voice: Arc<Voice>,
    pub(crate) meters: Arc<Meters>,
}

/// All of it. `loaded` is called when it is compiled and checked.
pub(crate) fn load<W: World>(
    shared: &Shared,
    source: Source,
    around: Surroundings<W>,
    loaded: impl FnOnce(),
) -> Result<Candidate<W>, Refusal> {
    let ready = shared.workshop.load(&source.wasm, source.version.content)?;
    let checked = ready.checked.of(W::KIND)?;
    loaded();
    let Surroundings { workers, scene, voice, meters } = around;
    let trial = Trial::<W> {
        config: &source.config,
        memory: source.memory,
        voice: &voice,
        golden: source.golden.as_deref(),
        scene: &scene,
    };
    let passed = trial.run(&shared.engines, &checked)?;
    let mold = Mold { source, checked, voice, meters };
    let planner = if W::PLANS { Some(mold.cast::<W>(shared, &scene)?) } else { None };
    let workers = (0..workers).map(|_| mold.cast::<W>(shared, &scene)).collect::<Result<_, _>>()?;
    Ok(Candidate { mold, passed, planner, workers })
}

impl Mold {
    /// Makes an instance that is configured and knows what is known.
    pub(crate) fn cast<W: World>(
        &self,
        shared: &Shared,
        scene: &W::Scene,
    ) -> Result<W::Instance, SetupError> {
        let host = Host::new(self.source.memory, Arc::clone(&self.voice), Arc::clone(&self.meters));
        let mut instance = W::instance(&shared.engines, &self.checked, host)?;
        instance.configure(&self.source.config)?;
        // A plan that is no plan is no reason to have no instance: whoever asks for it is told.
        if let Err((hook, failure)) = W::tell(&mut instance, scene)
            && failure.poisons()
        {
            return Err(SetupError::Call { hook, failure });
        }
        Ok(instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_was_killed_is_tried_again_and_one_that_crashed_is_not() {
        let killed = Refusal::from(LoadError::Killed { signal: 9 });
        assert!(matches!(&killed, Refusal::Host(why) if why.contains("killed by signal 9")), "{killed:?}");
        let crashed = Refusal::from(LoadError::Compile("the compiler ended with signal: 6".into()));
        assert!(matches!(crashed, Refusal::Version(_)), "{crashed:?}");
    }

    #[test]
    fn a_plugin_is_not_condemned_for_a_host_that_has_no_room_for_it() {
        let full = || SetupError::NoRoom("maximum concurrent component instances reached".into());
        for refusal in [Refusal::from(full()), Refusal::from(TrialError::from(full()))] {
            assert!(matches!(refusal, Refusal::Host(_)), "{refusal:?}");
        }
    }
}
