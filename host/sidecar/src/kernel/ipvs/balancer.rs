//! The kernel's table, kept as somebody wants it.

use weir_core::ipvs::{Memory, Plan, Wanted};

use super::{Ipvs, IpvsError, Key};
use weir_core::ipvs::ServiceTraffic;

/// The balancer with what is known of it. A change costs no look at the kernel, since what was last seen or done is known;
/// whether somebody else changed it shows at the next [`Balancer::look`].
#[derive(Debug)]
pub struct Balancer {
    kernel: Ipvs,
    memory: Memory,
    /// What is known is not what the kernel has: an answer was lost, or somebody else was seen to change it.
    stale: bool,
}

impl Balancer {
    /// Finds the balancer and adopts what it has.
    ///
    /// # Errors
    /// Where there is none, or it could not be read.
    pub fn open() -> Result<Self, IpvsError> {
        let mut balancer = Self { kernel: Ipvs::open()?, memory: Memory::new(), stale: true };
        balancer.look()?;
        Ok(balancer)
    }

    /// Reads all that the kernel has.
    ///
    /// # Errors
    /// Where it could not be read; then nothing is forgotten of what was known.
    pub fn look(&mut self) -> Result<(), IpvsError> {
        let observed = self.kernel.observe()?;
        self.memory.see(observed);
        self.stale = false;
        Ok(())
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
        if plan.is_empty() {
            return Ok(plan);
        }
        before(&plan);
        let (memory, mut known) = (&mut self.memory, true);
        let applied = self.kernel.apply(&plan.changes, |change| known &= memory.done(change).is_ok());
        self.stale = applied.is_err() || !known;
        applied.map(|()| plan)
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
