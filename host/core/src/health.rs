//! What is known of a server, and what may therefore be done with it.
//!
//! Four parties speak about a server and each has bits of its own ([`Bits`]): its operator, what it stands under,
//! its agent (or a plugin in the agent's place), and its checks. Undoing what one said never undoes what another
//! said. [`Bits::state`] is the whole precedence; [`ServerHealth`] is the machine that keeps the bits, says
//! when to check ([`Action`]) and is told what came of it ([`Event`]). `weir-probe` drives it.
//!
//! Where this differs from HAProxy, on purpose:
//!
//! * A server with a check starts unknown, treated as down, and its first result decides (HAProxy: up). The same
//!   after maintenance. A check that is *added* to a server in use starts as up: a reload takes nobody out.
//! * The bits of agent and operator are separate (HAProxy: an agent's `ready` takes back an operator's `drain`).
//! * An operator's weight wins over an agent's (HAProxy: whoever spoke last).
//! * `50%` of weight 1 is 1 (HAProxy: 0, which drains).
//!
//! | module | knows |
//! |---|---|
//! | `agent` | the words of agents |
//! | `asked` | what a judge is told beside an observation |
//! | `cadence` | when the next check is due, spread over time |
//! | `check` | rise and fall |
//! | `load` | how busy a server says it is |
//! | `slow_start` | how a server that comes back grows |
//! | `spec` | what the fleet file says of all this |
//! | `status` | bits, and the state that they make |
//! | `server` | the machine that has all of them |
//! | `verdict` | judges: what plugins are told and say of observations |

mod agent;
mod asked;
mod cadence;
mod check;
mod load;
mod server;
mod slow_start;
mod spec;
mod status;
mod verdict;

pub use agent::{
    Admin, AgentError, AgentReport, Health, MAX_LINE, MAX_REASON, Weight, parse as parse_agent_line,
};
pub use asked::{Asked, TICK};
pub use check::CheckHealth;
pub use load::Load;
pub use server::{Action, Event, OperatorCommand, ServerHealth};
pub use spec::{AgentTiming, CheckTiming, HealthSpec, MIN_INTERVAL};
pub use status::{Bits, Cause, Operator, Status};
pub use verdict::{Answer, Judge, Judgement, MAX_SHOWN_BODY, Observation, Said, SaidWeight, Subject, Usual};
