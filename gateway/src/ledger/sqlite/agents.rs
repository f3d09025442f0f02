//! What is known of agents.

use futures_util::FutureExt;
use longhaul_proto::wire;
use prost::Message;
use sqlx::{Row, Sqlite, query::Query, sqlite::SqliteArguments};

use super::{SqliteLedger, storage};
use crate::ledger::{AgentRecord, AgentStore, Answer, DrainRecord, JoinedBy, LedgerError, PinRecord, PinState};

impl AgentStore for SqliteLedger {
    fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    fn put_agent(&self, agent: AgentRecord) -> Answer<'_, ()> {
        self.write(agent, |db, agent| {
            let put = sqlx::query(
                "INSERT INTO agents(agent_id, seen, info) VALUES (?, ?, ?) \
                 ON CONFLICT(agent_id) DO UPDATE SET seen = excluded.seen, info = excluded.info",
            )
            .bind(&agent.info.agent_id)
            .bind(agent.heard_ms)
            .bind(agent.info.encode_to_vec());
            async move { Ok(put.execute(db).await.map(drop)?) }.boxed()
        })
    }

    fn agents(&self) -> Answer<'_, Vec<AgentRecord>> {
        async move {
            let rows = sqlx::query("SELECT info, seen FROM agents ORDER BY agent_id")
                .fetch_all(&self.readers)
                .await
                .map_err(storage)?;
            rows.iter()
                .map(|row| {
                    let info: &[u8] = row.try_get(0).map_err(storage)?;
                    let info = wire::AgentInfo::decode(info).map_err(|e| LedgerError::Broken(e.to_string()))?;
                    Ok(AgentRecord { info, heard_ms: row.try_get(1).map_err(storage)? })
                })
                .collect()
        }
        .boxed()
    }

    fn forget_agents(&self, agent_ids: Vec<String>) -> Answer<'_, ()> {
        self.write(agent_ids, |db, agent_ids| {
            async move {
                for id in agent_ids {
                    sqlx::query("DELETE FROM agents WHERE agent_id = ?").bind(id).execute(&mut *db).await?;
                }
                Ok(())
            }
            .boxed()
        })
    }

    fn put_pin(&self, pin: PinRecord) -> Answer<'_, ()> {
        self.write(pin, |db, pin| {
            let put = put_pin(pin);
            async move { Ok(put.execute(db).await.map(drop)?) }.boxed()
        })
    }

    fn pins(&self) -> Answer<'_, Vec<PinRecord>> {
        async move {
            let rows = sqlx::query("SELECT key, agent_id, name, state, at, by, joined, serves FROM pins ORDER BY key")
                .fetch_all(&self.readers)
                .await
                .map_err(storage)?;
            rows.iter()
                .map(|row| {
                    let (key, state): (&str, &str) =
                        (row.try_get(0).map_err(storage)?, row.try_get(3).map_err(storage)?);
                    Ok(PinRecord {
                        key: key.parse().map_err(|_| LedgerError::Broken(format!("`{key}` is no key")))?,
                        agent_id: row.try_get(1).map_err(storage)?,
                        name: row.try_get(2).map_err(storage)?,
                        state: PinState::of(state)
                            .ok_or_else(|| LedgerError::Broken(format!("`{state}` is no state of a key")))?,
                        at_ms: row.try_get(4).map_err(storage)?,
                        by: row.try_get(5).map_err(storage)?,
                        joined: JoinedBy::of(row.try_get(6).map_err(storage)?)
                            .ok_or_else(|| LedgerError::Broken("no way of joining".to_owned()))?,
                        serves: match row.try_get::<Option<&str>, _>(7).map_err(storage)? {
                            Some(json) => {
                                Some(serde_json::from_str(json).map_err(|e| LedgerError::Broken(e.to_string()))?)
                            }
                            None => None,
                        },
                    })
                })
                .collect()
        }
        .boxed()
    }

    fn drain(&self, hosts: Vec<DrainRecord>) -> Answer<'_, ()> {
        self.write(hosts, |db, hosts| {
            async move {
                for drain in hosts {
                    sqlx::query("INSERT OR REPLACE INTO drains(host, by, reason, at) VALUES (?, ?, ?, ?)")
                        .bind(&drain.host)
                        .bind(&drain.by)
                        .bind(&drain.reason)
                        .bind(drain.at_ms)
                        .execute(&mut *db)
                        .await?;
                }
                Ok(())
            }
            .boxed()
        })
    }

    fn resume(&self, hosts: Vec<String>) -> Answer<'_, ()> {
        self.write(hosts, |db, hosts| {
            async move {
                for host in hosts {
                    sqlx::query("DELETE FROM drains WHERE host = ?").bind(host).execute(&mut *db).await?;
                }
                Ok(())
            }
            .boxed()
        })
    }

    fn drains(&self) -> Answer<'_, Vec<DrainRecord>> {
        async move {
            let rows = sqlx::query("SELECT host, by, reason, at FROM drains ORDER BY host")
                .fetch_all(&self.readers)
                .await
                .map_err(storage)?;
            rows.iter()
                .map(|row| {
                    Ok(DrainRecord {
                        host: row.try_get(0).map_err(storage)?,
                        by: row.try_get(1).map_err(storage)?,
                        reason: row.try_get(2).map_err(storage)?,
                        at_ms: row.try_get(3).map_err(storage)?,
                    })
                })
                .collect()
        }
        .boxed()
    }
}

/// Stores a key's pin in place of the earlier one.
pub(super) fn put_pin(pin: &PinRecord) -> Query<'_, Sqlite, SqliteArguments> {
    sqlx::query("INSERT OR REPLACE INTO pins(key, agent_id, name, state, at, by, joined, serves) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(pin.key.to_string())
        .bind(&pin.agent_id)
        .bind(&pin.name)
        .bind(pin.state.as_str())
        .bind(pin.at_ms)
        .bind(&pin.by)
        .bind(pin.joined.as_str())
        .bind(pin.serves.as_ref().and_then(|principal| serde_json::to_string(principal).ok()))
}
