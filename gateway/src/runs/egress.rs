//! What of runs and data may leave to AI clients. The rule of an agent is told with its registration; this gateway may have
//! a narrower one for its pool. What was read under a rule stays under it: the record of a run keeps the rule of its time.

use std::collections::BTreeSet;

use longhaul_proto::{egress::Egress, risk::Confirm, wire};

use super::{Inner, Runs};
use crate::{
    fleet,
    model::{Detail, Identity, Placement, RunSnapshot},
};

/// The rule of an attempt's time, kept with it; at each step, since an agent that is started again may have a narrower one.
pub(super) fn note(inner: &Inner, detail: &mut Detail) {
    let Some(present) = detail.present_mut() else { return };
    let now = inner.egress_at(&present.at);
    let narrow = present.execution.egress.take().unwrap_or_default().and(&now);
    present.execution.egress = Some(narrow).filter(|rule| !rule.is_full());
}

/// The narrowest rule that the record has: output of earlier attempts is in the same mirror.
pub(super) fn recorded(detail: &Detail) -> Egress {
    let rules = detail.attempts.iter().filter_map(|attempt| attempt.execution.egress.as_ref());
    rules.fold(Egress::default(), |narrow, rule| narrow.and(rule))
}

impl Inner {
    pub(super) fn egress_at(&self, at: &Placement) -> Egress {
        self.fleet.egress(&at.agent_id).and(&self.egress_of_pool(&at.pool))
    }

    fn egress_of_info(&self, info: &wire::AgentInfo) -> Egress {
        Egress::of_wire(info.egress.as_ref()).and(&self.egress_of_pool(&fleet::pool_name(info)))
    }

    fn egress_of_pool(&self, pool: &str) -> Egress {
        let rules = &self.options.egress_pools;
        rules.get(pool).or_else(|| rules.get("*")).cloned().unwrap_or_default()
    }
}

impl Runs {
    /// What of a run may leave: the rule of its time or of now, whichever is narrower.
    pub fn egress(&self, run: &RunSnapshot) -> Egress {
        run.ran_at.iter().fold(run.egress.clone(), |narrow, at| narrow.and(&self.0.egress_at(at)))
    }

    /// What of the data of a host may leave now; of several agents of one name what all of them allow. `None` = no agent of
    /// this name is known, so that nothing is known of its rule.
    pub fn egress_of_host(&self, host: &str) -> Option<Egress> {
        let infos = self.0.fleet.infos();
        let its = infos.iter().filter(|(info, _)| info.name == host);
        its.map(|(info, _)| self.0.egress_of_info(info)).reduce(|narrow, rule| narrow.and(&rule))
    }

    /// The kinds of risky commands to which a person must agree on a host.
    pub(super) fn confirm_of_host(&self, host: &str) -> Confirm {
        let infos = self.0.fleet.infos();
        let its = infos.iter().filter(|(info, _)| info.name == host);
        its.fold(Confirm::default(), |all, (info, _)| all.or(&Confirm::of_wire(&info.confirm)))
    }

    /// The hosts that this caller's request about a file or a topic would be asked of now, this one or all, with their rules.
    pub async fn egress_of_asked(&self, who: &Identity, host: &str) -> Vec<(String, Egress)> {
        let asked = self.0.fleet.candidates(&who.need(host), &who.principal).await;
        let infos = self.0.fleet.infos();
        let its = infos.iter().filter(|(info, _)| asked.contains(&info.agent_id));
        its.map(|(info, _)| (info.name.clone(), self.0.egress_of_info(info))).collect()
    }

    /// The agents whose rule is such a one.
    pub(super) fn agents_with(&self, fits: impl Fn(&Egress) -> bool) -> BTreeSet<String> {
        let infos = self.0.fleet.infos().into_iter();
        infos.filter(|(info, _)| fits(&self.0.egress_of_info(info))).map(|(info, _)| info.agent_id).collect()
    }
}
