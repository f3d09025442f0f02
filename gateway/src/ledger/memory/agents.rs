//! What is known of agents.

use super::MemoryLedger;
use crate::ledger::{AgentRecord, AgentStore, Answer, DrainRecord, PinRecord};

impl AgentStore for MemoryLedger {
    fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    fn put_agent(&self, agent: AgentRecord) -> Answer<'_, ()> {
        self.answer(|state| {
            state.agents.insert(agent.info.agent_id.clone(), agent);
            Ok(())
        })
    }

    fn agents(&self) -> Answer<'_, Vec<AgentRecord>> {
        self.answer(|state| Ok(state.agents.values().cloned().collect()))
    }

    fn forget_agents(&self, agent_ids: Vec<String>) -> Answer<'_, ()> {
        self.answer(|state| {
            state.agents.retain(|id, _| !agent_ids.contains(id));
            Ok(())
        })
    }

    fn put_pin(&self, pin: PinRecord) -> Answer<'_, ()> {
        self.answer(|state| {
            state.pins.insert(pin.key, pin);
            Ok(())
        })
    }

    fn pins(&self) -> Answer<'_, Vec<PinRecord>> {
        self.answer(|state| Ok(state.pins.values().cloned().collect()))
    }

    fn drain(&self, hosts: Vec<DrainRecord>) -> Answer<'_, ()> {
        self.answer(|state| {
            state.drains.extend(hosts.into_iter().map(|drain| (drain.host.clone(), drain)));
            Ok(())
        })
    }

    fn resume(&self, hosts: Vec<String>) -> Answer<'_, ()> {
        self.answer(|state| {
            state.drains.retain(|host, _| !hosts.contains(host));
            Ok(())
        })
    }

    fn drains(&self) -> Answer<'_, Vec<DrainRecord>> {
        self.answer(|state| Ok(state.drains.values().cloned().collect()))
    }
}
