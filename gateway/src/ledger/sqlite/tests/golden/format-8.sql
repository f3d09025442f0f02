-- A ledger as the last version wrote it that kept no do-files: a run of a do-file by its path, and one of a bundle whose
-- files are blobs. Both have ended, and their spools are held.
BEGIN TRANSACTION;
CREATE TABLE agents(agent_id TEXT PRIMARY KEY, seen INTEGER NOT NULL, info BLOB NOT NULL);
INSERT INTO "agents" VALUES('01a21d22-8760-7098-a3bb-52ace0857f57',1795785131908,X'0A2430316132316432322D383736302D373039382D613362622D353261636530383537663537122430316132316432322D383736362D373138352D623730632D3865386630643336616265372202766D2A16687474703A2F2F3132372E302E302E313A34303538353205302E312E3038024204726F6F744A02766D50025A02766D60016801721B0A077374616E64696E12102F6F70742F6C682F6C6F6E676861756C8A010E2F686F6D652F616E612F776F726B980180E0BE8ED601A80101C00101');
CREATE TABLE attempts(
    run TEXT NOT NULL, number INTEGER NOT NULL,
    agent_id TEXT NOT NULL, host TEXT NOT NULL, pool TEXT NOT NULL, -- empty = not known any more
    given INTEGER NOT NULL,
    ended INTEGER NOT NULL,              -- 0 = not yet
    state TEXT NOT NULL, cause TEXT NOT NULL, -- of the step that ended it; empty = not yet
    PRIMARY KEY(run, number)
) WITHOUT ROWID;
INSERT INTO "attempts" VALUES('01a21d22-9605-75f9-ba94-ffada9402b94',1,'01a21d22-8760-7098-a3bb-52ace0857f57','vm','vm',1795785135621,1795785135773,'succeeded','completed');
INSERT INTO "attempts" VALUES('01a21d22-992e-7560-b46b-0a1c2057fc22',1,'01a21d22-8760-7098-a3bb-52ace0857f57','vm','vm',1795785136430,1795785137271,'succeeded','completed');
CREATE TABLE blob_holds(run TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY(run, sha256)) WITHOUT ROWID;
INSERT INTO "blob_holds" VALUES('01a21d22-992e-7560-b46b-0a1c2057fc22','1fe3d4b6f781a489d338d456d7ba4f0ec932bcd0a8f9ae5929247a0a07641174');
INSERT INTO "blob_holds" VALUES('01a21d22-992e-7560-b46b-0a1c2057fc22','93a23872a4fc0a214b0425cdef6152db6305e96e5449a9fb1a408ac251d3f547');
CREATE TABLE blob_names(
    principal TEXT NOT NULL, issuer TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
    uploaded INTEGER NOT NULL,           -- 0 = not, or too long ago
    runs INTEGER NOT NULL,               -- of this principal that hold it
    PRIMARY KEY(principal, issuer, sha256)
) WITHOUT ROWID;
INSERT INTO "blob_names" VALUES('root','local','1fe3d4b6f781a489d338d456d7ba4f0ec932bcd0a8f9ae5929247a0a07641174',100000,1795785136399,1);
INSERT INTO "blob_names" VALUES('root','local','93a23872a4fc0a214b0425cdef6152db6305e96e5449a9fb1a408ac251d3f547',11,1795785136367,1);
CREATE TABLE blob_usage(
    principal TEXT NOT NULL, issuer TEXT NOT NULL, blobs INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY(principal, issuer)
) WITHOUT ROWID;
INSERT INTO "blob_usage" VALUES('root','local',2,100011);
CREATE TABLE blobs(
    sha256 TEXT PRIMARY KEY, bytes INTEGER NOT NULL, file TEXT NOT NULL,
    loose INTEGER NOT NULL               -- 1 = a principal names it no more: the sweep looks whether any does
) WITHOUT ROWID;
INSERT INTO "blobs" VALUES('1fe3d4b6f781a489d338d456d7ba4f0ec932bcd0a8f9ae5929247a0a07641174',100000,'01a21d22-98b0-746a-9ab7-389a9254d6f7',0);
INSERT INTO "blobs" VALUES('93a23872a4fc0a214b0425cdef6152db6305e96e5449a9fb1a408ac251d3f547',11,'01a21d22-98b8-7351-8e62-4c0a08dd14ae',0);
CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "counters" VALUES('changes',8);
INSERT INTO "counters" VALUES('epoch',1);
CREATE TABLE drains(host TEXT PRIMARY KEY, by TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE "keys"(
    principal TEXT NOT NULL, issuer TEXT NOT NULL DEFAULT 'local', key TEXT NOT NULL, run TEXT NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY(principal, issuer, key)
) WITHOUT ROWID;
INSERT INTO "keys" VALUES('root','local','01a21d22-95ed-7463-8537-ec69f6405823','01a21d22-9605-75f9-ba94-ffada9402b94','bde718908de1fc1b05ce2c8c752d1dd951b5a62b334692ebc6acdfdd5fa676b5');
INSERT INTO "keys" VALUES('root','local','01a21d22-9885-739a-9701-67eda6140da7','01a21d22-992e-7560-b46b-0a1c2057fc22','cf2f29b7c7b9234b46eb3937472e457e05f3de7c90bbb93978f2d6cbd11e4332');
CREATE TABLE leases(
    kind TEXT NOT NULL, holder TEXT NOT NULL, attempt INTEGER NOT NULL,
    agent_id TEXT NOT NULL, host TEXT NOT NULL, pool TEXT NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY(kind, holder)
) WITHOUT ROWID;
CREATE TABLE memos(
    kind TEXT NOT NULL, name TEXT NOT NULL, principal TEXT NOT NULL, created INTEGER NOT NULL, body TEXT NOT NULL, issuer TEXT NOT NULL DEFAULT 'local',
    PRIMARY KEY(kind, name)
) WITHOUT ROWID;
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('cluster_id','01a21d22-863d-76b1-aaf1-c00eff34527a');
CREATE TABLE pins(
    key TEXT PRIMARY KEY,                -- SHA-256 of the public key, hex
    agent_id TEXT NOT NULL, name TEXT NOT NULL,
    state TEXT NOT NULL,                 -- accepted, waiting, revoked
    at INTEGER NOT NULL, by TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "pins" VALUES('b96b093267445d5fcc9fb67cff4bde260c64fb7b22d120290baa271118d23c0e','01a21d22-8760-7098-a3bb-52ace0857f57','vm','accepted',1795785131906,'join secret');
CREATE TABLE removed(run TEXT PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs(
    run TEXT PRIMARY KEY,                -- UUIDv7: the order of names is the order of time
    tail TEXT NOT NULL,                  -- the short form
    principal TEXT NOT NULL,
    state TEXT NOT NULL,
    cause TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    steps INTEGER NOT NULL,              -- rows in transitions
    agent_id TEXT NOT NULL,
    host TEXT NOT NULL,
    pool TEXT NOT NULL,
    created INTEGER NOT NULL,            -- Unix ms, as all times here
    finished INTEGER NOT NULL,           -- 0 = not yet
    delivered INTEGER NOT NULL,          -- 0 = not yet
    cancel_by TEXT,
    cancel_at INTEGER,
    cancel_mode TEXT,
    shape TEXT NOT NULL,                 -- what makes two requests equal, but for their code
    code TEXT NOT NULL,                  -- digest of the code; empty = nobody looked
    spool_held INTEGER NOT NULL,         -- an agent keeps the spool and the mirror is whole
    detail TEXT NOT NULL                 -- JSON: what no query asks for
, whole INTEGER NOT NULL DEFAULT 1, issuer TEXT NOT NULL DEFAULT 'local', owner TEXT NOT NULL DEFAULT '', owner_epoch INTEGER NOT NULL DEFAULT 0, changed INTEGER NOT NULL DEFAULT 0);
INSERT INTO "runs" VALUES('01a21d22-9605-75f9-ba94-ffada9402b94','a9402b94','root','succeeded','completed',1,4,'01a21d22-8760-7098-a3bb-52ace0857f57','vm','vm',1795785135621,1795785135773,1795785135781,NULL,NULL,NULL,'8fc229cd67e59cea9afe1a8d2da3b7957d32f8730efc8079a5bd39919e17a317','64546ef85c843b400350d7205e91100d7c8178b69a6eef5406d56ecac10b2dee',1,'{"source":"/home/ana/work/main.do","args":[],"need":{"host":"","labels":{},"engine":""},"path":"/home/ana/work/main.do","wanted_dir":"","wanted_sha256":"64546ef85c843b400350d7205e91100d7c8178b69a6eef5406d56ecac10b2dee","client":"longhaul 0.1.0","timeout_ms":0,"queue_timeout_ms":0,"waited_ms":0,"waited_for":"","traceparent":"00-319cb19ce83289f52a53ce3e680b1fa0-55792e3396097d01-01","queued_ms":0,"queue_limit_from_ms":0,"running_ms":1795785135696,"started_ms":1795785135679,"host_running_ms":1795785135687,"host_ended_ms":1795785135689,"rc":null,"message":"","command":"","location":null,"engine":"standin","engine_note":"stand-in: Stata''s manners, no statistics package","working_dir":"/home/ana/work","code_sha256":"64546ef85c843b400350d7205e91100d7c8178b69a6eef5406d56ecac10b2dee","view":{"start":899,"end":976,"safe_end":976},"log_len":1153,"log_sha256":"7deb1f01d87b3ad377bc313e14a42f5a4c53d3fdb246c36c4b2eec4156f2cfbe","console_len":0,"console_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","complete":true,"told":{"log_len":1153,"console_len":0},"duration_ms":1,"note":"run by the stand-in: Stata''s manners, no statistics package","leftovers":[],"artifacts":[],"ended_by":"","process":{"exit_code":0,"max_rss_bytes":15446016},"imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',1,'local','01a21d22-8737-730a-8b2d-4bb4f6338550',1,4);
INSERT INTO "runs" VALUES('01a21d22-992e-7560-b46b-0a1c2057fc22','2057fc22','root','succeeded','completed',1,4,'01a21d22-8760-7098-a3bb-52ace0857f57','vm','vm',1795785136430,1795785137271,1795785137281,NULL,NULL,NULL,'c0b4b93085e4b4c2a7e71d2c71d9e4e20a8aba55f18b35696eaed6b207ef9f6f','67ce19228e2bd04744ef78130b002ccaaf4be741fb68cfe30ad894e66b7818ee',1,'{"source":"bundle: main.do","args":[],"need":{"host":"","labels":{},"engine":""},"path":null,"wanted_dir":"","wanted_sha256":"","found_sha256":"","client":"longhaul 0.1.0","timeout_ms":0,"queue_timeout_ms":0,"waited_ms":0,"waited_for":"","traceparent":"00-c09f244ea55b2d03d575d624909353b7-e8ad4eab2494d5f5-01","queued_ms":0,"queue_limit_from_ms":0,"running_ms":1795785136538,"started_ms":1795785136519,"host_running_ms":1795785136531,"host_ended_ms":1795785136891,"rc":null,"message":"","command":"","location":null,"engine":"standin","engine_note":"stand-in: Stata''s manners, no statistics package","working_dir":"/home/ana/longhaul/agent/runs/01a21d22-992e-7560-b46b-0a1c2057fc22/run/work","code_sha256":"93a23872a4fc0a214b0425cdef6152db6305e96e5449a9fb1a408ac251d3f547","view":{"start":1024,"end":173075,"safe_end":173075},"log_len":173252,"log_sha256":"0f17d39b44d74b4f7bfd5ad38f9f0bbf832e8d918557a38bc488954cc76a65cc","console_len":0,"console_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","complete":true,"told":{"log_len":173252,"console_len":0},"duration_ms":354,"note":"run by the stand-in: Stata''s manners, no statistics package","leftovers":[],"artifacts":[],"ended_by":"","process":{"exit_code":0,"max_rss_bytes":15835136},"imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',1,'local','01a21d22-8737-730a-8b2d-4bb4f6338550',1,8);
CREATE TABLE submissions(run TEXT PRIMARY KEY, body BLOB NOT NULL);
INSERT INTO "submissions" VALUES('01a21d22-9605-75f9-ba94-ffada9402b94',X'0A2430316132316432322D393630352D373566392D626139342D6666616461393430326239341204726F6F741A2430316132316432322D393565642D373436332D383533372D65633639663634303538323322162F686F6D652F616E612F776F726B2F6D61696E2E646F7A390A3730302D33313963623139636538333238396635326135336365336536383062316661302D353537393265333339363039376430312D3031820140363435343665663835633834336234303033353064373230356539313130306437633831373862363961366565663534303664353665636163313062326465658A010E6C6F6E676861756C20302E312E30900185AC8AE9A1349A012430316132316432322D383633642D373662312D616166312D633030656666333435323761A2014062646537313839303864653166633162303563653263386337353264316464393531623561363262333334363932656263366163646664643566613637366235A80102');
INSERT INTO "submissions" VALUES('01a21d22-992e-7560-b46b-0a1c2057fc22',X'0A2430316132316432322D393932652D373536302D623436622D3061316332303537666332321204726F6F741A2430316132316432322D393838352D373339612D393730312D363765646136313430646137C201A9010A4F0A076C6F6E672E646F12403166653364346236663738316134383964333338643435366437626134663065633933326263643061386639616535393239323437613061303736343131373418A08D060A4D0A076D61696E2E646F124039336132333837326134666330613231346230343235636465663631353264623633303565393665353434396139666231613430386163323531643366353437180B12076D61696E2E646F7A390A3730302D63303966323434656135356232643033643537356436323439303933353362372D653861643465616232343934643566352D30318A010E6C6F6E676861756C20302E312E309001AEB28AE9A1349A012430316132316432322D383633642D373662312D616166312D633030656666333435323761A2014063663266323962376337623932333462343665623339333734373265343537653035663364653763393062626239333937386632643663626431316534333332A80102');
CREATE TABLE tokens(
    name TEXT PRIMARY KEY, principal TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE, scope TEXT NOT NULL,
    created INTEGER NOT NULL, expires INTEGER, revoked INTEGER
, issuer TEXT NOT NULL DEFAULT 'local');
INSERT INTO "tokens" VALUES('local-08ad4dcb','root','08ad4dcb24f88257f7e0ece907d5fea2413d2e2d2b2227cb9103b21ce2ce5a45','operate',1795785131668,NULL,NULL,'local');
CREATE TABLE transitions(
    run TEXT NOT NULL, n INTEGER NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL, attempt INTEGER NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY(run, n)
) WITHOUT ROWID;
INSERT INTO "transitions" VALUES('01a21d22-9605-75f9-ba94-ffada9402b94',0,'queued','submitted',0,1795785135621);
INSERT INTO "transitions" VALUES('01a21d22-9605-75f9-ba94-ffada9402b94',1,'starting','dispatched',1,1795785135621);
INSERT INTO "transitions" VALUES('01a21d22-9605-75f9-ba94-ffada9402b94',2,'running','first_output',1,1795785135696);
INSERT INTO "transitions" VALUES('01a21d22-9605-75f9-ba94-ffada9402b94',3,'succeeded','completed',1,1795785135773);
INSERT INTO "transitions" VALUES('01a21d22-992e-7560-b46b-0a1c2057fc22',0,'queued','submitted',0,1795785136430);
INSERT INTO "transitions" VALUES('01a21d22-992e-7560-b46b-0a1c2057fc22',1,'starting','dispatched',1,1795785136430);
INSERT INTO "transitions" VALUES('01a21d22-992e-7560-b46b-0a1c2057fc22',2,'running','first_output',1,1795785136538);
INSERT INTO "transitions" VALUES('01a21d22-992e-7560-b46b-0a1c2057fc22',3,'succeeded','completed',1,1795785137271);
CREATE TABLE uploads(
    principal TEXT NOT NULL, issuer TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, file TEXT NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY(principal, issuer, sha256)
) WITHOUT ROWID;
CREATE INDEX runs_active ON runs(run) WHERE state IN ('queued', 'starting', 'running');
CREATE INDEX runs_tail ON runs(tail);
CREATE INDEX runs_state ON runs(state, run);
CREATE INDEX runs_shape ON runs(shape, run);
CREATE INDEX runs_finished ON runs(finished) WHERE finished > 0;
CREATE INDEX runs_spool ON runs(agent_id, finished) WHERE spool_held = 1;
CREATE INDEX memos_created ON memos(created);
CREATE INDEX removed_at ON removed(at);
CREATE INDEX runs_principal ON runs(principal, issuer, run);
CREATE INDEX runs_principal_state ON runs(principal, issuer, state, run);
CREATE INDEX keys_run ON keys(run);
CREATE INDEX runs_changed ON runs(changed);
CREATE INDEX blobs_loose ON blobs(sha256) WHERE loose = 1;
CREATE INDEX blob_names_sha256 ON blob_names(sha256);
CREATE INDEX blob_names_uploaded ON blob_names(uploaded) WHERE uploaded > 0;
CREATE INDEX uploads_sha256 ON uploads(sha256);
CREATE INDEX uploads_used ON uploads(used);
CREATE TRIGGER blob_named AFTER INSERT ON blob_names BEGIN
    INSERT INTO blob_usage(principal, issuer, blobs, bytes) VALUES (new.principal, new.issuer, 1, new.bytes)
    ON CONFLICT(principal, issuer) DO UPDATE SET blobs = blobs + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER blob_unnamed AFTER DELETE ON blob_names BEGIN
    UPDATE blob_usage SET blobs = blobs - 1, bytes = bytes - old.bytes
    WHERE principal = old.principal AND issuer = old.issuer;
END;
CREATE TRIGGER upload_begun AFTER INSERT ON uploads BEGIN
    INSERT INTO blob_usage(principal, issuer, blobs, bytes) VALUES (new.principal, new.issuer, 1, new.bytes)
    ON CONFLICT(principal, issuer) DO UPDATE SET blobs = blobs + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER upload_ended AFTER DELETE ON uploads BEGIN
    UPDATE blob_usage SET blobs = blobs - 1, bytes = bytes - old.bytes
    WHERE principal = old.principal AND issuer = old.issuer;
END;
COMMIT;
PRAGMA user_version = 8;
