//! The kernel's table, kept as somebody wants it.

use weir_core::ipvs::{Change, Memory, Plan, ServiceTraffic, Settings, Wanted};

use super::{Ipvs, IpvsError, Key};

/// The balancer with what is known of it. A change costs no look at the kernel, since what was last seen or done is known;
/// whether somebody else changed it shows at the next [`Balancer::look`].
#[derive(Debug)]
pub struct Balancer {
    kernel: Ipvs,
    memory: Memory,
    /// What is known is not what the kernel has: an answer was lost, or somebody else was seen to change it.
    stale: bool,
    /// What is left of a look that was broken off: services that were there when it began.
    unseen: Option<Vec<(Key, Settings)>>,
}

impl Balancer {
    /// Finds the balancer and adopts what it has.
    ///
    /// # Errors
    /// Where there is none, or it could not be read.
    pub fn open() -> Result<Self, IpvsError> {
        let mut balancer = Self { kernel: Ipvs::open()?, memory: Memory::new(), stale: true, unseen: None };
        balancer.look()?;
        Ok(balancer)
    }

    /// Reads all that the kernel has.
    ///
    /// # Errors
    /// Where it could not be read. Of services that were not read again what was known is still known.
    pub fn look(&mut self) -> Result<(), IpvsError> {
        self.unseen = None;
        self.look_until(|| false).map(drop)
    }

    /// Reads what the kernel has, service by service, and breaks off where `stop` says so; the next call goes on from there. Between
    /// the two, changes may be made. Says whether all was read.
    ///
    /// # Errors
    /// As [`Balancer::look`].
    pub fn look_until(&mut self, mut stop: impl FnMut() -> bool) -> Result<bool, IpvsError> {
        let mut unseen = match self.unseen.take() {
            Some(unseen) => unseen,
            None => {
                let timeouts = self.kernel.timeouts()?;
                let list = self.kernel.list()?;
                self.memory.see_list(list.iter().map(|(key, settings)| (*key, settings)), timeouts);
                list
            }
        };
        while let Some((key, settings)) = unseen.pop() {
            let service = self.kernel.filled(&key, settings)?;
            self.memory.see_service(key, service);
            if !unseen.is_empty() && stop() {
                self.unseen = Some(unseen);
                return Ok(false);
            }
        }
        self.stale = false;
        Ok(true)
    }

    /// Whether a look was broken off and not yet gone on with.
    pub const fn is_looking(&self) -> bool {
        self.unseen.is_some()
    }

    /// What would be done. Nothing is changed, and the kernel is not asked.
    pub fn plan(&self, wanted: &Wanted) -> Plan {
        self.memory.plan(wanted)
    }

    /// Makes it so, by what is known, and says what was done. Where the kernel does not agree with what is known it is looked at
    /// again, once. `before` is told each plan before it is carried out, for the log: a plan says what it costs.
    ///
    /// # Errors
    /// Where the kernel refuses. What was done until then is kept, is known, and is safe.
    pub fn settle(&mut self, wanted: &Wanted, mut before: impl FnMut(&Plan)) -> Result<Plan, IpvsError> {
        let first = self.attempt(wanted, &mut before);
        match first {
            Err(IpvsError::Refused { .. }) => self.attempt(wanted, &mut before),
            Err(IpvsError::Netlink(error)) if self.stale => {
                tracing::warn!(%error, "the balancer is looked at again");
                self.attempt(wanted, &mut before)
            }
            other => other,
        }
    }

    fn attempt(&mut self, wanted: &Wanted, before: &mut impl FnMut(&Plan)) -> Result<Plan, IpvsError> {
        if self.stale {
            self.look()?;
        }
        let plan = self.memory.plan(wanted);
        if !plan.is_empty() {
            before(&plan);
            let (memory, mut known) = (&mut self.memory, true);
            let applied = self.kernel.apply(&plan.changes, |change| known &= memory.done(change).is_ok());
            self.stale = applied.is_err() || !known;
            self.unseen_as_changed(&plan.changes);
            applied?;
        }
        // Disorder that is only told is to be told each time.
        if !self.stale && plan.disorder.is_empty() {
            self.memory.agree(wanted);
        }
        Ok(plan)
    }

    /// What a look that was broken off saw of settings is no longer so.
    fn unseen_as_changed(&mut self, changes: &[Change]) {
        let Some(unseen) = &mut self.unseen else { return };
        for change in changes {
            if let Change::RemoveService { key } = change {
                // The kernel says of a service that is gone that it has no destinations, not that it is gone.
                unseen.retain(|(one, _)| one != key);
            }
            if let Change::AddService { key, settings } | Change::SetService { key, settings } = change
                && let Some((_, seen)) = unseen.iter_mut().find(|(one, _)| one == key)
            {
                seen.clone_from(settings);
            }
        }
    }

    /// What has passed.
    ///
    /// # Errors
    /// Where it could not be read.
    pub fn traffic(&mut self) -> Result<Vec<ServiceTraffic>, IpvsError> {
        self.kernel.traffic()
    }

    /// What is known of the kernel's table.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Services that this process sees.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.memory.known().services.keys()
    }
}
