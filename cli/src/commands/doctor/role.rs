//! What this machine is for: a client, a gateway alone, or a host of Stata.

use longhaul_proto::faults;

use super::report::{Finding, note};
use crate::context::Context;

/// Whether this machine is only a client of a gateway elsewhere: it has a gateway's name, and nothing of an agent's.
pub(super) fn is_client(context: &Context) -> bool {
    let s = &context.config.settings;
    s.gateway.is_some() && !has_agent(context)
}

/// Whether an agent has worked here, or the settings have something of one.
fn has_agent(context: &Context) -> bool {
    let s = &context.config.settings;
    let agents =
        s.stata.is_some() || s.seats.is_some() || s.licence.is_some() || s.roots.is_some() || s.engine.is_some();
    agents || s.join_secret_file.is_some() || s.join.is_some() || context.data.has_agent()
}

/// Whether a gateway works here, and its agents are on other machines: then no Stata is needed.
pub(super) fn is_gateway_alone(context: &Context) -> bool {
    let gateway = context.data.has_record() || context.data.gateway_serves().unwrap_or(false);
    gateway && !has_agent(context) && !faults::bug("gateways_need_stata")
}

/// What is a problem on a host of Stata alone.
pub(super) fn not_needed(stata: Vec<Finding>) -> Vec<Finding> {
    let note_of = |finding: Finding| match finding.state {
        "problem" => note(&finding.what, finding.found, "this machine runs a gateway alone, which needs none"),
        _ => finding,
    };
    stata.into_iter().map(note_of).collect()
}
